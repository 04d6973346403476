"""Alarms, what a passage waits for, the switches of the destinations, and the doctor's page, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.doctor.diagnosis import Diagnosis, Finding
from gateway.errors import ContourerUnavailable, GatewayError, PeerError, Word
from gateway.flow.concerns import Concern
from gateway.passage import State
from tests.browser.conftest import Page, Stand
from tests.browser.made_board import made_passage

pytestmark = pytest.mark.peer("chromium", "chromedriver")


def test_an_alarm_is_a_banner_until_it_is_over(stand: Stand, page: Page) -> None:
    page.visit(stand.url)
    assert page.all(".notice[data-is=alarm]") == []
    concern = Concern(GatewayError("RECEIPT_MISSING"), "ab12cd34" * 4)
    stand.do(lambda: stand.concerns.append(concern))
    banner = page.wait(".notice[data-is=alarm]")
    assert "passage ab12cd34" in banner.text
    assert "within 24 hours" in banner.text
    stand.do(stand.concerns.clear)
    page.until(lambda: not page.all(".notice[data-is=alarm]"), "the banner goes")


def test_a_passage_says_what_it_waits_for(stand: Stand, page: Page) -> None:
    passage = made_passage(State.CONTOURING)
    stand.do(lambda: stand.board.add(passage))
    page.visit(stand.url, "#active .card")
    assert not page.one("#active .card [data-part=waiting]").is_displayed()

    def wait() -> None:
        passage.waiting = ContourerUnavailable("CONTOURER_UNREACHABLE", reason=Word("timeout"))
        stand.board.tell(passage)

    stand.do(wait)
    shown = page.wait("#active .card [data-part=waiting]")
    assert "CONTOURER_UNREACHABLE" in shown.text
    assert "tried again by itself" in shown.text
    stand.do(lambda: stand.board.move(passage, State.RETURNED))
    page.until(lambda: not shown.is_displayed(), "it is not shown any more")


def test_a_destination_is_paused_and_resumed_by_its_button(stand: Stand, page: Page) -> None:
    stand.lines["ARCHIVE"].error = PeerError("PEER_UNREACHABLE")
    stand.lines["ARCHIVE"].waiting = 2
    page.visit(stand.url, "#queues")
    assert "2 waiting" in page.text("#queues [data-is=troubled]")
    assert "PEER_UNREACHABLE" in page.text("#queues [data-is=troubled]")
    page.one("#queues button[data-name=TPS]").click()
    page.wait("#queues [data-is=paused]")
    assert stand.lines["TPS"].is_paused
    assert not stand.lines["ARCHIVE"].is_paused
    page.one("#queues button[data-name=TPS]").click()
    page.until(lambda: not stand.lines["TPS"].is_paused, "it is resumed")
    page.until(lambda: not page.all("#queues [data-is=paused]"), "the page says so")


def test_the_doctors_page_is_green_or_red_with_the_reason_first(
    stand: Stand, page: Page, tmp_path: Path
) -> None:
    page.visit(stand.url)
    page.one("a[href='/doctor']").click()
    page.wait("#verdict[data-is=green]")
    stand.do(
        lambda: stand.diagnoses.extend(
            (
                Diagnosis(Finding.CAUTION, "swap", "is on"),
                Diagnosis(Finding.ILL, "destination TPS", "PEER_UNREACHABLE: <b>not markup</b>"),
            )
        )
    )
    page.one("#again").click()
    page.wait("#verdict[data-is=red]")
    lines = page.all("#diagnoses li")
    assert [line.get_attribute("data-is") for line in lines] == ["ill", "caution", "well"]
    assert "<b>not markup</b>" in lines[0].text
    page.driver.save_screenshot(str(tmp_path / "doctor.png"))
