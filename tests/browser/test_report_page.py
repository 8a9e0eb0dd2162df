"""The report's page in a browser: every width, light and dark, print, keyboard."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports.context import Column, Ledger, Row, Section, Sentence
from reports.html import render_html
from tests.reports.test_pages import company_of

from .conftest import COLOURS, faults_of, serious, wide


def test_the_page_fits_every_screen_and_axe_finds_nothing_serious(look: Any, report_file: str) -> None:
    page = look(report_file, width=320)
    assert wide(page) == 0
    for width in (390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert wide(page) == 0, width
        if width != 768:
            assert serious(page) == []
    page.emulate_media(color_scheme="dark")
    assert serious(page, rules=COLOURS) == []
    assert faults_of(page) == []


def test_a_phone_shows_name_figures_and_the_drawing_under_them(look: Any, report_file: str) -> None:
    page = look(report_file, width=390)
    row = page.locator("#earned tr[data-key=social]")
    name, figure, drawing = (row.locator(s).bounding_box() for s in ("th", "td.figure", "td.plot"))
    assert abs(name["y"] - figure["y"]) < 12
    assert drawing["y"] > name["y"] + name["height"] - 4
    assert drawing["width"] > 300
    hidden = row.locator("td.range")
    assert not hidden.is_visible()
    page.locator("#earned details.figures summary").first.click()
    assert hidden.is_visible()


def test_definitions_open_by_keyboard(look: Any, report_file: str) -> None:
    page = look(report_file)
    summary = page.locator("#earned details.terms summary")
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("#earned details.terms").evaluate("e => e.open")


def test_print_takes_the_light_set_even_in_the_dark(look: Any, report_file: str) -> None:
    page = look(report_file, dark=True)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 24, 30)"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_colours_of_drawings_follow_the_page(look: Any, report_file: str) -> None:
    shade = "getComputedStyle(document.querySelector('#earned .bar.lead')).fill"
    page = look(report_file)
    assert page.evaluate(shade) == "rgb(10, 95, 115)"
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(shade) == "rgb(92, 194, 212)"


def test_printed_from_a_browser_the_board_of_many_channels_reads_two_pages(look: Any, tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    path = tmp_path / "report.html"
    context = company_of(12)
    questions = Ledger(
        label="Question",
        columns=(Column(title="What the data say", form="text", phone=True),),
        rows=tuple(Row(name=name, cells=("a sentence of about this length " * 4,)) for name in "abc"),
    )
    worth = Section(
        key="worth",
        title="Care",
        question="Is care worth it?",
        finding=Sentence(text="Fast answers added margin; " * 5),
        blocks=(questions,),
    )
    board = (*context.board[:2], worth, *context.board[2:])
    path.write_text(render_html(replace(context, sections=(*board, *context.appendix))), encoding="utf-8")
    printed = look(path.as_uri()).pdf(prefer_css_page_size=True, print_background=True)
    pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(printed)).pages]
    assert next(place for place, text in enumerate(pages) if "Appendix A ·" in text) == 2


def test_hours_of_a_whole_week_are_seen_without_scrolling(look: Any, tmp_path: Path) -> None:
    week = Ledger(
        label="Hour",
        columns=tuple(Column(title=f"{hour:02}", form="tint") for hour in range(24)),
        rows=(Row(name="Wednesday", cells=(1.0,) * 24),),
        dense=True,
    )
    part = Section(
        key="week", title="", question="", finding=Sentence(text="All"), blocks=(week,), letter="I"
    )
    path = tmp_path / "report.html"
    path.write_text(render_html(replace(company_of(1), sections=(part,))), encoding="utf-8")
    page = look(path.as_uri())
    hidden = "e => e.scrollWidth - e.clientWidth"
    assert page.locator("#week .scroll").evaluate(hidden) == 0
    page.set_viewport_size({"width": 390, "height": 900})
    assert page.locator("#week .scroll").evaluate(hidden) > 0
    assert wide(page) == 0
