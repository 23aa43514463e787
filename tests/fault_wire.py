"""Parts of tests/fault in which a proxy stands between the client and its genied (TCP only)."""

import os
import random

from harness import Failure, run_program, wait_until
from proxy import DOWN, UP, Plan, Proxy

STREAMS = [(connection, way) for connection in (0, 1) for way in (UP, DOWN)]
NAMES = {0: "commands", 1: "bulk"}
END_SECONDS = 12  # a handshake may take ten
# Every kind of traffic in little time: launches, copies of both kinds, host functions, events.
TALKATIVE = "callbacks.static"
COPYING = "pinned_async.static"


def _run(test, proxy, seconds, program=TALKATIVE):
    return run_program([os.path.join(test.programs, program)], seconds, proxy.address, test.library)


def _lengths(test, server):
    """What a whole run sends: where pieces begin, by stream."""
    with Proxy(server.address, Plan()) as proxy:
        outcome = _run(test, proxy, 60)
        if outcome.status != 0:
            raise Failure(f"through a proxy that does nothing: {outcome.describe()}{outcome.err}")
        return {stream: proxy.boundaries(*stream) for stream in STREAMS}


def _after(test, server, workers, when):
    if not wait_until(lambda: server.workers() <= workers, 10):
        raise Failure(f"{when}: workers left over: {server.workers() - workers}")
    if not server.alive():
        raise Failure(f"{when}: genied ended: {server.log()}")


def cut(test, transport):
    """The connection ends at each boundary of a frame, and in the middle of one."""
    if transport != "tcp":
        return
    source = random.Random(test.seed)
    with test.server(transport) as server, test.bystander(server):
        workers = server.workers()
        places = [(stream, place) for stream, begins in _lengths(test, server).items()
                  for begin, end in zip(begins, begins[1:]) for place in (begin, (begin + end) // 2)]
        if not test.full:
            places = source.sample(places, 24)
        errors = 0
        for (connection, way), place in places:
            with Proxy(server.address, Plan(connection, way, cut=place)) as proxy:
                outcome = _run(test, proxy, END_SECONDS)
            where = f"{NAMES[connection]} {way} at byte {place}"
            if outcome.timed_out:
                yield where, "the program hangs"
            elif outcome.status < 0:
                yield where, outcome.describe() + outcome.err
            errors += outcome.status == 1
        _after(test, server, workers, "after cutting connections")
        test.must_work(server, "after cutting connections")
    if errors < len(places) // 2:
        yield "places", f"only {errors} of {len(places)} cuts were noticed: does the proxy cut?"
    yield f"{len(places)} places", None, f"{errors} programs got an error"


def change(test, transport):
    """Bytes are changed on their way, after the handshake: a peer that lies in all that it says."""
    if transport != "tcp":
        return
    source = random.Random(test.seed)
    ended = {"well": 0, "error": 0, "stopped": 0}
    with test.server(transport) as server, test.bystander(server):
        workers = server.workers()
        lengths = _lengths(test, server)
        for _ in range(400 if test.full else 14):
            stream, begins = source.choice(list(lengths.items()))
            changes = {}
            for _ in range(source.choice((1, 1, 4))):
                # Mostly the first bytes of a piece, where lengths, slots and ids are.
                begin = source.choice([b for b in begins[:-1] if b >= 184 or stream[1] == UP])
                changes[begin + min(source.randrange(64), source.randrange(64))] = \
                    source.randrange(1, 256)
            with Proxy(server.address, Plan(*stream, change=changes)) as proxy:
                outcome = _run(test, proxy, 4)
            # One that was told nothing true may well wait for ever: it may only not crash.
            if outcome.status is not None and outcome.status < 0:
                yield f"{NAMES[stream[0]]} {stream[1]} {changes}", outcome.describe() + outcome.err
            ended["stopped" if outcome.timed_out else "error" if outcome.status else "well"] += 1
        _after(test, server, workers, "after changed bytes")
        test.must_work(server, "after changed bytes")
    yield "peers", None, ", ".join(f"{count} {how}" for how, count in ended.items())


def slow(test, transport):
    """A client that reads and writes slowly gets its results, and holds up nobody."""
    if transport != "tcp":
        return
    with test.server(transport) as server, test.bystander(server):
        with Proxy(server.address, Plan(rate=4_000_000)) as proxy:
            outcome = _run(test, proxy, 60, COPYING)
            if outcome.status != 0:
                yield "copies", outcome.describe() + outcome.out + outcome.err
                return
        test.must_work(server, "beside a slow client")
        yield "copies", None, f"{outcome.seconds:.1f} s"
