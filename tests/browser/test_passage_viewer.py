"""One passage in a real browser: contours on slices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from imagecodecs import png_decode, png_encode
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.keys import Keys

from gateway.errors import DeidentificationError, Word
from gateway.passage import Passage, State
from tests.browser.conftest import Page, Stand
from tests.browser.made_board import THORAX, made_passage, made_slice

pytestmark = pytest.mark.peer("chromium", "chromedriver")

SLICES = 24


def opened(page: Page, stand: Stand, state: State = State.DELIVERED, **how: Any) -> Passage:
    """Make a passage, open its page and wait for its slices."""
    passage = stand.do(lambda: stand.board.add(made_passage(state), slices=SLICES, **how))
    page.visit(f"{stand.url}/passages/{passage.id}", "#position:not(:empty)")
    return passage


def drawn(page: Page) -> list[str]:
    """The ROIs whose contours are drawn now."""
    return page.run("return [...document.querySelectorAll('#contours .line')].map(p => p.dataset.roi)")


def key_of(page: Page, name: str) -> str:
    keys = {item.text.strip(): item.get_attribute("data-roi") for item in page.all("#rois li")}
    return str(keys[name])


def pixels(page: Page, canvas: str = "canvas") -> list[int]:
    """One in four thousand of a canvas's samples."""
    return page.run(
        "const { width, height } = document.getElementById(arguments[0]);"
        "const copy = Object.assign(document.createElement('canvas'), { width, height });"
        "const context = copy.getContext('2d', { willReadFrequently: true });"
        "context.drawImage(document.getElementById(arguments[0]), 0, 0);"
        "const d = context.getImageData(0, 0, width, height).data;"
        "return [...d].filter((_, i) => i % 4001 === 0)",
        canvas,
    )


def box(page: Page, css: str) -> list[float]:
    """Left, top, width and height of an element on the page, in CSS pixels."""
    return page.run(
        "const { x, y, width, height } = document.querySelector(arguments[0]).getBoundingClientRect();"
        "return [x + scrollX, y + scrollY, width, height]",
        css,
    )


def slice_shown(page: Page) -> int:
    return int(page.text("#position").split()[1])


def coloured(page: Page, colour: tuple[int, int, int]) -> int:
    """How many pixels of the stage, as it is on the screen, have nearly this colour."""
    shot = np.asarray(png_decode(page.one("#stage").screenshot_as_png), np.int32)[..., :3]
    return int((np.abs(shot - np.array(colour)).sum(axis=2) < 60).sum())


def test_contours_appear_when_they_return(page: Page, stand: Stand) -> None:
    passage = opened(page, stand, State.CONTOURING)
    assert drawn(page) == []
    assert "not returned" in page.text("#no-rois")
    page.run("window.marker = 'still here'")

    def come() -> None:
        stand.board.contoured.add(passage.id)
        stand.board.move(passage, State.RETURNED)

    stand.do(come)
    page.until(lambda: drawn(page), "contours are drawn")
    assert len(page.all("#rois li")) == len(THORAX)
    assert page.run("return window.marker") == "still here"


def test_contours_lie_where_they_were_drawn(page: Page, stand: Stand) -> None:
    passage = opened(page, stand, contoured=True)
    page.until(lambda: drawn(page), "contours are drawn")
    index = slice_shown(page) - 1
    for outline in stand.board.outlines(passage.id, index):
        bounds = page.run(
            "const p = document.querySelector(`[data-roi='${arguments[0]}'].line`).getBBox();"
            "return [p.x, p.y, p.x + p.width, p.y + p.height]",
            key_of(page, outline.roi),
        )
        low, high = outline.rings[0].min(axis=0), outline.rings[0].max(axis=0)
        assert bounds == pytest.approx([*low, *high], abs=0.02)
    assert box(page, "#sheet") == box(page, "#contours")


def test_an_roi_switched_off_leaves_the_picture(page: Page, stand: Stand) -> None:
    opened(page, stand, contoured=True)
    heart = key_of(page, "Heart")
    page.until(lambda: heart in drawn(page), "the heart is drawn")
    colour = next(organ.colour for organ in THORAX if organ.name == "Heart")
    ActionChains(page.driver).move_to_element(page.one("h1")).perform()
    before = coloured(page, colour)
    others = [roi for roi in drawn(page) if roi != heart]
    toggle = page.one(f"#rois [data-roi='{heart}'] input")
    toggle.send_keys(Keys.SPACE)
    page.until(lambda: heart not in drawn(page), "the heart is not drawn")
    assert drawn(page) == others
    assert before > 200
    assert coloured(page, colour) < before / 20
    toggle.click()
    page.until(lambda: heart in drawn(page), "the heart is drawn again")


def test_all_contours_are_switched_at_once(page: Page, stand: Stand) -> None:
    opened(page, stand, contoured=True)
    all_of_them = page.until(lambda: drawn(page), "contours are drawn")
    page.one("#all-off").click()
    assert drawn(page) == []
    page.one("#all-on").click()
    assert drawn(page) == all_of_them
    page.one("#stage").send_keys("h")
    assert drawn(page) == []
    page.one("#stage").send_keys("h")
    assert drawn(page) == all_of_them


