"""A stand-in for a treatment planning system: takes RT Structure Sets and keeps them in memory."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Final, Self

from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.sop_class import RTStructureSetStorage, Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

__all__ = ["PlanningSystem"]

_SUCCESS: Final = 0x0000


class PlanningSystem:
    """A Storage SCP on a loopback port, for as long as it is entered.

    Parameters
    ----------
    port : int
    """

    ae_title: Final = "TPS"

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._received: list[bytes] = []
        self._server: ThreadedAssociationServer | None = None

    def __enter__(self) -> Self:
        entity = ApplicationEntity(self.ae_title)
        entity.require_called_aet = True
        entity.add_supported_context(Verification)
        entity.add_supported_context(RTStructureSetStorage)
        self._server = entity.start_server(
            ("127.0.0.1", self._port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.shutdown()

    @property
    def received(self) -> list[bytes]:
        """What was stored, in its order: Part 10 streams."""
        with self._lock:
            return list(self._received)

    def _store(self, event: evt.Event) -> int:
        with self._lock:
            self._received.append(event.encoded_dataset(include_meta=True))
        return _SUCCESS
