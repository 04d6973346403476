"""What the doctor says of peers and of the contourer, without a socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.doctor import Finding, peers
from gateway.errors import ContourerRefused, ContourerUnavailable, GatewayError, PeerError
from tests.unit.doctor.made_site import findings, made_config


class Scu:
    """Peers that answer, refuse or hang, by port."""

    async def echo(self, peer: Any) -> None:
        if peer.port == 1:
            raise PeerError("PEER_REJECTED", reason=7)
        if peer.port == 2:
            await asyncio.sleep(60)


class Contourer:
    def __init__(self, error: GatewayError | None = None, *, hangs: bool = False) -> None:
        self.error, self.hangs = error, hangs

    async def describe(self) -> dict[str, str]:
        if self.hangs:
            await asyncio.sleep(60)
        if self.error is not None:
            raise self.error
        return {"version": "1", "region": "CH", "models": ""}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "ANSWER_S", 0.1)


async def test_each_peer_is_asked_and_told_by_its_name(tmp_path: Path) -> None:
    def destination(name: str, port: int) -> dict[str, Any]:
        return {"name": name, "ae_title": "TPS", "host": "127.0.0.1", "port": port}

    query = {"ae_title": "PACS", "host": "127.0.0.1", "port": 3}
    config = made_config(
        tmp_path,
        destinations=[destination("tps", 104), destination("other", 1), destination("third", 2)],
        sources=[{"ae_title": "PACS", "addresses": ["127.0.0.1"], "query": query}],
    )
    assert findings(await peers.peers_answer(config, Scu())) == {
        "destination tps": {Finding.WELL},
        "destination other": {Finding.ILL},
        "destination third": {Finding.ILL},
        "source PACS": {Finding.WELL},
    }


@pytest.mark.parametrize(
    ("contourer", "finding"),
    [
        (Contourer(), Finding.WELL),
        (Contourer(ContourerRefused("CONTOURER_REGION")), Finding.ILL),
        (Contourer(ContourerRefused("CONTOURER_UNTRUSTED")), Finding.ILL),
        (Contourer(ContourerUnavailable("CONTOURER_UNREACHABLE")), Finding.ILL),
        (Contourer(hangs=True), Finding.ILL),
    ],
)
async def test_a_contourer_that_is_not_there_or_elsewhere_is_ill(contourer: Any, finding: Finding) -> None:
    diagnosis = await peers.contourer_answers(contourer)
    assert diagnosis.finding is finding
    if finding is Finding.WELL:
        assert "region CH" in diagnosis.text


async def test_an_embedded_contourer_is_not_started_to_be_asked(tmp_path: Path) -> None:
    config = made_config(tmp_path, destinations=made_config(tmp_path).destinations)
    found = {one.subject: one for one in await peers.examine(config)}
    assert found["contourer"].finding is Finding.WELL
    assert found["destination tps"].finding is Finding.ILL  # nobody listens there


async def test_an_identity_that_cannot_be_read_is_ill(tmp_path: Path) -> None:
    contourer = {"kind": "sealed", "url": "https://127.0.0.1:1", "identity_file": tmp_path / "none"}
    found = {one.subject: one for one in await peers.examine(made_config(tmp_path, contourer=contourer))}
    assert found["contourer"].finding is Finding.ILL
    assert "CONFIG_INVALID" in found["contourer"].text
