"""The list of passages in a real browser."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from gateway.config import Lockdown, Protection, Waiver
from gateway.console.readiness import Readiness
from gateway.errors import PassageUnfit, StructureSetUnsound
from gateway.passage import Passage, State
from tests.browser.conftest import Page, Stand
from tests.browser.made_board import HOSTILE_NAMES, made_passage

pytestmark = pytest.mark.peer("chromium", "chromedriver")

OFF_SLICE = StructureSetUnsound("RESULT_OFF_SLICE", position_mm=-213.5)


def held(stand: Stand, pseudonym: str = "P-4D2WZ0RE") -> Passage:
    made = made_passage(State.HELD, held_from=State.INSPECTED, pseudonym=pseudonym, error=OFF_SLICE)
    return stand.do(lambda: stand.board.add(made))


def names(page: Page, group: str) -> list[str]:
    return [card.text for card in page.all(f"#{group} .pseudonym")]


def test_a_passage_comes_moves_and_goes_without_a_reload(page: Page, stand: Stand) -> None:
    page.visit(stand.url)
    page.run("window.marker = 'still here'")
    passage = stand.do(lambda: stand.board.add(made_passage(State.COMPLETE)))
    page.wait("#active .card")
    for state in (State.CHECKED, State.SEALED, State.COMMITTED, State.CONTOURING):
        stand.do(lambda to=state: stand.board.move(passage, to))
        page.wait(f'#active .card[data-state="{state.value}"]')
        page.wait(f'.way [data-state="{state.value}"][aria-current="step"]')
    stand.do(lambda: stand.board.move(passage, State.HELD, PassageUnfit("SLICE_MISSING")))
    page.wait("#held .card")
    assert "1 passage needs a person" in page.wait('.notice[data-is="held"]').text
    assert page.driver.title.startswith("(1 held)")
    assert "is held" in page.text("#announcements")
    stand.do(lambda: stand.board.drop(passage))
    page.wait("#first")
    assert page.all(".cards .card") == []
    assert page.run("return window.marker") == "still here"
    assert page.driver.title == "Contourgate"


def test_the_empty_list_says_how_to_send_the_first_study(page: Page, stand: Stand) -> None:
    page.visit(stand.url, "#first")
    told = page.one("#first").text
    for word in ("CONTOURGATE", "11112", "CT_SIM_1", "PACS", "192.0.2.7"):
        assert word in told


def test_the_way_tells_how_long_each_state_took(page: Page, stand: Stand) -> None:
    stand.do(lambda: stand.board.add(made_passage(State.CONTOURING, ago_s=65)))
    page.visit(stand.url, "#active .card")
    stages = [" ".join(stage.text.split()) for stage in page.all(".way li")]
    assert stages[:5] == [
        "Receiving 11 s",
        "Complete 40 ms",
        "Checked 310 ms",
        "Sealed 20 ms",
        "Committed 180 ms",
    ]
    assert stages[5].startswith("Contouring 1 min")
    assert stages[6:] == ["Returned", "Inspected", "Restored", "Delivered"]
    before = page.one(".elapsed").text
    page.until(lambda: page.one(".elapsed").text != before, "the time runs")


def test_a_held_passage_says_why_and_is_released_by_keyboard(page: Page, stand: Stand) -> None:
    passage = held(stand)
    page.visit(stand.url, "#held .card")
    reason = page.one("#held .reason").text
    assert "RESULT_OFF_SLICE" in reason
    assert OFF_SLICE.meaning in reason
    assert OFF_SLICE.hint in reason
    assert "-213.5" in reason

    page.one('[data-part="release"]').send_keys(Keys.ENTER)
    page.wait("#decision")
    assert page.run("return document.activeElement.dataset.part") == "dismiss"
    ActionChains(page.driver).send_keys(Keys.ESCAPE).perform()
    page.until(lambda: not page.one("#decision").is_displayed(), "the dialog closes")
    assert stand.board.decided == []

    page.one('[data-part="release"]').send_keys(Keys.ENTER)
    page.wait("#decision")
    ActionChains(page.driver).send_keys(Keys.TAB, Keys.ENTER).perform()
    page.wait('#active .card[data-state="inspected"]')
    assert stand.board.decided == [("release", passage.id)]
    assert not page.one("#decision").is_displayed()


def test_a_held_passage_is_cancelled_by_mouse(page: Page, stand: Stand) -> None:
    passage = held(stand)
    page.visit(stand.url, "#held .card")
    page.one('#held [data-part="cancel"]').click()
    assert "cannot be undone" in page.wait("#decision").text
    page.one('#decision [data-part="confirm"]').click()
    page.wait('#done .card[data-state="cancelled"]')
    assert stand.board.decided == [("cancel", passage.id)]


def test_who_decides_too_late_is_told(page: Page, stand: Stand) -> None:
    passage = held(stand)
    page.visit(stand.url, "#held .card")
    page.one('[data-part="release"]').click()
    page.wait("#decision")
    stand.do(lambda: stand.board.move(passage, State.CANCELLED))
    page.one('#decision [data-part="confirm"]').click()
    assert "not held" in page.wait("#decision [role=alert]").text
    assert [entry for entry in page.log() if "409" not in entry] == []


def test_filters_show_one_group_and_survive_a_reload(page: Page, stand: Stand) -> None:
    held(stand, "P-HELD")
    stand.do(lambda: stand.board.add(made_passage(State.SEALED, pseudonym="P-ACTIVE")))
    stand.do(lambda: stand.board.add(made_passage(State.DELIVERED, pseudonym="P-DONE")))
    page.visit(stand.url, "#done .card")
    counts = [button.text.split()[-1] for button in page.all("[data-filter]")]
    assert counts == ["3", "1", "1", "1"]
    page.one('[data-filter="done"]').click()
    page.until(lambda: not page.one("#held").is_displayed(), "held ones are not shown")
    assert page.one("#done").is_displayed()
    page.driver.refresh()
    page.wait("#done .card")
    assert not page.one("#active").is_displayed()
    assert page.one('[data-filter="done"]').get_attribute("aria-pressed") == "true"


def test_an_empty_group_says_so(page: Page, stand: Stand) -> None:
    stand.do(lambda: stand.board.add(made_passage(State.SEALED)))
    page.visit(f"{stand.url}/#held")
    assert page.wait("#none").text == "Nothing is held."


def test_the_newest_come_first(page: Page, stand: Stand) -> None:
    for number in (3, 1, 2):
        made = made_passage(State.SEALED, pseudonym=f"P-{number}", ago_s=100 - number)
        stand.do(lambda made=made: stand.board.add(made))
    page.visit(stand.url, "#active .card")
    assert names(page, "active") == ["P-3", "P-2", "P-1"]
    made = made_passage(State.SEALED, pseudonym="P-4", ago_s=1)
    stand.do(lambda: stand.board.add(made))
    page.until(lambda: len(names(page, "active")) == 4, "the newest is there")
    assert names(page, "active") == ["P-4", "P-3", "P-2", "P-1"]


def test_a_late_passage_is_marked(page: Page, stand: Stand) -> None:
    late = made_passage(State.RESTORED)
    stand.do(lambda: stand.board.add(made_passage(State.RESTORED, ago_s=4000)))  # by the wall clock only
    stand.do(lambda: stand.board.add(late))
    page.visit(stand.url)
    assert page.all('.notice[data-is="late"]') == []

    def pass_the_deadline() -> None:
        late.is_late = True
        stand.board.tell(late)

    stand.do(pass_the_deadline)
    page.wait("#active .late")
    assert "1 passage is late" in page.wait('.notice[data-is="late"]').text


def test_draining_and_waivers_are_shown(page: Page) -> None:
    waiver = Waiver(protection=Protection.MLOCK, until=date(2027, 1, 31), reason="<b>Container</b>")
    other = Stand(lockdown=Lockdown(waivers=(waiver,)))
    try:
        page.visit(other.url, '.notice[data-is="waived"]')
        assert page.one('.notice[data-is="waived"]').text == (
            "Lockdown waived until 2027-01-31: mlock <b>Container</b>"
        )
        assert page.text("#readiness") == "Taking series"
        other.readiness = Readiness(("DRAINING",))
        page.wait('.notice[data-is="draining"]')
        assert page.text("#readiness") == "Draining"
        other.readiness = Readiness(("INTAKE_PAUSED",))
        page.wait('.notice[data-is="unready"]')
        assert page.text("#readiness") == "Not ready"
        page.driver.get("about:blank")
    finally:
        other.end()


def test_a_gateway_that_is_gone_is_noticed_and_comes_back_by_itself(page: Page, stand: Stand) -> None:
    stand.do(lambda: stand.board.add(made_passage(State.SEALED, pseudonym="P-BEFORE")))
    page.visit(stand.url, "#active .card")
    page.run("window.marker = 'still here'")
    stand.close()
    page.wait("#line[data-is=lost]")
    assert "Not connected since" in page.text("#line")
    assert names(page, "active") == ["P-BEFORE"]
    stand.board.entries.clear()
    stand.board.add(made_passage(State.SEALED, pseudonym="P-AFTER"))
    stand.open()
    page.wait("#line[data-is=live]")
    assert names(page, "active") == ["P-AFTER"]
    assert page.run("return window.marker") == "still here"
    assert all("ERR_CONNECTION_REFUSED" in entry or "/events" in entry for entry in page.log())


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_text_stays_text(page: Page, stand: Stand, name: str) -> None:
    made = made_passage(State.HELD, held_from=State.SEALED, pseudonym=name, source=name)
    made.model = name
    made.deliver_to = (name,)
    stand.do(lambda: stand.board.add(made))
    page.visit(stand.url, "#held .card")
    assert page.run("return window.pwned") is None
    assert page.text(".pseudonym") == name.strip()
    assert (
        page.run("return document.querySelectorAll('main script, main img:not([alt=\"\"]), .card b').length")
        == 0
    )
    page.one('[data-part="release"]').click()
    page.wait("#decision")
    assert page.run("return window.pwned") is None


def test_an_inline_script_is_stopped_and_complained_of(page: Page, stand: Stand) -> None:
    """The control of every test here that finds the browser's log empty and `pwned` unset."""
    page.visit(stand.url)
    page.run(
        "const made = document.createElement('script'); made.append('window.pwned = 1'); document.body.append(made)"
    )
    assert page.run("return window.pwned") is None
    complaints = page.log()
    assert any("Content Security Policy" in entry or "TrustedScript" in entry for entry in complaints)


