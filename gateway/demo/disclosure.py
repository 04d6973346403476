"""What the hospital has beside what the contourer saw.

In: a sent image and the demo's own configuration and clinic key. Out: the same de-identification that the gateway did,
done once more here, attribute by attribute. Only for invented patients: the values are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from gateway.config import Config
from gateway.deid.preview import Fate, Line, compared
from gateway.deid.profile import load_profiles
from gateway.deid.table import load_table
from gateway.dicom.instance import Instance, parse_instance
from gateway.dicom.part10 import Part10
from gateway.dicom.walk import WalkLimits
from gateway.flow.deidentify import deidentify
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, scope_of, subject_of

__all__ = ["Disclosure", "disclosure_of"]

_SHOWN_ALTHOUGH_KEPT = frozenset(
    {"Modality", "ImagePositionPatient", "PixelSpacing", "PatientPosition", "PixelData"}
)
_WIDTH = 44
_ENCODINGS = {"ISO 2022 IR 87": "iso2022_jp"}


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What left of a series."""

    lines: tuple[Line, ...]
    """Every attribute of its first image."""
    pseudonyms: tuple[str, ...]
    """What the patient, the study and every image were called outside."""
    pixels_bytes: int
    """Of the first image; they left as they are."""
    charset: str
    """The Python codec of its names."""

    def table(self) -> Table:
        """Side by side: what was removed or changed, and some of what geometry needs."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("attribute", "the hospital has", "the contourer saw"):
            table.add_column(heading, overflow="ellipsis", no_wrap=True)
        for line in self.lines:
            if line.fate is not Fate.KEPT or line.keyword in _SHOWN_ALTHOUGH_KEPT:
                table.add_row(line.keyword, self._shown(line, line.before), self._seen(line))
        return table

    def summary(self) -> str:
        """How many attributes had which fate."""
        fates = [line.fate for line in self.lines]
        parts = [f"{fates.count(fate)} {fate.value}" for fate in Fate if fate in fates]
        return f"{len(fates)} attributes: {', '.join(parts)}"

    def _seen(self, line: Line) -> Text:
        if line.fate is Fate.REMOVED:
            return Text("—", "red")
        if line.fate is Fate.EMPTIED:
            return Text("(empty)", "red")
        colour = {Fate.REPLACED: "yellow", Fate.ADDED: "yellow"}.get(line.fate, "green")
        return Text(self._shown(line, line.after or line.before), colour)

    def _shown(self, line: Line, value: bytes) -> str:
        if line.keyword == "PixelData":
            return f"{self.pixels_bytes:,} bytes"
        text = value.decode(self.charset, "replace").rstrip("\0 ")
        if not text.isprintable():
            text = f"{len(value)} bytes"
        return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def disclosure_of(sent: Sequence[bytes], config: Config) -> Disclosure:
    """De-identify a series as the gateway with this configuration does.

    Parameters
    ----------
    sent : sequence of bytes
        Part 10 streams of one series.
    config : Config
    """
    instances = [_instance(one) for one in sent]
    first = instances[0]
    profile = load_profiles(config.deid.profiles)[first.modality]
    pseudonyms = Pseudonyms(ClinicKey.load(config.clinic_key_file), scope_of(first, config.deid.linkage))
    outgoing = deidentify(first, pseudonyms, profile)
    for instance in instances:
        pseudonyms.uid(instance.sop_instance_uid)
    return Disclosure(
        lines=compared(first, outgoing, profile, load_table()),
        pseudonyms=(pseudonyms.patient_code(subject_of(first)), *pseudonyms.originals),
        pixels_bytes=first.pixel_stop - first.pixel_start,
        charset=next(
            (_ENCODINGS[name] for name in first.specific_character_set if name in _ENCODINGS), "latin_1"
        ),
    )


def _instance(stream: bytes) -> Instance:
    part = Part10.of(stream)
    return parse_instance(part.dataset, part.transfer_syntax_uid, limits=WalkLimits())
