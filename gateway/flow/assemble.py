"""Assemble: instances become series, and a series becomes one passage.

In: parsed instances, in any order, over any number of associations. Out: new passages, each with its slices.
Refuses, with `IntakeError`: a second instance of the same SOP instance UID with other content; more slices than the
limit. Marks as in conflict, so that the check holds them: every series of a study in which two patients' identities
appear, and a series of which one instance came with two contents.

It owns the index of what is in memory. It touches no socket and no disk.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

from gateway.dicom.instance import Instance
from gateway.errors import GatewayError, IntakeError, PassageUnfit
from gateway.flow.check import SliceGeometry
from gateway.flow.rules import SeriesFacts
from gateway.flow.series import Series, SeriesKey, Slice
from gateway.passage import Passage, State
from gateway.vault.identity import Identity
from gateway.vault.pseudonyms import Pseudonyms, subject_of

DUPLICATE_SOP_INSTANCE = 0x0111
"""PS3.7 C.5.6."""
OUT_OF_RESOURCES = 0xA700
"""PS3.4 B.2.3."""
DELIVERED_REMEMBERED = 4096
"""How many delivered series are remembered, to tell a late remainder from a new series."""


class Assembler:
    """The series in memory, and the rule by which an instance joins one.

    Parameters
    ----------
    pseudonyms_for : callable
        Makes the pseudonyms for an instance's study (or patient, as the configuration links them).
    pixels_sha256 : callable
        Digest of an instance's pixels as they leave: tells a re-send from a conflict, whatever the encoding.
    digest : callable
        Keyed digest of a series instance UID: what is remembered after the series itself is forgotten.
    max_slices : int
        The most instances of one series.
    """

    def __init__(
        self,
        pseudonyms_for: Callable[[Instance], Pseudonyms],
        pixels_sha256: Callable[[Instance], bytes],
        digest: Callable[[str], bytes],
        max_slices: int,
    ) -> None:
        self._pseudonyms_for = pseudonyms_for
        self._pixels_sha256 = pixels_sha256
        self._digest = digest
        self._max_slices = max_slices
        self._open: dict[SeriesKey, Series] = {}
        self._awaited: dict[bytes, Series] = {}
        self._delivered: OrderedDict[bytes, int] = OrderedDict()
        self._carried: dict[int, SeriesKey] = {}
        """By association: the series of the last instance that it brought."""

    def __iter__(self) -> Iterator[Series]:
        """Every series whose passage has not ended."""
        return iter([*self._open.values(), *self._awaited.values()])

    def find(self, instance: Instance) -> Series | None:
        """The open series to which an instance belongs."""
        return self._open.get(_key(instance))

    def expect(self, series: Series, digest: bytes) -> None:
        """Await the instances of a passage that was open before a restart.

        Parameters
        ----------
        series : Series
            Without instances and identity.
        digest : bytes
            Of its series instance UID.
        """
        self._awaited[digest] = series

    def awaited(self, instance: Instance) -> Series | None:
        """The series that awaits an instance since a restart: the same patient's, under the same UID."""
        if not self._awaited:
            return None
        series = self._awaited.get(self._digest(instance.series_instance_uid))
        if series is None:
            return None
        code = self._pseudonyms_for(instance).patient_code(subject_of(instance))
        return series if series.passage.pseudonym in ("", code) else None

    def open(self, instance: Instance, facts: SeriesFacts) -> Series:
        """Begin a passage with its first instance, which `add` then takes; or take up the one that awaits it."""
        key, identity, pseudonyms = _key(instance), Identity.of(instance), self._pseudonyms_for(instance)
        series = self.awaited(instance)
        if series is not None:
            del self._awaited[self._digest(instance.series_instance_uid)]
            series.key, series.facts = key, facts
            series.identity, series.pseudonyms = identity, pseudonyms
            series.came_back.set()
        else:
            passage = Passage(
                source=facts.calling_ae_title, called=facts.called_ae_title, modality=facts.modality
            )
            series = Series(key, passage, facts, identity, pseudonyms)
        series.passage.pseudonym = pseudonyms.patient_code(subject_of(instance))
        self._open[key] = series
        for other in self._open.values():
            if other.key.study == key.study and other.key.patient != key.patient:
                for one in (series, other):
                    self._mark(one, PassageUnfit("IDENTITY_CONFLICT"))
        return series

    def add(self, series: Series, instance: Instance, association: int, charged_bytes: int) -> Slice | None:
        """Let an instance join its series.

        Returns
        -------
        Slice or None
            None where the very same instance is here already.

        Raises
        ------
        IntakeError
            If the SOP instance UID is here with other content, or the series is full.
        """
        self._carried[association] = series.key
        series.associations.add(association)
        series.seen_associations.add(association)
        series.last_association = association
        series.is_cut_off = False
        series.last_arrival = time.monotonic()
        series.arrived.set()
        known = series.slices.get(instance.sop_instance_uid)
        if known is not None:
            if self._is_same_image(known, instance):
                return None
            self._mark(series, PassageUnfit("INSTANCE_CONFLICT"))
            raise IntakeError("INSTANCE_CONFLICT", DUPLICATE_SOP_INSTANCE)
        if len(series.slices) >= self._max_slices:
            raise IntakeError("DATASET_TOO_LARGE", OUT_OF_RESOURCES, slices=len(series.slices))
        slice_ = Slice(
            index=len(series.slices),
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            pseudonym=series.pseudonyms.uid(instance.sop_instance_uid),
            geometry=_geometry(instance),
            instance=instance,
            charged_bytes=charged_bytes,
        )
        series.slices[slice_.sop_instance_uid] = slice_
        series.gate_is_overridden = False  # whoever released the series has not seen this slice
        series.passage.received = len(series.slices)
        if series.passage.state is State.HELD:
            series.decided.set()  # what was missing may be here now: check again
        return slice_

    def succeed(self, series: Series) -> Series:
        """Begin a new passage for a series of which more arrived after it was taken for whole.

        The slices and the identity move to the new passage; the old one is left without, to be cancelled.
        """
        passage = Passage(
            source=series.passage.source, called=series.passage.called, modality=series.passage.modality
        )
        passage.pseudonym, passage.received = series.passage.pseudonym, series.passage.received
        passage.model = series.passage.model
        heir = Series(
            series.key,
            passage,
            series.facts,
            series.identity,
            series.pseudonyms,
            slices=series.slices,
            conflict=series.conflict,
        )
        for slice_ in heir.slices.values():
            slice_.is_uploaded = False
        series.slices = {}
        series.is_superseded = True
        if series.task is not None:
            series.task.cancel()
        self._open[heir.key] = heir
        return heir

    def is_remainder(self, series: Series) -> bool:
        """Whether this is a late part of a series that was delivered with more slices than came now."""
        return self._delivered.get(self._digest(series.key.series), 0) > len(series.slices)

    def is_carried(self, series: Series) -> bool:
        """Whether the last that an open association brought was of this series, so that the next may be, too."""
        return any(self._carried.get(association) == series.key for association in series.associations)

    def association_ended(self, association: int, *, released: bool) -> None:
        """Note that an association is gone, and whether the sender said so itself."""
        self._carried.pop(association, None)
        for series in self._open.values():
            if association in series.associations:
                series.associations.discard(association)
                # Where another one has brought something since, it is that one which has the last word.
                series.is_cut_off = not released and series.last_association == association
                series.arrived.set()

    def forget(self, series: Series) -> None:
        """Take an ended series out of the index; its identity is dropped by the caller."""
        if self._open.get(series.key) is series:
            del self._open[series.key]
        self._awaited = {digest: other for digest, other in self._awaited.items() if other is not series}
        if series.passage.state is State.DELIVERED and series.slices:
            self._delivered[self._digest(series.key.series)] = len(series.slices)
            while len(self._delivered) > DELIVERED_REMEMBERED:
                self._delivered.popitem(last=False)

    def _is_same_image(self, known: Slice, instance: Instance) -> bool:
        if known.instance is not None:
            before = self._pixels_sha256(known.instance)
        elif known.payload is not None:
            before = known.payload.pixels_sha256
        else:
            return False
        return _geometry(instance) == known.geometry and self._pixels_sha256(instance) == before

    @staticmethod
    def _mark(series: Series, conflict: GatewayError) -> None:
        series.conflict = conflict
        series.arrived.set()


def _key(instance: Instance) -> SeriesKey:
    return SeriesKey(instance.study_instance_uid, instance.series_instance_uid, subject_of(instance))


def _geometry(instance: Instance) -> SliceGeometry:
    position, orientation, spacing = instance.position, instance.orientation, instance.spacing
    if position is None or orientation is None or spacing is None:
        raise IntakeError("ATTRIBUTE_MISSING", 0xA900)
    return SliceGeometry(
        position=position,
        orientation=orientation,
        spacing=spacing,
        rows=instance.rows,
        columns=instance.columns,
        bits_stored=instance.bits_stored,
        is_signed=instance.is_signed,
        frame_of_reference_uid=instance.frame_of_reference_uid,
    )
