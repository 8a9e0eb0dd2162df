"""The report's page in a browser: every width, light and dark, print, keyboard."""

from typing import Any

from .conftest import faults_of, serious, wide


def test_the_page_fits_every_screen_and_axe_finds_nothing_serious(look: Any, report_file: str) -> None:
    page = look(report_file, width=320)
    assert wide(page) == 0
    for width in (390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert wide(page) == 0, width
        if width != 768:
            assert serious(page) == []
    page.emulate_media(color_scheme="dark")
    assert serious(page) == []
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
    assert look(report_file).evaluate(shade) == "rgb(10, 95, 115)"
    assert look(report_file, dark=True).evaluate(shade) == "rgb(92, 194, 212)"
