"""The bytes on the pipe between the contourer and its engine.

A request is a header frame and the slices it announces; an answer is a header frame and, where it is ok, the
structure set. A header frame is a length of 4 bytes, big endian, and that much JSON; a body is a length of 8 bytes,
big endian, and that many bytes.

::

    > {"model": "...", "slices": n}   then n bodies: DICOM Part 10, native pixels
    < {"ok": true, "rois": ["External", ...], "seconds": 1.2}   then 1 body: RT Structure Set, Part 10
    < {"ok": false, "code": "TOO_FEW_SLICES", "hint": "..."}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

__all__ = ["BrokenPipeContract", "Request", "read_body", "read_request", "write_answer"]

_LONGEST_HEADER: Final = 64 * 1024
_LONGEST_BODY: Final = 64 * 1024 * 1024
_MOST_SLICES: Final = 1 << 16
"""More than a gateway takes for one series; what they weigh is limited before."""


class BrokenPipeContract(Exception):
    """The other side does not keep to the frames; nothing that follows can be trusted to begin where it should."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for."""

    model: str
    slices: int


def read_request(stream: BinaryIO) -> Request | None:
    """Read the header frame of a request; None at the end of the stream.

    Raises
    ------
    BrokenPipeContract
        If the frame is cut short, too long or not what it must be.
    """
    length = stream.read(4)
    if not length:
        return None
    header = _exactly(stream, _number(length, 4, _LONGEST_HEADER))
    try:
        told = json.loads(header)
    except ValueError:
        raise BrokenPipeContract("header is not JSON") from None
    if not isinstance(told, dict):
        raise BrokenPipeContract("header is not an object")
    model, slices = told.get("model"), told.get("slices")
    if not isinstance(model, str) or type(slices) is not int or not 0 <= slices <= _MOST_SLICES:
        raise BrokenPipeContract("header lacks model or slices")
    return Request(model, slices)


def read_body(stream: BinaryIO) -> bytes:
    """Read one body.

    Raises
    ------
    BrokenPipeContract
        If it is cut short or too long.
    """
    return _exactly(stream, _number(stream.read(8), 8, _LONGEST_BODY))


def write_answer(stream: BinaryIO, header: Mapping[str, object], body: bytes | None = None) -> None:
    """Write an answer's header frame and its body, if it has one."""
    encoded = json.dumps(header).encode()
    stream.write(len(encoded).to_bytes(4, "big") + encoded)
    if body is not None:
        stream.write(len(body).to_bytes(8, "big"))
        stream.write(body)
    stream.flush()


def _number(length: bytes, size: int, most: int) -> int:
    number = int.from_bytes(length, "big")
    if len(length) != size or number > most:
        raise BrokenPipeContract("a length is cut short or too large")
    return number


def _exactly(stream: BinaryIO, count: int) -> bytes:
    read = stream.read(count)
    if len(read) != count:
        raise BrokenPipeContract("the stream ended within a frame")
    return read
