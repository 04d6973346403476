"""Accept: one C-STORE request becomes an instance in memory, or a status that says why not.

In: the encoded dataset of one C-STORE-RQ. Out: the instance has joined its series, and Success is answered: held in
volatile memory. Refuses, with `IntakeError`: what cannot be parsed or decoded, what no rule takes, lossy images unless
configured, everything while the journal cannot be written or the gateway drains, and 0xA700 when the memory budget
stays full. Nothing is half taken: whatever fails, the budget is as before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from gateway.config import Config
from gateway.dicom.acceptor import StoreRequest
from gateway.dicom.decode import Transcoder
from gateway.dicom.instance import Instance, parse_instance
from gateway.dicom.walk import WalkLimits
from gateway.errors import IntakeError
from gateway.flow.assemble import Assembler
from gateway.flow.rules import SeriesFacts, rule_for
from gateway.flow.series import Series, Slice
from gateway.metrics import Metrics
from gateway.vault.budget import Budget

SUCCESS = 0x0000
NOT_AUTHORIZED = 0x0124
"""PS3.7 C.5.8."""
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000

LOSSY_IMAGE_COMPRESSION = 0x00282110


class Accept:
    """The Storage service of the acceptor.

    Parameters
    ----------
    joined : callable
        Awaited for each new instance before the sender is answered; the flow takes over there. The instance stays
        where it is even if its association ends meanwhile: the sender's re-send is recognised.
    """

    def __init__(
        self,
        config: Config,
        assembler: Assembler,
        transcoder: Transcoder,
        budget: Budget,
        metrics: Metrics,
        joined: Callable[[Series, Slice], Awaitable[None]],
    ) -> None:
        self._config = config
        self._assembler = assembler
        self._transcoder = transcoder
        self._budget = budget
        self._metrics = metrics
        self._joined = joined
        limits = config.limits
        self._walk_limits = WalkLimits(elements=limits.elements, nesting=limits.nesting)
        self._closed_by: dict[str, None] = {}

    def update(self, config: Config) -> None:
        """Take over a changed configuration: the rules for what comes from now on."""
        self._config = config

    @property
    def closed_by(self) -> tuple[str, ...]:
        """Why nothing is taken now: `INTAKE_PAUSED`, `DRAINING`; empty while it is."""
        return tuple(self._closed_by)

    def close(self, code: str) -> None:
        """Take nothing until `open` is called with the same code."""
        self._closed_by[code] = None

    def open(self, code: str) -> None:
        """Undo `close`."""
        self._closed_by.pop(code, None)

    async def store(self, request: StoreRequest) -> int:
        """Answer one C-STORE request.

        Returns
        -------
        int
            0x0000.

        Raises
        ------
        IntakeError
            With the status for the sender.
        """
        outcome = "refused"
        try:
            await self._store(request)
            outcome = "accepted"
        except IntakeError as error:
            outcome = error.code
            raise
        finally:
            self._metrics.instances_total.labels(request.calling_ae_title, outcome).inc()
        return SUCCESS

    def association_ended(self, association: int, calling_ae_title: str, *, released: bool) -> None:
        """Told by the acceptor, once for each association."""
        self._assembler.association_ended(association, released=released)

    async def _store(self, request: StoreRequest) -> None:
        if self._closed_by:
            raise IntakeError(self.closed_by[0], OUT_OF_RESOURCES)
        size = len(request.dataset)
        limit = self._config.limits.instance_bytes
        if size > limit:
            raise IntakeError("DATASET_TOO_LARGE", OUT_OF_RESOURCES, bytes=size)
        async with self._budget.reserve(size, self._config.limits.memory_wait_s) as room:
            instance = await self._parse(request)
            await room.resize(len(instance.data))
            # Nothing is awaited from here to `_joined`: two associations cannot open one series twice.
            series = self._assembler.find(instance)
            facts = self._facts(request, instance, series or self._assembler.awaited(instance))
            rule = rule_for(self._config.rules, facts)
            if rule is None and self._config.otherwise == "refuse":
                raise IntakeError("NO_RULE", NOT_AUTHORIZED)
            if (
                series is not None
                and series.is_taken_for_whole
                and instance.sop_instance_uid not in series.slices
            ):
                series = self._assembler.succeed(series)
            elif series is None:
                series = self._assembler.open(instance, facts)
                series.passage.model = rule.model if rule else ""
            slice_ = self._assembler.add(series, instance, request.association, len(instance.data))
            if slice_ is not None:
                room.keep()
                await self._joined(series, slice_)

    async def _parse(self, request: StoreRequest) -> Instance:
        data, syntax = request.dataset, request.transfer_syntax_uid
        if syntax not in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
            data = await self._transcoder.to_native(data, syntax, self._config.limits.instance_bytes)
            syntax = ExplicitVRLittleEndian
        instance = parse_instance(
            data,
            syntax,
            limits=self._walk_limits,
            command_sop_class_uid=request.sop_class_uid,
            command_sop_instance_uid=request.sop_instance_uid,
        )
        if (
            not self._config.dicom.accept_lossy
            and (instance.raw(LOSSY_IMAGE_COMPRESSION) or b"").strip() == b"01"
        ):
            raise IntakeError("LOSSY_REFUSED", CANNOT_UNDERSTAND)
        return instance

    @staticmethod
    def _facts(request: StoreRequest, instance: Instance, known: Series | None) -> SeriesFacts:
        # A PACS that was asked for a series calls under its own AE title; the series stays the first sender's.
        return SeriesFacts(
            calling_ae_title=known.passage.source if known else request.calling_ae_title,
            called_ae_title=known.passage.called if known else request.called_ae_title,
            modality=instance.modality,
            body_part=instance.body_part,
            series_description=instance.series_description,
        )
