"""Uploads that a worker keeps: a second run names them; what became of the files does not matter."""

import os
import shutil
import tempfile

from harness import Failure, run_program, wait_until

CHUNK = 1 << 20
LEAST = 64 << 10  # smaller pieces are always sent
ANSWERED = 1 << 20  # bytes that are not chunks: commands, small pieces, kernels


def run(test, server, what, env=None):
    outcome = run_program([os.path.join(test.programs, "uploads.static")], 120, server.address,
                          test.library, env)
    if outcome.status != 0 or outcome.out != "ok\n" or not outcome.stats:
        raise Failure(f"{what}: {outcome.describe()}: {outcome.out}{outcome.err}")
    return outcome.stats["bytes_known"], outcome.stats["bytes_sent"]


def files_of(folder):
    """Path -> size, of the chunks that are complete."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return {}
    return {os.path.join(folder, name): os.path.getsize(os.path.join(folder, name))
            for name in names if len(name) == 64}


def settled(folder):
    """The files, once no worker writes any more."""
    seen = []

    def same_for_a_while():
        seen.append(files_of(folder))
        return len(seen) > 80 and seen[-1] == seen[-80]

    wait_until(same_for_a_while, 30)
    return seen[-1]


def flip(path):
    with open(path, "r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))


def kept(test, transport):
    """A second run sends nothing again over a network; files that are not right are not used."""
    cache = tempfile.mkdtemp(prefix="genie-kept-")
    folder = os.path.join(cache, "uploads")
    try:
        with test.server(transport, env={"GENIE_CACHE_DIR": cache}) as server:
            known, sent = run(test, server, "the first run")
            files = settled(folder)
            if transport == "shm":
                yield "nothing over shared memory", f"{len(files)} files" if files or known else None
                return
            if known or not files or min(files.values()) < LEAST or max(files.values()) > CHUNK:
                raise Failure(f"the first run: {known} bytes known, sizes {set(files.values())}")
            yield "kept", None, f"{len(files)} chunks"
            known, again = run(test, server, "the second run")
            wrong = known + again < sent * 0.99 or again > ANSWERED
            yield "named", f"{sent} bytes sent, then {again}" if wrong else None, f"{known} bytes"

            names = sorted(files)
            flip(names[0])
            os.truncate(names[1], files[names[1]] - 1)
            os.unlink(names[2])
            os.unlink(names[3])
            os.mkdir(names[3])
            os.unlink(names[4])
            os.symlink("/dev/zero", names[4])
            less, _ = run(test, server, "with files that are wrong")
            yield "not believed", None if 0 < less < known else f"{less} bytes known, of {known}"
            os.rmdir(names[3])
            os.unlink(names[4])
            settled(folder)
            run(test, server, "once more")
            settled(folder)
            healed, _ = run(test, server, "with all files again")
            yield "kept again", None if healed == known else f"{healed} bytes known, of {known}"

            known, _ = run(test, server, "switched off", {"GENIE_PERF": "no_uploads"})
            yield "off in the client", f"{known} bytes known" if known else None
        # a folder that others may write to is not used
        os.chmod(folder, 0o777)
        with test.server(transport, env={"GENIE_CACHE_DIR": cache}) as server:
            known, _ = run(test, server, "with a folder of everybody's")
            yield "a folder of everybody's", f"{known} bytes known" if known else None
        os.chmod(folder, 0o700)
        for size, most in (("0", None), ("4M", 4 << 20), ("nonsense", None)):
            shutil.rmtree(folder, ignore_errors=True)
            with test.server(transport, env={"GENIE_CACHE_DIR": cache,
                                             "GENIE_CACHE_UPLOADS": size}) as server:
                run(test, server, f"GENIE_CACHE_UPLOADS={size}")
                total = sum(settled(folder).values())
                wrong = total > (most or 0) or (most and not total)
                yield f"at most {size}", f"{total} bytes" if wrong else None
    finally:
        shutil.rmtree(cache, ignore_errors=True)
