"""The acceptor's side of PS3.8 over a real socket: what may be cut anywhere is cut everywhere, and nobody notices."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Iterator

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom import AE
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import build_context, build_role

from tests import wire
from tests.intake import Intake, Peer, SteadySender, connected

DATASET = wire.made_dataset(997)


def intake(**limits: float) -> Intake:
    port = wire.free_port()
    return Intake(wire.config(port, limits=limits, dicom={"ae_title": "GATEWAY", "port": port}))


def pdu_of(pdvs: list[tuple[int, bytes]]) -> bytes:
    """A P-DATA-TF PDU of several PDVs, each a message control header and its bytes."""
    items = b"".join(struct.pack(">IBB", len(value) + 2, 1, control) + value for control, value in pdvs)
    return struct.pack(">BBI", 4, 0, len(items)) + items


def cut(data: bytes, sizes: Iterator[int]) -> list[bytes]:
    parts = []
    while data:
        size = max(1, next(sizes))
        parts.append(data[:size])
        data = data[size:]
    return parts


def fragments(data: bytes, sizes: Iterator[int], *, is_command: bool) -> list[tuple[int, bytes]]:
    parts = cut(data, sizes)
    return [(int(is_command) | 2 * (n == len(parts) - 1), part) for n, part in enumerate(parts)]


async def assert_stored(scene: Intake, peer: Peer, before: int) -> None:
    assert wire.read_response(await peer.pdu()).Status == 0
    assert len(scene.service.requests) == before + 1
    request = scene.service.requests[-1]
    assert bytes(request.dataset) == DATASET
    assert request.sop_instance_uid == wire.SOP_INSTANCE


async def test_a_message_may_be_cut_into_pdvs_and_pdus_anywhere() -> None:
    choice = random.Random(8)
    async with intake() as scene, connected(scene.acceptor.port) as peer:
        await peer.associate()
        for turn in range(60):
            longest = choice.choice([1, 2, 3, 7, 50, 2000])
            sizes = iter(lambda longest=longest: choice.randint(1, longest), None)
            pdvs = fragments(wire.store_rq(), sizes, is_command=True)
            pdvs += fragments(DATASET, sizes, is_command=False)
            while pdvs:
                together = choice.randint(1, 9)
                await peer.send(pdu_of(pdvs[:together]))
                del pdvs[:together]
            await assert_stored(scene, peer, turn)


async def test_the_stream_may_be_cut_into_segments_at_each_byte() -> None:
    message = wire.store_message(DATASET, fragment_bytes=400)
    ends = [*range(1, 60), *range(len(message) - 60, len(message))]
    async with intake() as scene, connected(scene.acceptor.port) as peer:
        await peer.associate()
        for turn, end in enumerate(ends):
            await peer.send(message[:end])
            await asyncio.sleep(0.001)
            await peer.send(message[end:])
            await assert_stored(scene, peer, turn)


async def test_control_a_byte_that_is_lost_would_be_noticed() -> None:
    message = wire.store_message(DATASET)
    async with intake(message_s=1.0, rate_window_s=0.5) as scene, connected(scene.acceptor.port) as peer:
        await peer.associate()
        await peer.send(message[:500] + message[501:])
        with pytest.raises(AssertionError):
            await assert_stored(scene, peer, 0)


async def test_a_release_collision_ends_in_a_release() -> None:
    async with (
        intake() as scene,
        SteadySender(scene.acceptor.port, calling="STORESCU"),
        connected(scene.acceptor.port) as peer,
    ):
        await peer.associate()
        (ours,) = (
            c for c in scene.acceptor._all() if c.association.bytes_received < 1000 and c.is_associated
        )
        ours.stop()
        assert await peer.pdu() == wire.RELEASE_RQ
        await peer.send(wire.RELEASE_RQ)  # as if both had asked at once
        await peer.send(wire.RELEASE_RP)
        assert await peer.pdu() == wire.RELEASE_RP
        assert await peer.rest() == b""
        await scene.service.until(lambda: (ours.number, True) in scene.service.ended)


def negotiated(port: int) -> tuple[AE, object]:
    """A session of pynetdicom that asks for everything that there is to ask for."""
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid, extended.service_class_application_information = CTImageStorage, b"\2\0\3\0\1\0"
    common = SOPClassCommonExtendedNegotiation()
    common.sop_class_uid, common.service_class_uid = CTImageStorage, "1.2.840.10008.4.2"
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field = 2, b"somebody"
    identity.secondary_field, identity.positive_response_requested = b"secret", True
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 8
    ae = AE("STORESCU")
    association = ae.associate(
        "127.0.0.1",
        port,
        ae_title="GATEWAY",
        contexts=[build_context(CTImageStorage)],
        ext_neg=[
            extended,
            common,
            identity,
            window,
            build_role(CTImageStorage, scu_role=True, scp_role=True),
        ],
    )
    return ae, association


async def test_every_negotiation_item_is_answered_and_none_is_promised_that_is_not_kept() -> None:
    async with intake() as scene:
        _, association = await asyncio.to_thread(negotiated, scene.acceptor.port)
        assert association.is_established  # type: ignore[attr-defined]
        acceptor = association.acceptor  # type: ignore[attr-defined]
        assert acceptor.asynchronous_operations == (1, 1)
        assert acceptor.sop_class_extended == {}
        assert acceptor.user_identity is None
        role = acceptor.role_selection[CTImageStorage]
        assert (role.scu_role, role.scp_role) == (True, False)
        await asyncio.to_thread(association.release)  # type: ignore[attr-defined]
        await scene.service.until(lambda: scene.service.ended == [(1, True)])
