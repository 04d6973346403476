from __future__ import annotations

import pytest

from gateway.dicom.encode import element, head, item_sequence
from gateway.dicom.walk import WalkLimits, walk


@pytest.mark.parametrize(
    ("vr", "padded"), [(b"CS", b"ABC "), (b"UI", b"ABC\0"), (b"UT", b"ABC "), (b"OB", b"ABC\0")]
)
def test_values_are_padded_as_their_vr_asks(vr: bytes, padded: bytes) -> None:
    data = element(0x00080060, vr, b"ABC")
    (found,) = walk(data, implicit=False, limits=WalkLimits()).values()
    assert data[found.start : found.stop] == padded
    assert found.vr == vr


def test_items_can_be_walked() -> None:
    data = item_sequence(0x00120064, [element(0x00080100, b"SH", b"113100"), b""])
    assert len(walk(data, implicit=False, limits=WalkLimits()).nested) == 1


def test_a_head_is_for_short_lengths() -> None:
    assert head(0x00080060, b"CS") == b"\x08\x00\x60\x00CS"
    with pytest.raises(ValueError, match="32-bit"):
        head(0x7FE00010, b"OW")