def test_what_is_switched_off_stays_off_on_the_next_slice(page: Page, stand: Stand) -> None:
    opened(page, stand, contoured=True)
    body = key_of(page, "BODY")
    page.one(f"#rois [data-roi='{body}'] input").click()
    page.one("#stage").send_keys(Keys.ARROW_UP)
    page.until(lambda: drawn(page), "contours are drawn")
    assert body not in drawn(page)


def test_keys_wheel_and_slider_go_through_the_slices(page: Page, stand: Stand) -> None:
    opened(page, stand)
    stage = page.one("#stage")
    seen = {}

    def come_to(number: int) -> None:
        page.until(lambda: slice_shown(page) == number, f"slice {number} is shown")
        assert page.text("#index") == f"{number} / {SLICES}"
        assert page.one("#slider").get_attribute("value") == str(number - 1)
        seen[number] = pixels(page)

    here = slice_shown(page)
    stage.send_keys(Keys.ARROW_UP)
    come_to(here + 1)
    stage.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    come_to(here - 1)
    stage.send_keys(Keys.END)
    come_to(SLICES)
    stage.send_keys(Keys.ARROW_UP)
    come_to(SLICES)
    stage.send_keys(Keys.PAGE_DOWN)
    come_to(SLICES - 10)
    stage.send_keys(Keys.HOME)
    come_to(1)
    scrolled = page.run("return scrollY")
    origin = ScrollOrigin.from_element(stage)
    ActionChains(page.driver).scroll_from_origin(origin, 0, -120).perform()
    come_to(2)
    ActionChains(page.driver).scroll_from_origin(origin, 0, 120).perform()
    come_to(1)
    assert page.run("return scrollY") == scrolled
    page.one("#slider").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    come_to(3)
    assert len({tuple(shades) for shades in seen.values()}) == len(seen)


def test_windows_change_the_greys_by_button_key_and_drag(page: Page, stand: Stand) -> None:
    opened(page, stand)
    soft = pixels(page)
    assert page.text("#window") == "L 40  W 400"
    page.one("#windows button:nth-child(2)").click()
    assert page.text("#window") == "L −600  W 1500"
    lung = pixels(page)
    page.one("#stage").send_keys("3")
    bone = pixels(page)
    assert len({tuple(shades) for shades in (soft, lung, bone)}) == 3
    page.one("#stage").send_keys("1")
    assert pixels(page) == soft
    assert page.one("#windows button").get_attribute("aria-pressed") == "true"
    ActionChains(page.driver).move_to_element(page.one("#stage")).click_and_hold().move_by_offset(
        60, 30
    ).release().perform()
    level, width = (int(word.replace("−", "-")) for word in page.text("#window").split()[1::2])
    assert level > 40
    assert width > 400
    assert page.one("#windows button").get_attribute("aria-pressed") == "false"
    assert pixels(page) != soft


def test_magnetic_resonance_gets_windows_of_its_own_and_no_unit(page: Page, stand: Stand) -> None:
    made = made_passage(State.DELIVERED, modality="MR")
    stand.do(lambda: stand.board.add(made, slices=SLICES))
    page.visit(f"{stand.url}/passages/{made.id}", "#position:not(:empty)")
    assert [button.text for button in page.all("#windows button")] == ["Auto", "Brighter", "Whole range"]
    ActionChains(page.driver).move_to_element(page.one("#canvas")).perform()
    assert "HU" not in page.until(lambda: page.text("#cursor"), "the cursor is told")


def test_the_value_under_the_cursor_is_the_stored_one(page: Page, stand: Stand) -> None:
    passage = opened(page, stand)
    ActionChains(page.driver).move_to_element_with_offset(page.one("#canvas"), 40, -30).perform()
    told = page.until(lambda: page.text("#cursor"), "the cursor is told").replace("−", "-").split()
    column, row = int(told[4]), int(told[6])
    values = made_slice(slice_shown(page) - 1, stand.board.slice_count(passage.id)).stored_values
    assert told[:2] == [str(values[row, column]), "HU"]


def test_contours_stay_crisp_when_zoomed(page: Page, stand: Stand) -> None:
    opened(page, stand, contoured=True)
    page.until(lambda: drawn(page), "contours are drawn")
    before = box(page, "#contours")
    page.one("#zoom-in").click()
    page.one("#stage").send_keys("+")
    after = box(page, "#contours")
    assert after[2] == pytest.approx(before[2] * 2.25, abs=1)
    assert box(page, "#sheet") == after
    width = page.run(
        "const p = document.querySelector('#contours .line'); return getComputedStyle(p).strokeWidth"
    )
    effect = page.run(
        "const p = document.querySelector('#contours .line'); return getComputedStyle(p).vectorEffect"
    )
    assert (width, effect) == ("1.7px", "non-scaling-stroke")
    page.one("#stage").send_keys("0")
    assert box(page, "#contours") == before


