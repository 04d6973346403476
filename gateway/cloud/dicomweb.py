"""The client of a DICOMweb store in front of a contouring engine: STOW-RS, QIDO-RS, WADO-RS (PS3.18).

Such a store reads what it is sent, so nothing is sent before the commit: the slices wait in memory. The engine behind
it writes an RT Structure Set into the same, pseudonymous study; whichever refers to our series is the result.

What the sealed protocol gives is not to be had here: the store can read from the first byte on, gives no signed
receipt and attests no region. Every report says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import aiohttp

from gateway.cloud import multipart
from gateway.cloud.contourer import Order, Receipt
from gateway.cloud.dicom_json import DICOM_JSON, ask, looked_up, refuse_failures, search, uid_in
from gateway.cloud.payload import Codec, SlicePayload, unpack
from gateway.cloud.transport import Patience, Transport
from gateway.config import DicomwebContourer as Settings
from gateway.dicom.walk import WalkLimits, walk
from gateway.errors import ConfigError, ContourerRefused, ContourerUnavailable, IntakeError, Word
from gateway.metrics import Metrics

__all__ = ["DicomwebContourer", "DicomwebExchange"]

_DICOM: Final = "application/dicom"
_WADO: Final = {"Accept": f'multipart/related; type="{_DICOM}"; transfer-syntax=1.2.840.10008.1.2.1'}
_BATCH_BYTES: Final = 16 << 20
_PIXELS_LIMIT_BYTES: Final = 128 << 20
_RESULT_LIMIT_BYTES: Final = 512 << 20
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_HEADER_LIMITS: Final = WalkLimits(elements=1000, nesting=4)


class DicomwebContourer:
    """See `gateway.cloud.contourer.Contourer`.

    Parameters
    ----------
    settings : gateway.config.DicomwebContourer
    metrics : Metrics
    patience : Patience, optional

    Raises
    ------
    ConfigError
        CONFIG_INVALID, if a file that the settings name cannot be read or used.
    """

    def __init__(self, settings: Settings, metrics: Metrics, patience: Patience | None = None) -> None:
        try:
            tls = ssl.create_default_context(cafile=settings.ca_file)
        except (OSError, ssl.SSLError):
            raise ConfigError("CONFIG_INVALID", key=Word("contourer.ca_file")) from None
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._settings = settings
        headers = _authorization(settings)
        patience = patience or Patience()
        self._transport = Transport(settings.url, patience, metrics, tls=tls, headers=headers)
        self._orthanc: Transport | None = None
        if settings.orthanc_url is not None:
            self._orthanc = Transport(settings.orthanc_url, patience, metrics, tls=tls, headers=headers)

    @property
    def codec(self) -> Codec:
        """What waits in memory is packed, though it travels unpacked."""
        return Codec.JPEGXL

    async def start(self) -> None:
        """Make the connections' pool."""
        await self._transport.start()
        if self._orthanc is not None:
            await self._orthanc.start()

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()
        if self._orthanc is not None:
            await self._orthanc.close()

    async def describe(self) -> Mapping[str, str]:
        """Reach the store; it says neither its region nor its models."""
        await search(self._transport, "/studies", {"limit": "1"})
        return {"version": "DICOMweb", "region": "", "models": ""}

    async def begin(self, order: Order) -> DicomwebExchange:
        """Nothing is announced: the store learns of a passage at its commit."""
        return DicomwebExchange(order, self._transport, self._settings.poll_s, self._orthanc)

    async def join(self, order: Order, manifest_sha256: bytes) -> DicomwebExchange:
        """Not possible: what to look for is known only from the slices.

        Raises
        ------
        ContourerRefused
            CONTOURER_LOST. A passage that is begun again stores the same instances under the same UIDs, and finds a
            result that is there already.
        """
        raise ContourerRefused("CONTOURER_LOST")


