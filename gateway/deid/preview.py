"""What would leave of a file, without sending anything.

In: a path. Out: a `Preview`: an answer, and for each attribute what would become of it. It goes the way that a received
instance goes (parse, decode, de-identify, tripwire), with a key of its own, so its pseudonyms are not the gateway's.
Not looked at: text in the pixels and whatever concerns a whole series; the gateway looks at those before it sends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydicom.datadict import keyword_for_tag

from gateway.cloud.payload import DeidentifiedSlice
from gateway.deid.declared import Action
from gateway.deid.dicom_file import DicomFile, read_file
from gateway.deid.profile import Profile
from gateway.deid.table import ConfidentialityTable
from gateway.deid.tripwire import Tripwire
from gateway.dicom.contexts import LOSSLESS, LOSSY, NATIVE, RARE
from gateway.dicom.instance import Instance, parse_instance
from gateway.dicom.walk import WalkLimits, walk
from gateway.errors import DeidentificationError, GatewayError, IntakeError
from gateway.flow.deidentify import deidentify
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, scope_of

__all__ = ["Decode", "Fate", "Line", "Preview", "Previewer", "compared"]

_CANNOT_UNDERSTAND: Final = 0xC000
_NOT_SUPPORTED: Final = 0x0122
_PIXELS: Final = 0x7FE00010
_LOSSY_IMAGE_COMPRESSION: Final = 0x00282110

Decode = Callable[[memoryview, str, int], Awaitable[bytes]]
"""`gateway.dicom.decode.Transcoder.to_native`."""


class Fate(StrEnum):
    """What becomes of an attribute."""

    KEPT = "kept"
    REPLACED = "replaced"
    EMPTIED = "emptied"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Line:
    """One attribute of the source or of what would leave."""

    tag: int
    keyword: str
    """Of PS3.6; empty for private and unknown ones."""
    fate: Fate
    why: str
    """The profile's reason, or why it does not leave."""
    before: bytes = field(default=b"", repr=False)
    """The value field of the source; identifying."""
    after: bytes = b""


@dataclass(frozen=True, slots=True)
class Preview:
    """The answer for one file."""

    path: Path
    error: GatewayError | None
    """Why nothing of it would leave; None where it would."""
    profile: str = ""
    lines: tuple[Line, ...] = ()
    nested: int = 0
    """Elements inside sequences, none of which leave."""
    outgoing: DeidentifiedSlice | None = None

    @property
    def leaves(self) -> bool:
        """Whether it would leave."""
        return self.error is None

    @property
    def counts(self) -> Mapping[str, int]:
        """How many attributes have which fate."""
        return Counter(line.fate.value for line in self.lines)


class Previewer:
    """Previews files, one after the other.

    Parameters
    ----------
    profiles : mapping of str to Profile
        By modality.
    table : ConfidentialityTable
    key : ClinicKey
        Made for the occasion.
    decode : callable
        Decodes what is compressed.
    max_bytes : int
        The largest file, and the largest dataset after decoding.
    accept_lossy : bool
        As `dicom.accept_lossy` of the configuration.
    """

    def __init__(
        self,
        profiles: Mapping[str, Profile],
        table: ConfidentialityTable,
        key: ClinicKey,
        decode: Decode,
        *,
        max_bytes: int,
        accept_lossy: bool = False,
    ) -> None:
        self._profiles = profiles
        self._table = table
        self._key = key
        self._decode = decode
        self._max_bytes = max_bytes
        self._accept_lossy = accept_lossy
        self._tripwire = Tripwire(profiles)

    async def preview(self, path: Path) -> Preview:
        """Preview one file; whatever it holds, the answer is a `Preview`."""
        profile, nested = "", 0
        lines: tuple[Line, ...] = ()
        try:
            instance = await self._instance(read_file(path, self._max_bytes))
            chosen = self._profiles[instance.modality]
            profile, nested = chosen.name, len(instance.elements.nested)
            pseudonyms = Pseudonyms(self._key, scope_of(instance, "study"))
            outgoing = deidentify(instance, pseudonyms, chosen)
            lines = compared(instance, outgoing, chosen, self._table)
            self._tripwire.check("", instance, outgoing)
        except (IntakeError, DeidentificationError) as error:
            return Preview(path, error, profile, lines, nested)
        finally:
            self._tripwire.forget("")
        return Preview(path, None, profile, lines, nested, outgoing)

    async def _instance(self, file: DicomFile) -> Instance:
        data: bytes | memoryview = file.dataset
        syntax = file.transfer_syntax_uid
        if syntax in LOSSY and not self._accept_lossy:
            raise IntakeError("LOSSY_REFUSED", _CANNOT_UNDERSTAND)
        if syntax not in NATIVE:
            if syntax not in (*LOSSLESS, *RARE, *LOSSY):
                raise IntakeError("TRANSFER_SYNTAX_NOT_SUPPORTED", _NOT_SUPPORTED)
            data, syntax = await self._decode(file.dataset, syntax, self._max_bytes), NATIVE[0]
        instance = parse_instance(data, syntax, limits=WalkLimits())
        if not self._accept_lossy and instance.text(_LOSSY_IMAGE_COMPRESSION) == "01":
            raise IntakeError("LOSSY_REFUSED", _CANNOT_UNDERSTAND)
        return instance


def compared(
    instance: Instance, outgoing: DeidentifiedSlice, profile: Profile, table: ConfidentialityTable
) -> tuple[Line, ...]:
    """Every attribute of the source's first level and of what would leave, in the order of their tags."""
    header = outgoing.header
    after = {
        tag: header[start:stop]
        for tag, (_, start, stop) in walk(header, implicit=False, limits=WalkLimits()).spans.items()
    }
    spans = instance.elements.spans
    lines = []
    for tag in sorted(spans.keys() | after.keys()):
        span = spans.get(tag)
        if tag == _PIXELS:
            lines.append(Line(tag, "PixelData", Fate.KEPT, "What is to be contoured"))
            continue
        before = bytes(instance.data[span[1] : span[2]]) if span and span[0] != b"SQ" else b""
        fate, why = _fate(tag, profile, table, before if span else None, after.get(tag))
        lines.append(Line(tag, keyword_for_tag(tag), fate, why, before, after.get(tag, b"")))
    return tuple(lines)


def _fate(
    tag: int, profile: Profile, table: ConfidentialityTable, before: bytes | None, after: bytes | None
) -> tuple[Fate, str]:
    """What becomes of an attribute; None stands for an absent element."""
    attribute = profile.attribute(tag)
    if after is None:
        if attribute is not None:
            return Fate.REMOVED, "its value is not what the profile lets through"
        if tag & 0x10000:
            return Fate.REMOVED, "private"
        return Fate.REMOVED, "identifying by PS3.15 E.1-1" if table.row(tag) else "not needed for contouring"
    why = attribute.reason if attribute else "Computed from what the profile declares"
    if not after and before is not None:
        return Fate.EMPTIED, why
    if not (before or b"").strip(b" \0"):
        return Fate.ADDED, why
    is_own = attribute is not None and attribute.action in (Action.NUMBER, Action.CODE)
    return Fate.KEPT if is_own or before == after else Fate.REPLACED, why
