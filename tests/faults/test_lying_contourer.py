"""A structure set with a foreign UID is held by the running gateway and never reaches the TPS (R10, R32).

The control is the same contourer with an honest engine: then the TPS gets it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.contourer.engines import ENGINE
from tests import made
from tests.contourer_stand import CLIENT, KEYS, contourer
from tests.running import running

pytestmark = pytest.mark.peer("storescu", "storescp")

LYING_ENGINE = str(Path(__file__).parents[1] / "lying_engine.py")


@pytest.mark.parametrize(
    ("engine", "end", "objects"),
    [(LYING_ENGINE, "held", 0), (ENGINE, "delivered", 1)],
    ids=["lying", "honest"],
)
async def test_only_an_honest_contourers_result_reaches_the_tps(
    tmp_path: Path, engine: str, end: str, objects: int
) -> None:
    (tmp_path / "identity.json").write_text(KEYS.public.model_dump_json())
    (tmp_path / "client.pem").write_bytes(CLIENT.certificate)
    (tmp_path / "client.key").write_bytes(CLIENT.key)
    (tmp_path / "client.key").chmod(0o600)
    images = tmp_path / "images"
    images.mkdir()
    for index in range(6):
        (images / f"{index}.dcm").write_bytes(made.part10(made.body(index)))
    async with contourer(engine=engine, models=("default",)) as stand:
        settings = {
            "kind": "sealed",
            "url": stand.endpoint.url,
            "identity_file": str(tmp_path / "identity.json"),
            "client_certificate_file": str(tmp_path / "client.pem"),
            "client_key_file": str(tmp_path / "client.key"),
        }

        def passage() -> tuple[dict[str, object], int]:
            with running(tmp_path, {"contourer": settings}) as (gateway, tps):
                assert tps is not None
                assert gateway.send(images).returncode == 0
                (ended,) = gateway.until_state("delivered", "held", "failed")
                return ended, len(tps.received())

        ended, received = await asyncio.to_thread(passage)
    assert (ended["state"], received) == (end, objects)
    if end == "held":
        reason = ended["reason"]
        assert isinstance(reason, dict)
        assert reason["code"] == "RESULT_FOREIGN_UID"
