"""A certificate that ends soon is told of until a renewed one is there."""

from __future__ import annotations

import asyncio

from gateway import config
from gateway.doctor.diagnosis import Diagnosis, Finding
from gateway.flow.alarm import Alarm
from gateway.flow.concerns import Concerns
from gateway.flow.expiry import ExpiryWatch
from gateway.metrics import Metrics

WELL = Diagnosis(Finding.WELL, "DICOM certificate", "300 days left, until 2027-09-18")
SOON = Diagnosis(Finding.CAUTION, "DICOM certificate", "29 days left, until 2026-12-21")
SOONER = Diagnosis(Finding.CAUTION, "DICOM certificate", "28 days left, until 2026-12-21")
ENDED = Diagnosis(Finding.ILL, "DICOM certificate", "ended on 2026-12-21")
OTHER = Diagnosis(Finding.ILL, "DICOM CA certificate", "cannot be read, or is not PEM")


async def test_it_stands_as_it_is_now_until_the_file_is_renewed() -> None:
    found = [WELL]
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        concerns = Concerns(Alarm(config.Alarm()), Metrics(), group)
        watch = ExpiryWatch(lambda: found, concerns)

        def standing() -> list[tuple[str, str, str]]:
            watch.look()
            watch.look()  # the same again changes nothing
            return [
                (one.error.code, one.about, str(one.error.facts.get("found"))) for one in concerns.standing
            ]

        assert standing() == []
        for told in (SOON, SOONER, ENDED):
            found[:] = [told]
            text = told.text.replace(",", "")
            assert standing() == [("CERTIFICATE_ENDS", "DICOM certificate", text)]
        found[:] = [ENDED, OTHER]
        assert [about for _, about, _ in standing()] == ["DICOM certificate", "DICOM CA certificate"]
        found[:] = [WELL, OTHER]
        assert [about for _, about, _ in standing()] == ["DICOM CA certificate"]


async def test_it_looks_again_and_again() -> None:
    looked = asyncio.Event()

    def examine() -> list[Diagnosis]:
        looked.set()
        return []

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        watch = ExpiryWatch(examine, Concerns(Alarm(config.Alarm()), Metrics(), group))
        task = group.create_task(watch.watch())
        await looked.wait()
        task.cancel()
