"""The tripwire: the exact bytes that are about to leave are searched for every identifier of the source.

In: a received instance and what the profile made of it. Out: nothing, or `DeidentificationError`
DEID_IDENTIFIER_FOUND with the tag in which it was found and the tag from which it came, never the value.

It is the last look and believes nothing that came before. What counts as an identifier, and in which spellings, says
`gateway.deid.identifiers`; `gateway.deid.outgoing` takes the outgoing header apart again. An identifier is a hit

- anywhere in text;
- in a keyed UID, if it has 16 characters or more;
- in a patient code, if it has 6 or more;
- in a number, if it is all of its digits before the point (6 or more) or after it (8 or more): no slice lies at
  19 470 312 mm, but vendors repeat 1.000000 in private text;

and is there by chance otherwise. In constants and in words of the profile's lists nothing is looked for: they are the
same for every patient, so a patient whose name is Axial is as safe as any other.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydicom.tag import BaseTag

from gateway.cloud.payload import DeidentifiedSlice
from gateway.deid.identifiers import (
    IDENTIFYING_VRS,
    LONGEST_BINARY,
    SHORTEST_IN_UID,
    Needles,
    needles_of,
    words_in,
)
from gateway.deid.outgoing import Outgoing, SameForAll
from gateway.deid.profile import Profile
from gateway.dicom.instance import Instance
from gateway.errors import DeidentificationError

__all__ = ["Tripwire"]

_MOST_REMEMBERED = 20_000
"""Values remembered for one series."""
_MOST_NEW = 4000
"""New values of one instance; with `_MOST_NEW_BYTES` it bounds the time that a hostile one can take."""
_MOST_NEW_BYTES = 2**20
"""Their bytes; text of a real image takes some thousand."""
_CHARACTER_SET = 0x00080005
_BINARY = (b"UN", b"OB")

_Sets = tuple[tuple[str, ...], ...]


class Tripwire:
    """The search, with a memory for each series.

    Parameters
    ----------
    profiles : mapping of str to Profile
        By modality: what may stand in every image.
    """

    def __init__(self, profiles: Mapping[str, Profile]) -> None:
        self._same = {modality: SameForAll(profile) for modality, profile in profiles.items()}
        self._memories: dict[str, _Memory] = {}

    def check(self, series: str, instance: Instance, outgoing: DeidentifiedSlice) -> None:
        """Search one slice for the identifiers of its source, and of every slice of the series before it.

        Parameters
        ----------
        series : str
            What the memory is kept under, such as the passage id; see `forget`.
        instance : Instance
            What was received.
        outgoing : DeidentifiedSlice
            What is about to leave.

        Raises
        ------
        DeidentificationError
            DEID_IDENTIFIER_FOUND with `tag` (where) and `source` (whose), or DEID_NOT_UNDERSTOOD where the outgoing
            header cannot be taken apart or the source has more text than any image.
        """
        found = Outgoing.of(outgoing, self._same[instance.modality])
        memory = self._memories.get(series)
        if memory is None or memory.remembered > _MOST_REMEMBERED:
            memory = self._memories[series] = _Memory()
        memory.learn(instance)
        hit = memory.first_hit(found)
        if hit is not None:
            tag, source = hit
            raise DeidentificationError("DEID_IDENTIFIER_FOUND", tag=BaseTag(tag), source=BaseTag(source))

    def forget(self, series: str) -> None:
        """Drop the memory of a series: it holds identifiers."""
        self._memories.pop(series, None)


class _Memory:
    """The identifiers of one series, each with the tag from which it came.

    Slices of a series share most of their values; only those not seen before cost anything.
    """

    __slots__ = ("_digits", "_parts", "_seen", "_short", "_uids", "_words", "remembered")

    def __init__(self) -> None:
        self.remembered = 0
        """Values that were taken in."""
        self._seen: dict[_Sets, set[bytes]] = {}
        """By the character sets under which they are read: VR and value."""
        self._parts: dict[bytes, int] = {}
        self._words: dict[bytes, int] = {}
        self._digits: dict[bytes, int] = {}
        self._short: dict[bytes, int] = {}
        self._uids: dict[bytes, dict[bytes, int]] = {}
        """By their first `SHORTEST_IN_UID` characters."""

    def learn(self, instance: Instance) -> None:
        """Take in the identifiers of an instance, at any depth.

        Raises
        ------
        DeidentificationError
            DEID_NOT_UNDERSTOOD, if there is more text than an image has.
        """
        data = instance.data
        sets = _character_sets(instance)
        seen = self._seen.setdefault(sets, set())
        # Almost always nothing is new: the first level, which is long, is gone through without a call or a copy.
        unseen = [
            (tag, vr, start, stop)
            for tag, (vr, start, stop) in instance.elements.spans.items()
            if vr in IDENTIFYING_VRS
            and (stop - start <= LONGEST_BINARY or vr not in _BINARY)
            and vr + data[start:stop] not in seen
        ]
        new = new_bytes = 0
        for tag, vr, start, stop in (*unseen, *instance.elements.nested):
            if vr in IDENTIFYING_VRS and (stop - start <= LONGEST_BINARY or vr not in _BINARY):
                value = bytes(data[start:stop])
                if vr + value not in seen:
                    new += 1
                    new_bytes += stop - start
                    if new > _MOST_NEW or new_bytes > _MOST_NEW_BYTES:
                        raise DeidentificationError("DEID_NOT_UNDERSTOOD", values=new, bytes=new_bytes)
                    seen.add(vr + value)
                    self._add(needles_of(vr, value, sets), tag)
        self.remembered += new

    def first_hit(self, found: Outgoing) -> tuple[int, int] | None:
        """Where one stands and whence it came, as tags; None where none does."""
        if found.text:
            for part, source in self._parts.items():
                if part in found.text:
                    return found.tag_at(found.text.index(part)), source
            for word in words_in(found.text):
                if word in self._words:
                    return found.tag_at(found.text.index(word)), self._words[word]
        for uid, tag in found.uids.items():
            for at in range(len(uid) - SHORTEST_IN_UID + 1):
                for part, source in self._uids.get(uid[at : at + SHORTEST_IN_UID], {}).items():
                    if uid.startswith(part, at):
                        return tag, source
        for known, places in ((self._short, found.codes), (self._digits, found.runs)):
            for part in known.keys() & places.keys():
                return places[part], known[part]
        return None

    def _add(self, needles: Needles, tag: int) -> None:
        for known, parts in (
            (self._parts, needles.parts),
            (self._words, needles.words),
            (self._digits, needles.digits),
            (self._short, needles.short),
        ):
            for part in parts:
                known.setdefault(part, tag)
        for part in needles.uids:
            self._uids.setdefault(part[:SHORTEST_IN_UID], {}).setdefault(part, tag)


def _character_sets(instance: Instance) -> _Sets:
    """Every Specific Character Set of the dataset, without repetition."""
    sets = {instance.specific_character_set: None}
    for tag, _, start, stop in instance.elements.nested:
        if tag == _CHARACTER_SET:
            names = bytes(instance.data[start : min(stop, start + 256)]).decode("ascii", "replace")
            sets[tuple(name.strip("\0 ") for name in names.split("\\"))] = None
    return tuple(sets)
