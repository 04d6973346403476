"""An engine for tests: contours like ours, then gives each structure set one UID that is not of the passage."""

import re
import sys

from gateway.contourer.engine import __main__ as engine

honest = engine.contour


def lie(images):
    contoured = honest(images)
    # The last referenced image gets another last digit; no length changes.
    tag = re.escape(b"\x08\x00\x55\x11UI")
    *_, found = re.finditer(tag + rb"..([0-9.]+)", contoured.structure_set, re.DOTALL)
    at = found.end(1) - 1
    digit = b"1" if contoured.structure_set[at : at + 1] != b"1" else b"2"
    return contoured._replace(
        structure_set=contoured.structure_set[:at] + digit + contoured.structure_set[at + 1 :]
    )


if __name__ == "__main__":
    engine.contour = lie
    sys.exit(engine.main())
