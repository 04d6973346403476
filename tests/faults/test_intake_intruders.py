"""Intruders at a whole gateway's DICOM TLS port: each is refused, counted, and told in the ledger, once a minute.

Also what the TLS files do to a running gateway: their end is told ahead, a renewed one is taken up.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from cryptography import x509

from gateway.dicom.alerts import AlertKind
from tests import wire
from tests.intake import Peer, connected
from tests.pki import Authority
from tests.running import Gateway, running, until

OURS = "CONTOURGATE"
CONNECTIONS = 8


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("pki"))
    made.issue(OURS, ends_in_days=20)
    for name in ("PACS", "OTHER"):
        made.issue(name)
    made.revoke(ends_in_days=7)
    return made


@pytest.fixture(scope="module")
def gateway(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    tls = {
        "certificate_file": str(authority.folder / f"{OURS}.pem"),
        "key_file": str(authority.folder / f"{OURS}.key"),
        "ca_file": str(authority.ca_file),
        "crl_file": str(authority.folder / "crl.pem"),
        "handshake_s": 2,
    }
    changes = {
        "dicom": {"tls": tls},
        "sources": [
            {"ae_title": "PACS", "addresses": ["127.0.0.1", "127.0.0.2"], "max_associations": 2},
            {"ae_title": "OTHER", "addresses": ["127.0.0.3"]},
        ],
        "limits": {"associate_s": 2, "connections_per_address": CONNECTIONS},
        "passage": {"drain_s": 0},
    }
    with running(tmp_path_factory.mktemp("intruders"), changes, tps=False) as (gateway, _):
        yield gateway


def context(authority: Authority, name: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.load_verify_locations(authority.ca_file)
    made.load_cert_chain(authority.folder / f"{name}.pem", authority.folder / f"{name}.key")
    return made


class Intruder:
    """What somebody does who has a certificate of PACS, and one of OTHER, and reaches from several addresses."""

    def __init__(self, gateway: Gateway, authority: Authority) -> None:
        self._port = gateway.port
        self._tls = {name: context(authority, name) for name in ("PACS", "OTHER")}

    def _connected(
        self, address: str = "127.0.0.1", certificate: str | None = "PACS"
    ) -> contextlib.AbstractAsyncContextManager[Peer]:
        tls = None if certificate is None else self._tls[certificate]
        return connected(self._port, address=address, tls=tls)

    async def _rejected(self, address: str = "127.0.0.1", certificate: str = "PACS", **request: str) -> None:
        titles = {"called": OURS, "calling": "PACS", **request}
        async with self._connected(address, certificate) as peer:
            await peer.send(wire.associate_rq(**titles))  # type: ignore[arg-type]
            assert (await peer.pdu())[0] == 3

    async def address_not_admitted(self) -> None:
        async with self._connected("127.0.0.9", None) as peer:
            assert await peer.rest() == b""

    async def too_many_connections(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(CONNECTIONS + 1):
                await stack.enter_async_context(self._connected("127.0.0.2", None))
            await asyncio.sleep(0.2)

    async def too_many_associations(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(2):
                peer = await stack.enter_async_context(self._connected())
                await peer.associate(called=OURS, calling="PACS")
            await self._rejected()

    async def tls_refused(self) -> None:
        async with self._connected(certificate=None) as peer:
            await peer.send(wire.associate_rq())
            await peer.rest()

    async def certificate_of_another(self) -> None:
        await self._rejected("127.0.0.3", "PACS", calling="OTHER")

    async def called_ae_title(self) -> None:
        await self._rejected(called="ANY-SCP")

    async def calling_ae_title(self) -> None:
        await self._rejected(calling="NOBODY")

    async def calling_address(self) -> None:
        await self._rejected(calling="OTHER")

    async def not_associated_in_time(self) -> None:
        async with self._connected() as peer:
            assert await peer.rest(10) == b""

    async def not_dicom(self) -> None:
        async with self._connected() as peer:
            await peer.send(b"GET / HTTP/1.1\r\n\r\n")
            await peer.rest()

    async def protocol_violated(self) -> None:
        async with self._connected() as peer:
            await peer.associate(called=OURS, calling="PACS")
            await peer.send(b"\x42" * 10)
            await peer.rest()


COUNTED = {
    AlertKind.ADDRESS_NOT_ADMITTED: 'connections_refused_total{reason="ADDRESS_NOT_ADMITTED"}',
    AlertKind.TOO_MANY_CONNECTIONS: 'connections_refused_total{reason="TOO_MANY_CONNECTIONS"}',
    AlertKind.TOO_MANY_ASSOCIATIONS: 'connections_refused_total{reason="TOO_MANY_ASSOCIATIONS"}',
    AlertKind.TLS_REFUSED: 'connections_refused_total{reason="TLS_REFUSED"}',
    AlertKind.CERTIFICATE_OF_ANOTHER: 'connections_refused_total{reason="CERTIFICATE_OF_ANOTHER"}',
    AlertKind.CALLED_AE_TITLE: 'connections_refused_total{reason="CALLED_AE_TITLE_UNKNOWN"}',
    AlertKind.CALLING_AE_TITLE: 'connections_refused_total{reason="CALLING_AE_TITLE_UNKNOWN"}',
    AlertKind.CALLING_ADDRESS: 'connections_refused_total{reason="CALLING_ADDRESS_WRONG"}',
    AlertKind.NOT_ASSOCIATED_IN_TIME: 'aborts_total{reason="NOT_ASSOCIATED_IN_TIME"}',
    AlertKind.NOT_DICOM: 'aborts_total{reason="PDU_UNKNOWN"}',
    AlertKind.PROTOCOL_VIOLATED: 'aborts_total{reason="PDU_UNKNOWN"}',
}
NAMED = {
    AlertKind.TOO_MANY_ASSOCIATIONS: "PACS",
    AlertKind.CERTIFICATE_OF_ANOTHER: "OTHER",
    AlertKind.CALLING_ADDRESS: "OTHER",
    AlertKind.PROTOCOL_VIOLATED: "PACS",
}
"""The source that is named in the ledger, where the intruder used one's name rightly."""


