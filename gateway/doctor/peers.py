"""Peers: whether destinations, query peers and the contourer answer, and the contourer from where it must."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from gateway.cloud.contourer import Contourer
from gateway.cloud.factory import make_contourer
from gateway.config import Config, DicomwebContourer, EmbeddedContourer
from gateway.dicom.scu import Peer, Scu
from gateway.dicom.tls import client_context
from gateway.doctor.diagnosis import Diagnosis, Finding
from gateway.errors import ConfigError, ContourerError, PeerError
from gateway.metrics import Metrics

__all__ = ["contourer_answers", "examine", "peers_answer"]

ANSWER_S: Final = 10.0


class Echoes(Protocol):
    """What asks a DICOM peer for an answer: `gateway.dicom.scu.Scu`."""

    async def echo(self, peer: Peer) -> None: ...


async def examine(config: Config) -> list[Diagnosis]:
    """Ask all of them, from outside of a running gateway."""
    tls = config.dicom.tls
    try:
        context = client_context(tls) if tls is not None and tls != "off" else None
    except ConfigError as error:
        return [Diagnosis(Finding.ILL, "DICOM TLS", str(error))]
    scu = Scu(config.dicom.ae_title, tls=context, connect_s=ANSWER_S / 2, deadline_s=ANSWER_S)
    try:
        return [*await peers_answer(config, scu), await _contourer(config)]
    finally:
        await scu.close()


async def peers_answer(config: Config, scu: Echoes) -> Sequence[Diagnosis]:
    """Ask each destination and query peer for an answer (C-ECHO, PS3.4 A), all at once."""
    peers: list[tuple[str, Peer]] = [(f"destination {one.name}", one) for one in config.destinations]
    peers += [(f"source {one.ae_title}", one.query) for one in config.sources if one.query is not None]

    async def asked(subject: str, peer: Peer) -> Diagnosis:
        try:
            async with asyncio.timeout(ANSWER_S):
                await scu.echo(peer)
        except PeerError as error:
            return Diagnosis(Finding.ILL, subject, str(error))
        except TimeoutError:
            return Diagnosis(Finding.ILL, subject, f"does not answer within {ANSWER_S:.0f} s")
        return Diagnosis(Finding.WELL, subject, "answers")

    return await asyncio.gather(*(asked(subject, peer) for subject, peer in peers))


async def contourer_answers(contourer: Contourer, *, is_attested: bool = True) -> Diagnosis:
    """Reach the contourer and verify who it is and where.

    Parameters
    ----------
    contourer : Contourer
        Started.
    is_attested : bool
        Whether it can prove that; a DICOMweb store cannot.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            said = await contourer.describe()
    except ContourerError as error:
        return Diagnosis(Finding.ILL, "contourer", str(error))
    except TimeoutError:
        return Diagnosis(Finding.ILL, "contourer", f"does not answer within {ANSWER_S:.0f} s")
    if not is_attested:
        return Diagnosis(Finding.WELL, "contourer", "answers; a DICOMweb store attests no region")
    return Diagnosis(Finding.WELL, "contourer", f"answers, is the pinned one, region {said['region']}")


async def _contourer(config: Config) -> Diagnosis:
    if isinstance(config.contourer, EmbeddedContourer):
        return Diagnosis(Finding.WELL, "contourer", "embedded: it is started with the gateway")
    try:
        contourer = make_contourer(config, lambda passage_id: bytes(96), Metrics())
    except ConfigError as error:
        return Diagnosis(Finding.ILL, "contourer", str(error))
    await contourer.start()
    try:
        is_attested = not isinstance(config.contourer, DicomwebContourer)
        return await contourer_answers(contourer, is_attested=is_attested)
    finally:
        await contourer.close()
