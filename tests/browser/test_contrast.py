"""Every text can be read: WCAG 2.2 AA (1.4.3), in both colour schemes."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import ContourerRefused
from gateway.passage import State
from tests.browser.conftest import Page, Stand
from tests.browser.made_board import made_passage

pytestmark = pytest.mark.peer("chromium", "chromedriver")

TOO_FAINT = """
const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
function rgba(colour) {
  probe.clearRect(0, 0, 1, 1);
  probe.fillStyle = colour;
  probe.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = probe.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}
const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3]));
function ground(element) {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    const colour = rgba(getComputedStyle(at).backgroundColor);
    layers.push(colour);
    if (colour[3] === 1) break;
  }
  return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
}
function luminance(colour) {
  const [r, g, b] = colour.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
const faint = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let seen = 0;
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || element.closest('#stage, noscript, .unseen, .skip')) continue;
  if (!element.getClientRects().length) continue;
  seen++;
  const under = ground(element);
  const own = rgba(getComputedStyle(element).color);
  own[3] *= Number(getComputedStyle(element).opacity);
  const [a, b] = [luminance(over(own, under)), luminance(under)].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) faint.push([walker.currentNode.data.trim().slice(0, 40), element.className, ratio.toFixed(2)]);
}
return { seen, faint };
"""


def too_faint(page: Page) -> list[Any]:
    found = page.run(TOO_FAINT)
    assert found["seen"] > 15
    return list(found["faint"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_list_can_be_read(page: Page, stand: Stand, scheme: str) -> None:
    page.prefer(scheme)
    for made in (
        made_passage(State.HELD, held_from=State.INSPECTED),
        made_passage(State.RESTORED, ago_s=9999),
        made_passage(State.FAILED, held_from=State.CONTOURING, error=ContourerRefused("CONTOURER_REFUSED")),
        made_passage(State.CANCELLED, held_from=State.CONTOURING),
        made_passage(State.DELIVERED),
    ):
        stand.do(lambda made=made: stand.board.add(made))
    page.visit(stand.url, "#held .card")
    assert too_faint(page) == []
    page.one('[data-part="cancel"]').click()
    page.wait("#decision")
    assert too_faint(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_empty_list_can_be_read(page: Page, stand: Stand, scheme: str) -> None:
    page.prefer(scheme)
    page.visit(stand.url, "#first")
    assert too_faint(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_passage_can_be_read(page: Page, stand: Stand, scheme: str) -> None:
    page.prefer(scheme)
    passage = stand.do(
        lambda: stand.board.add(made_passage(State.HELD, held_from=State.INSPECTED), slices=4, contoured=True)
    )
    page.visit(f"{stand.url}/passages/{passage.id}", "#rois li")
    assert too_faint(page) == []


def test_faint_text_is_found(page: Page, stand: Stand) -> None:
    """The control of the tests above."""
    page.visit(stand.url, "#first")
    page.run("document.querySelector('#first p').style.color = '#9a9a9a'")
    assert len(too_faint(page)) == 1
