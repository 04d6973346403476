"""The client of a contourer that speaks the sealed protocol.

Nothing is uploaded before the contourer has proved, with a signature under the pinned key over a challenge of ours,
who it is and in which region everything stays (R17).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from gateway.cloud.contourer import Order
from gateway.cloud.envelope import RecipientKey
from gateway.cloud.exchange import SealedExchange
from gateway.cloud.failures import Answered, refusal_of
from gateway.cloud.payload import Codec
from gateway.cloud.protocol import DAY_S
from gateway.cloud.receipts import signed_answer
from gateway.cloud.statements import EnvelopeError, checked_statement
from gateway.cloud.transport import Endpoint, Patience, Transport
from gateway.cloud.uplink import Uplink, codec_for
from gateway.errors import ContourerRefused
from gateway.metrics import Metrics

__all__ = ["Companion", "SealedContourer"]


class Companion(Protocol):
    """What has to run for the contourer to be there, such as its process."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class SealedContourer:
    """See `gateway.cloud.contourer.Contourer`.

    Parameters
    ----------
    endpoint : Endpoint
    reply_seed : callable
        Gives 96 secret bytes for a passage id, always the same: from them comes the key to which its result is
        sealed.
    metrics : Metrics
    retention_s : int
        How long the contourer may keep a passage.
    patience : Patience, optional
    companion : Companion, optional
        Started before and closed after everything else.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        reply_seed: Callable[[str], bytes],
        metrics: Metrics,
        *,
        retention_s: int = DAY_S,
        patience: Patience | None = None,
        companion: Companion | None = None,
    ) -> None:
        self._endpoint: Final = endpoint
        self._reply_seed = reply_seed
        self._metrics = metrics
        self._retention_s = retention_s
        self._companion = companion
        self._transport = Transport.pinned(endpoint, patience or Patience(), metrics)
        self._uplink = Uplink()

    @property
    def codec(self) -> Codec:
        """The codec that suits the uplink now."""
        known = self._uplink.bytes_per_s
        if known is not None:
            self._metrics.uplink_bytes_per_second.set(known)
        if self._companion is not None:
            return codec_for(None)  # on our own machine a slow way means a busy CPU, which the codec shares
        return codec_for(known)

    async def start(self) -> None:
        """Start the companion and make the connections' pool."""
        if self._companion is not None:
            await self._companion.start()
        await self._transport.start()

    async def close(self) -> None:
        """The reverse of `start`."""
        await self._transport.close()
        if self._companion is not None:
            await self._companion.close()

    async def describe(self) -> Mapping[str, str]:
        """Reach the contourer and verify who and where it is.

        Raises
        ------
        ContourerUnavailable
            If it cannot be reached.
        ContourerRefused
            CONTOURER_UNTRUSTED, CONTOURER_REGION.
        """
        identity = self._endpoint.identity
        challenge = secrets.token_hex(16)
        try:
            answer = await self._transport.request("GET", "/v1/contourer", query={"challenge": challenge})
            statement, signature = signed_answer(answer.body)
            said = checked_statement(
                bytes.fromhex(identity.receipt_public_key),
                statement,
                signature,
                {"kind": "contourer", "challenge": challenge},
            )
        except Answered as answered:
            raise refusal_of(answered) from None
        except EnvelopeError:
            raise ContourerRefused("CONTOURER_UNTRUSTED") from None
        region = said.get("region")
        if region != identity.region or region != (self._endpoint.region or region):
            raise ContourerRefused("CONTOURER_REGION")
        models = said.get("models")
        return {
            "version": str(said.get("version", "")),
            "region": str(region),
            "models": ",".join(map(str, models)) if isinstance(models, list) else "",
        }

    async def begin(self, order: Order) -> SealedExchange:
        """Verify the contourer and announce a passage to it."""
        await self.describe()
        exchange = self._exchange(order)
        await exchange.begin()
        return exchange

    async def join(self, order: Order, manifest_sha256: bytes) -> SealedExchange:
        """Take up a passage that was committed before a restart; its result is opened with the same reply key."""
        await self.describe()
        return self._exchange(order, manifest_sha256)

    def _exchange(self, order: Order, manifest_sha256: bytes = b"") -> SealedExchange:
        return SealedExchange(
            order,
            self._transport,
            self._endpoint.identity,
            RecipientKey(self._reply_seed(order.passage_id)),
            self._retention_s,
            self._uplink,
            manifest_sha256,
        )
