"""Lists of decimal strings (VR DS) to numbers, at the speed that contours need.

A large structure set holds more than a million coordinates; this takes a quarter of the time of
`numpy.fromstring`. Eight digits are converted at once, as the eight bytes of one 64-bit word, on the whole list.
What does not look like plain ``-123.456`` goes through `float`.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_LENGTH", "decimals"]

MAX_LENGTH: Final = 16
"""Bytes of one DS value (PS3.5 6.2)."""

_DECIMAL = re.compile(rb" *[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)? *")
_WORD: Final = 8
_BACKSLASH, _DOT, _MINUS = b"\\.-"
_POWERS: Final = 10.0 ** np.arange(_WORD + 1)

_Words = npt.NDArray[np.uint64]
_Positions = npt.NDArray[np.int64]


def decimals(text: bytes) -> npt.NDArray[np.float64]:
    r"""Convert a list of DS values.

    Parameters
    ----------
    text : bytes
        Values separated by backslashes, without the padding of the whole.

    Returns
    -------
    numpy.ndarray
        One float64 for each value; an empty `text` is no value.

    Raises
    ------
    ValueError
        If a value is longer than 16 bytes, empty, not finite or no decimal string; the value is not shown.
    """
    if not text:
        return np.empty(0)
    padded = b"\\" * _WORD + text + b"\\"
    octets = np.frombuffer(padded, np.uint8)
    separators = np.flatnonzero(octets == _BACKSLASH)[_WORD - 1 :]
    start, stop = separators[:-1] + 1, separators[1:]
    if int((stop - start).max()) > MAX_LENGTH:
        raise ValueError("a decimal string is longer than 16 bytes")
    point = _points(octets, stop)
    negative = octets[start] == _MINUS
    whole_digits = point - start - negative
    decimal_digits = np.maximum(stop - point - 1, 0)
    plain = (whole_digits <= _WORD) & (whole_digits + decimal_digits > 0)
    words = np.ndarray((len(octets) - _WORD + 1,), "<u8", octets, strides=(1,))
    whole, whole_is_plain = _digits(words, point, np.clip(whole_digits, 0, _WORD))
    head_digits = np.minimum(decimal_digits, _WORD)
    tail_digits = decimal_digits - head_digits
    head, head_is_plain = _digits(words, stop - tail_digits, head_digits)
    scale = _POWERS[head_digits]
    numbers: npt.NDArray[np.float64] = (whole * scale + head) / scale
    plain &= whole_is_plain & head_is_plain
    long = np.flatnonzero(tail_digits)
    if len(long):
        tail, tail_is_plain = _digits(words, stop[long], tail_digits[long])
        numbers[long] += tail / _POWERS[_WORD] / _POWERS[tail_digits[long]]
        plain[long] &= tail_is_plain
    np.negative(numbers, out=numbers, where=negative)
    for index in np.flatnonzero(~plain):
        numbers[index] = _decimal(padded[start[index] : stop[index]])
    return numbers


def _points(octets: npt.NDArray[np.uint8], stop: _Positions) -> _Positions:
    """Where each value's decimal point stands, or its end where it has none."""
    points = np.flatnonzero(octets == _DOT)
    if len(points) == len(stop) and bool((points < stop).all()) and bool((points[1:] > stop[:-1]).all()):
        return points
    found = stop.copy()
    found[np.searchsorted(stop, points)[::-1]] = points[::-1]  # of two points in one value the first counts
    return found


def _digits(words: _Words, stop: _Positions, count: _Positions) -> tuple[_Words, npt.NDArray[np.bool_]]:
    """The number that the `count` (0 to 8) bytes before `stop` make, and whether they all are digits."""
    eight = words[stop - _WORD]
    eight ^= np.uint64(0x3030303030303030)
    unwanted = ((_WORD - count) << 3).astype(np.uint64)
    np.right_shift(eight, np.minimum(unwanted, 63), out=eight)
    np.left_shift(eight, np.minimum(unwanted, 63), out=eight)
    eight[count == 0] = 0
    over_nine = ((eight + np.uint64(0x7676767676767676)) | eight) & np.uint64(0x8080808080808080)
    pairs = (eight * np.uint64(10) + (eight >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    fours = (pairs * np.uint64(100) + (pairs >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    return (fours * np.uint64(10000) + (fours >> np.uint64(32))) & np.uint64(0xFFFFFFFF), over_nine == 0


def _decimal(text: bytes) -> float:
    if not _DECIMAL.fullmatch(text):
        raise ValueError("not a decimal string")
    number = float(text)
    if not np.isfinite(number):
        raise ValueError("a decimal string is not finite")
    return number