def test_a_name_that_points_here_gets_nothing(page: Page, stand: Stand) -> None:
    stand.do(lambda: stand.board.add(made_passage(State.SEALED, pseudonym="P-SECRET")))
    page.driver.get(f"http://rebound.test:{stand.config.console.port}/")
    assert "loopback" in page.one("body").text
    assert "P-SECRET" not in page.driver.page_source
    assert [entry for entry in page.log() if "421" not in entry and "untrustworthy" not in entry] == []


def test_everything_that_can_be_done_is_reached_by_keyboard(page: Page, stand: Stand) -> None:
    held(stand)
    page.visit(stand.url, "#held .card")
    reached = []
    for _ in range(14):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        reached.append(
            page.run(
                "const it = document.activeElement; return it.dataset.part ?? it.dataset.filter ?? it.className"
            )
        )
    for wanted in ("skip", "brand", "all", "held", "active", "done", "link", "release", "cancel"):
        assert wanted in reached, reached
    assert reached.index("skip") == 0
    assert reached.index("release") < reached.index("cancel")


@pytest.mark.parametrize("width", [360, 768, 1440, 3840])
def test_no_width_needs_sideways_scrolling(page: Page, stand: Stand, width: int) -> None:
    held(stand)
    for state in (State.SEALED, State.DELIVERED):
        stand.do(lambda state=state: stand.board.add(made_passage(state)))
    page.size(width, 900)
    page.visit(stand.url, "#held .card")
    assert page.run("return document.documentElement.scrollWidth") == width
    outside = page.run(
        "return [...document.querySelectorAll('main *')].filter(e => e.getClientRects().length &&"
        " e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert outside == []


def test_cards_do_not_jump_when_only_numbers_change(page: Page, stand: Stand) -> None:
    passage = stand.do(lambda: stand.board.add(made_passage(State.RECEIVING, slices=9)))
    page.visit(stand.url, "#active .card")
    tops = [page.run("return document.querySelector('#active .card').getBoundingClientRect().height")]
    for received in (10, 100, 1000):

        def grow(received: int = received) -> None:
            passage.received = passage.uploaded = received
            stand.board.tell(passage)

        stand.do(grow)
        page.until(lambda received=received: f"{received}" in page.text(".numbers"), "the count grows")
        tops.append(page.run("return document.querySelector('#active .card').getBoundingClientRect().height"))
    assert all(before == after for before, after in pairwise(tops))