def test_a_click_lays_both_planes_through_the_point(page: Page, stand: Stand) -> None:
    opened(page, stand, contoured=True)
    page.until(
        lambda: page.run("return document.getElementById('coronal').height") == SLICES, "planes are drawn"
    )
    page.until(lambda: len({*pixels(page, "coronal")}) > 4, "the coronal plane is filled")
    before = pixels(page, "sagittal")
    ActionChains(page.driver).move_to_element_with_offset(page.one("#canvas"), 60, 20).click().perform()
    page.until(lambda: pixels(page, "sagittal") != before, "the sagittal plane moved")
    assert page.all("#contours .cross")
    shown = slice_shown(page)
    coronal = page.one("#coronal")
    ActionChains(page.driver).move_to_element_with_offset(
        coronal, 0, -int(coronal.rect["height"] / 2) + 3
    ).click().perform()
    page.until(lambda: slice_shown(page) > max(shown, SLICES - 4), "the top of the plane is the head's end")


def test_the_bar_beside_an_roi_leads_to_it(page: Page, stand: Stand) -> None:
    opened(page, stand, contoured=True)
    liver = key_of(page, "Liver")
    page.one(f"#rois [data-roi='{liver}'] .extent").click()
    page.until(lambda: liver in drawn(page), "the liver is drawn")
    assert "here" in page.one(f"#rois [data-roi='{liver}']").get_attribute("class")


def test_hostile_names_stay_text(page: Page, stand: Stand) -> None:
    opened(page, stand, contoured=True, hostile=True)
    page.until(lambda: drawn(page), "contours are drawn")
    assert page.run("return window.pwned") is None
    shown = [item.text for item in page.all("#rois bdi")]
    assert "<script>window.pwned=1</script>" in shown
    assert "{{7*7}}${7*7}#{7*7}" in shown
    assert not any("49" in name or "\N{RIGHT-TO-LEFT OVERRIDE}" in name for name in shown)
    assert max(len(name) for name in shown) <= 64
    titles = page.run("return [...document.querySelectorAll('#contours title')].map(t => t.textContent)")
    assert "<script>window.pwned=1</script>" in titles
    assert (
        page.run("return document.querySelectorAll('main script, #rois img, #contours script').length") == 0
    )
    isolated = page.run("return getComputedStyle(document.querySelector('#rois bdi')).unicodeBidi")
    assert isolated == "isolate"


def test_a_passage_held_for_text_shows_where_it_is_and_no_slice(page: Page, stand: Stand) -> None:
    def hold() -> Passage:
        error = DeidentificationError("DEID_BURNED_IN", places=1, read_on=Word("slice"), slice=3)
        passage = made_passage(State.HELD, held_from=State.COMPLETE, error=error)
        stand.board.masked[passage.id] = png_encode(np.full((60, 80), 90, np.uint8))
        return stand.board.add(passage, slices=0)

    passage = stand.do(hold)
    page.visit(f"{stand.url}/passages/{passage.id}", "#text:not([hidden])")
    page.until(
        lambda: page.run("return document.querySelector('#text img').naturalWidth") == 80, "the picture"
    )
    assert page.text("#gone") == "The slices are not shown, because there is text in their pixels."
    assert not page.one("#viewer").is_displayed()

    def let_go() -> None:
        stand.board.drawable[passage.id] = SLICES
        stand.board.move(passage, State.COMPLETE)

    stand.do(let_go)
    page.until(lambda: not page.one("#text").is_displayed(), "the picture goes with the reason")
    page.until(lambda: page.one("#viewer").is_displayed(), "the slices are shown again")


def test_slices_that_left_memory_are_said_to_be_gone(page: Page, stand: Stand) -> None:
    passage = opened(page, stand, State.RESTORED, contoured=True)

    def end() -> None:
        stand.board.drawable[passage.id] = 0
        stand.board.move(passage, State.DELIVERED)

    stand.do(end)
    page.until(lambda: "The slices are no longer in memory" in page.text("#gone"), "the slices are gone")
    assert not page.one("#viewer").is_displayed()
    stand.do(lambda: stand.board.drop(passage))
    page.until(lambda: "This passage is no longer" in page.text("#gone"), "the passage is gone")
    page.visit(f"{stand.url}/passages/{passage.id}", "#gone-title")
    assert [entry for entry in page.log() if "404" not in entry] == []


def test_the_page_follows_the_passage(page: Page, stand: Stand) -> None:
    passage = opened(page, stand, State.CONTOURING)
    stand.do(lambda: stand.board.move(passage, State.RETURNED))
    page.wait('#card[data-state="returned"]')
    assert page.all("#history li")[-1].text.endswith("Returned")
    assert page.driver.title == "P-7K3M9QXD – Contourgate"


def test_nothing_is_kept_by_the_browser(page: Page, stand: Stand) -> None:
    opened(page, stand, contoured=True)
    assert page.run("return [localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    assert page.run("return caches.keys().then(k => k.length)") == 0


@pytest.mark.parametrize("width", [360, 768, 1440, 3840])
def test_no_width_needs_sideways_scrolling(page: Page, stand: Stand, width: int) -> None:
    page.size(width, 1000)
    opened(page, stand, contoured=True, hostile=True)
    assert page.run("return document.documentElement.scrollWidth") == width
