"""An acceptor with everything behind it up to the series in memory: parsing, decoding, the budget, the assembler."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType

from gateway.dicom.acceptor import Acceptor, StoreRequest
from gateway.dicom.decode import Transcoder
from gateway.dicom.instance import Instance
from gateway.flow.accept import Accept
from gateway.flow.assemble import Assembler
from gateway.flow.deidentify import stored_values
from gateway.flow.series import Series, Slice
from gateway.vault.budget import Budget
from gateway.vault.keys import ClinicKey
from gateway.vault.pseudonyms import Pseudonyms, scope_of
from tests import wire
from tests.intake import Intake, RecordingService

KEY = ClinicKey(b"k" * 32)
STORED_FROM = ("STORESCU", "PACS", "OTHER")

Store = Callable[[StoreRequest], Awaitable[int]]


class TakingService(RecordingService):
    """The real storage service, with a record of how associations ended."""

    def __init__(self, accept: Accept) -> None:
        super().__init__()
        self._accept = accept
        self.takes: Store = accept.store
        """Replaced where a control needs a service that is not right."""

    async def store(self, request: StoreRequest) -> int:
        return await self.takes(request)

    def association_ended(self, association: int, calling_ae_title: str, *, released: bool) -> None:
        self._accept.association_ended(association, calling_ae_title, released=released)
        super().association_ended(association, calling_ae_title, released=released)


class WholeIntake(Intake):
    """A running acceptor that takes instances into memory as the vault does.

    Parameters
    ----------
    **changes
        Top-level keys of the configuration; `dicom` and `sources` are given.
    """

    def __init__(self, **changes: object) -> None:
        port = wire.free_port()
        sources = [{"ae_title": title, "addresses": ["127.0.0.1"]} for title in STORED_FROM]
        super().__init__(wire.config(port, **{"sources": sources, **changes}))
        self.transcoder = Transcoder(deadline_s=self.config.limits.decode_s)
        self.budget = Budget(self.config.limits.memory_bytes)
        self.joined: list[Slice] = []
        self.assembler = Assembler(
            lambda instance: Pseudonyms(KEY, scope_of(instance, "study")),
            pixels_sha256,
            lambda uid: hashlib.sha256(uid.encode()).digest(),
            self.config.limits.slices,
        )
        accept = Accept(self.config, self.assembler, self.transcoder, self.budget, self.metrics, self._join)
        self.service = self.taking = TakingService(accept)
        self.acceptor = Acceptor(self.config, self.service, self.metrics, self.alerts.append)

    async def _join(self, series: Series, slice_: Slice) -> None:
        self.joined.append(slice_)

    @property
    def series(self) -> list[Series]:
        """Every series in memory."""
        return list(self.assembler)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        await self.transcoder.close()


def pixels_sha256(instance: Instance) -> bytes:
    """Digest of the stored values, as the vault takes it."""
    return hashlib.sha256(stored_values(instance)).digest()


@contextlib.asynccontextmanager
async def whole_intake(**changes: object) -> AsyncIterator[WholeIntake]:
    """A `WholeIntake`, started and at the end stopped."""
    async with WholeIntake(**changes) as running:
        yield running
