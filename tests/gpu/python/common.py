"""What the programs of this folder share: printing results so that two runs can be compared bit for bit."""

import hashlib
import sys


def show(name, value):
    """One line: the shape, the type and a digest of every byte of @value (anything NumPy takes)."""
    import numpy

    array = numpy.ascontiguousarray(value)
    digest = hashlib.sha256(array.tobytes()).hexdigest()[:16]
    print(f"{name}: {array.dtype} {list(array.shape)} {digest}", flush=True)


def check(condition, text):
    if not condition:
        sys.exit(f"FAIL: {text}")


def skip(reason):
    """Ends the program: tests/gpu/run counts exit status 77 as skipped."""
    print(reason)
    sys.exit(77)
