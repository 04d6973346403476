"""What the acceptor asks of the rest of the gateway."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A received instance (PS3.7 section 9.1.1), before anything in its dataset was looked at."""

    calling_ae_title: str
    """Of a configured source."""
    called_ae_title: str
    address: str
    """IP address of the sender."""
    association: int
    """A number of its own for each association."""
    sop_class_uid: str
    """CT or MR Image Storage, as the command and the presentation context say."""
    sop_instance_uid: str = field(repr=False)
    """As the command says: a well-formed UID."""
    transfer_syntax_uid: str
    dataset: bytes | bytearray | memoryview = field(repr=False)
    """The encoded dataset without file meta information; whoever gets it owns it."""


class StorageService(Protocol):
    """Takes instances.

    The acceptor calls it on the event loop. For one association there is at most one `store` at a time; while it is
    awaited nothing is read from that association, and the others go on.
    """

    async def store(self, request: StoreRequest) -> int:
        """Take responsibility for an instance.

        Cancelled when the association ends meanwhile; the sender has no answer then and will send again.

        Returns
        -------
        int
            Status of the C-STORE response: 0x0000, or a warning (0xBxxx).

        Raises
        ------
        IntakeError
            Its `dimse_status` is the status, its code the error comment. What a service answers it counts itself.
        """

    def association_ended(self, association: int, calling_ae_title: str, *, released: bool) -> None:
        """Nothing more will come over an association; called exactly once for each that was accepted.

        Parameters
        ----------
        released : bool
            Whether the sender said that it was done (A-RELEASE); otherwise it aborted or vanished.
        """