class DicomwebExchange:
    """See `gateway.cloud.contourer.Exchange`."""

    def __init__(
        self, order: Order, transport: Transport, poll_s: float, orthanc: Transport | None = None
    ) -> None:
        self._order = order
        self._transport = transport
        self._orthanc = orthanc
        self._poll_s = poll_s
        self._payloads: dict[int, SlicePayload] = {}
        self._series = ("", "")
        self._is_stored = False
        self._stored = 0
        self._result_series: set[str] = set()

    async def add(self, index: int, payload: SlicePayload) -> int:
        """Keep a slice for the commit."""
        self._payloads[index] = payload
        return 0

    def seal(self) -> bytes:
        """Fix what was added; a digest of the instances' pseudonyms."""
        if not self._payloads:
            raise RuntimeError("there is nothing to seal")
        self._series = _series_of(self._payloads[min(self._payloads)])
        uids = sorted(payload.sop_instance_uid for payload in self._payloads.values())
        return hashlib.sha256(" ".join(uids).encode("ascii")).digest()

    async def commit(self) -> None:
        """Store every instance; those that are there already are no error (PS3.18 10.5.3)."""
        self.seal()
        if self._is_stored:
            return
        for batch in self._batches():
            instances = await asyncio.to_thread(_part10_of, batch)
            content_type, body = multipart.join(instances, _DICOM)
            answer = await ask(
                self._transport,
                "POST",
                f"/studies/{self._series[0]}",
                body=body,
                headers={"Content-Type": content_type, **DICOM_JSON},
            )
            refuse_failures(answer)
        self._is_stored, self._stored = True, len(self._payloads)

    async def result(self) -> bytes:
        """Look for an RT Structure Set that refers to our series, until there is one."""
        foreign: set[str] = set()
        while True:
            for series, instance in await self._structure_sets():
                if instance in foreign:
                    continue
                found = await self._retrieved(series, instance)
                if self._series[1].encode("ascii") in found:
                    self._result_series.add(series)
                    return found
                foreign.add(instance)
            await asyncio.sleep(self._poll_s)

    async def delete(self) -> Receipt:
        """Delete our series and the result's, where the store can, and look whether they are gone.

        Raises
        ------
        ContourerRefused
            RECEIPT_INVALID, if the store still has them: somebody has to see to their deletion there.
        """
        study, series = self._series
        if not self._is_stored:
            return _receipt(self._order.passage_id, 0)
        for uid in (series, *self._result_series):
            if not await self._delete_series(study, uid):
                raise ContourerRefused("RECEIPT_INVALID")
        return _receipt(self._order.passage_id, self._stored)

    async def close(self) -> None:
        """Let go of the slices. Idempotent."""
        self._payloads.clear()

    def _batches(self) -> Iterator[list[SlicePayload]]:
        batch: list[SlicePayload] = []
        size = 0
        for index in sorted(self._payloads):
            payload = self._payloads[index]
            batch.append(payload)
            size += payload.rows * payload.columns * payload.bits_allocated // 8
            if size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    async def _structure_sets(self) -> list[tuple[str, str]]:
        """Series and instance UIDs of all RTSTRUCT instances of the study."""
        study = self._series[0]
        found = []
        for series in await search(self._transport, f"/studies/{study}/series", {"Modality": "RTSTRUCT"}):
            uid = uid_in(series, _SERIES)
            for instance in await search(self._transport, f"/studies/{study}/series/{uid}/instances", {}):
                found.append((uid, uid_in(instance, _INSTANCE)))
        return found

    async def _retrieved(self, series: str, instance: str) -> bytes:
        path = f"/studies/{self._series[0]}/series/{series}/instances/{instance}"
        answer = await ask(self._transport, "GET", path, headers=_WADO, limit_bytes=_RESULT_LIMIT_BYTES)
        try:
            return next(multipart.split(answer.headers.get("Content-Type", ""), answer.body))
        except (multipart.MultipartError, StopIteration):
            raise ContourerUnavailable(
                "CONTOURER_UNREACHABLE", reason=Word("answer is not multipart")
            ) from None

    async def _delete_series(self, study: str, series: str) -> bool:
        """Whether it is gone.

        Until lately PS3.18 had no deletion; many stores know DELETE on the series, Orthanc has it elsewhere.
        """
        with contextlib.suppress(ContourerRefused):  # the look below decides
            if self._orthanc is None:
                await ask(self._transport, "DELETE", f"/studies/{study}/series/{series}")
            else:
                for resource in await looked_up(self._orthanc, series):
                    await ask(self._orthanc, "DELETE", f"/series/{resource}")
        left = await search(self._transport, f"/studies/{study}/series", {"SeriesInstanceUID": series})
        return not left


def _authorization(settings: Settings) -> dict[str, str]:
    if settings.username is None or settings.password_file is None:
        return {}
    try:
        password = settings.password_file.read_text("utf-8").rstrip("\r\n")
        return {"Authorization": aiohttp.encode_basic_auth(settings.username, password)}
    except (OSError, ValueError):
        raise ConfigError("CONFIG_INVALID", key=Word("contourer.password_file")) from None


def _series_of(payload: SlicePayload) -> tuple[str, str]:
    """The pseudonymous StudyInstanceUID and SeriesInstanceUID."""
    try:
        elements = walk(payload.header, implicit=False, limits=_HEADER_LIMITS)
    except IntakeError:
        raise RuntimeError("a payload's header does not parse") from None
    study, series = (elements[tag] for tag in (0x0020000D, 0x0020000E))
    return tuple(  # type: ignore[return-value]
        payload.header[uid.start : uid.stop].rstrip(b"\0 ").decode("ascii") for uid in (study, series)
    )


def _part10_of(payloads: list[SlicePayload]) -> list[bytes]:
    return [unpack(payload, _PIXELS_LIMIT_BYTES).part10() for payload in payloads]


def _receipt(passage_id: str, parts: int) -> Receipt:
    deleted_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Receipt(passage_id, deleted_at, parts, b"")