def alerts(gateway: Gateway, kind: AlertKind) -> list[dict[str, Any]]:
    """What the ledger has of one kind."""
    lines = (gateway.folder / "var" / "clerk" / "ledger").read_text().splitlines()
    records = [json.loads(line.partition(" ")[2])["record"] for line in lines]
    return [one for one in records if one["kind"] == "alert" and one["alert"] == kind]


def metric(gateway: Gateway, name: str) -> float:
    for line in gateway.get("/metrics").decode().splitlines():
        if line.startswith(f"contourgate_{name} "):
            return float(line.rpartition(" ")[2])
    return 0.0


@pytest.mark.parametrize("kind", AlertKind)
async def test_each_kind_of_intrusion_is_counted_and_told_in_the_ledger_once(
    gateway: Gateway, authority: Authority, kind: AlertKind
) -> None:
    intrude: Callable[[], Awaitable[None]] = getattr(Intruder(gateway, authority), kind.value)
    counted_before = metric(gateway, COUNTED[kind])
    for _ in range(3):
        await intrude()
    until(lambda: alerts(gateway, kind) or None, 30, "the entry")
    await asyncio.sleep(0.2)
    assert_once_a_minute(alerts(gateway, kind))
    told = alerts(gateway, kind)[-1]
    assert told["address"].startswith("127.0.0.")
    if kind in NAMED:
        assert told["source"] == NAMED[kind]
    assert metric(gateway, COUNTED[kind]) - counted_before >= 3
    # And who may come in is served.
    async with connected(gateway.port, tls=context(authority, "PACS")) as peer:
        await peer.associate(called=OURS, calling="PACS")
        await peer.send(wire.p_data(3, 3, wire.echo_rq()))
        assert wire.read_response(await peer.pdu()).Status == 0
        await peer.send(wire.RELEASE_RQ)
        assert await peer.pdu() == wire.RELEASE_RP


def assert_once_a_minute(entries: list[dict[str, Any]]) -> None:
    """Between two entries about the same address lies a minute."""
    last: dict[str, datetime] = {}
    for entry in entries:
        at = datetime.fromisoformat(entry["at"])
        before = last.get(entry["address"])
        assert before is None or (at - before).total_seconds() > 55
        last[entry["address"]] = at


def test_control_two_entries_at_once_would_be_found() -> None:
    entry = {"address": "127.0.0.1", "at": "2026-01-01T00:00:00Z"}
    assert_once_a_minute([entry, {**entry, "address": "127.0.0.2"}])
    with pytest.raises(AssertionError):
        assert_once_a_minute([entry, {**entry, "at": "2026-01-01T00:00:20Z"}])


def serial_of(gateway: Gateway, authority: Authority) -> int:
    """The serial number of the certificate that the port shows now."""

    async def look() -> bytes:
        async with connected(gateway.port, tls=context(authority, "PACS")) as peer:
            shown: bytes = peer.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            return shown

    return x509.load_der_x509_certificate(asyncio.run(look())).serial_number


def alarms(gateway: Gateway) -> dict[str, str]:
    told = json.loads(gateway.get("/api/status"))["alarms"]
    return {alarm["about"]: alarm["code"] for alarm in told}


def test_a_certificate_that_ends_in_20_days_is_told_until_a_renewed_one_is_there(
    gateway: Gateway, authority: Authority
) -> None:
    until(lambda: "DICOM certificate" in alarms(gateway) or None, 30, "the alarm")
    assert alarms(gateway) == {"DICOM certificate": "CERTIFICATE_ENDS"}
    assert metric(gateway, 'alarms{code="CERTIFICATE_ENDS"}') == 1
    assert "CERTIFICATE_ENDS" in gateway.log.read_text()
    in_20_days = time.time() + 20 * 86400
    assert abs(metric(gateway, "certificate_not_after_seconds") - in_20_days) < 86400
    before = serial_of(gateway, authority)
    authority.issue(OURS)
    until(lambda: serial_of(gateway, authority) != before or None, 30, "the renewed certificate")
    until(lambda: not alarms(gateway) or None, 30, "the end of the alarm")
    assert metric(gateway, "certificate_not_after_seconds") - in_20_days > 300 * 86400
