"""The templates and what they load."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from jinja2 import UndefinedError
from markupsafe import escape

from gateway.console.pages import Pages
from gateway.passage import WAY, State
from tests.browser.made_board import HOSTILE_NAMES, made_config, made_passage

PAGES = Pages()


def rendered() -> dict[str, str]:
    config = made_config(8080)
    passage = made_passage(State.CONTOURING)
    return {
        "passages.html": PAGES.render("passages.html", config=config, way=WAY),
        "passage.html": PAGES.render("passage.html", config=config, way=WAY, passage=passage),
        "doctor.html": PAGES.render("doctor.html", config=config),
        "gone.html": PAGES.render("gone.html", config=config),
        "nothing.html": PAGES.render("nothing.html", config=config),
    }


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_no_value_becomes_markup(name: str) -> None:
    passage = made_passage(State.CONTOURING, pseudonym=name, source=name)
    page = PAGES.render("passage.html", config=made_config(8080), way=WAY, passage=passage)
    assert "<script>window" not in page
    assert "<img src=x" not in page
    assert page.count(str(escape(name))) >= 2


def test_an_unescaped_template_is_what_the_check_would_find() -> None:
    """The control of the test above."""
    plain = PAGES._environment.overlay(autoescape=False).from_string("{{ name }}")
    assert "<script>window" in plain.render(name=HOSTILE_NAMES[0])


def test_a_value_that_was_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        PAGES.render("passage.html", config=made_config(8080), way=WAY)


def test_no_page_has_inline_script_style_or_a_foreign_address() -> None:
    for name, page in rendered().items():
        assert not re.search(r"<script(?![^>]* src=)[^>]*>", page), name
        assert "<style" not in page, name
        assert not re.search(r"\s(style|on\w+)=", page), name
        assert not re.search(r"(?:src|href)=\"(?!/|#)", page), name


def test_every_file_a_page_or_a_script_asks_for_is_there() -> None:
    wanted = {
        match.group(1) for page in rendered().values() for match in re.finditer(r"\"/static/([^\"]+)\"", page)
    }
    for name, file in PAGES.static.items():
        if name.endswith(".js"):
            text = file.body.decode()
            wanted |= set(re.findall(r"from \"\./([^\"]+)\"", text))
    assert wanted == set(PAGES.static)


def test_no_script_or_style_reaches_outside_or_parses_markup() -> None:
    for entry in files("gateway.console").joinpath("static").iterdir():
        text = entry.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, entry.name
        for parsing in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "@import"):
            assert parsing not in text, (entry.name, parsing)


def test_every_page_names_its_language_and_has_one_heading_of_the_first_rank() -> None:
    for name, page in rendered().items():
        assert '<html lang="en">' in page
        assert page.count("<h1") == 1, name
