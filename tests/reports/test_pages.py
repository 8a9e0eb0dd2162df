"""The pages: two for a board, what is on them, how large the files are, and that they repeat to the byte."""

import re
from importlib import util

import orjson
import pytest

from reports.build import build_context, render_json, render_report
from reports.context import ReportContext
from reports.html import render_html
from reports.pdf import OTHER_SCRIPTS, render_pdf, report_source

from .company import COSTS, GROUPS, PREVIOUS, TABLES, credits, roi, sources

pytestmark = pytest.mark.skipif(util.find_spec("typst") is None, reason="needs the extra pdf")


def company_of(channels: int) -> ReportContext:
    """A whole report of a company with so many channel groups."""
    names = [*GROUPS, *(f"channel_{place}" for place in range(12))][:channels]
    groups = {name: GROUPS.get(name, 20.0 - place) for place, name in enumerate(names)}
    costs = {name: COSTS.get(name, 5.0) for name in names}
    tables = {name: make() for name, make in TABLES.items()}
    tables |= {"credits": credits(groups), "roi": roi(groups, costs)}
    return build_context(sources("credits", tables=tables, previous=PREVIOUS))


@pytest.mark.parametrize("channels", [1, 5, 9, 12])
def test_the_board_reads_exactly_two_pages(channels: int) -> None:
    pages = pages_of(render_pdf(company_of(channels)))
    assert next(place for place, text in enumerate(pages) if "Appendix A ·" in text) == 2


def pages_of(pdf: bytes) -> list[str]:
    import io

    pypdf = pytest.importorskip("pypdf")
    return [re.sub(r"\s+", " ", page.extract_text()) for page in pypdf.PdfReader(io.BytesIO(pdf)).pages]


def test_every_finding_is_on_its_page() -> None:
    context = build_context(sources(previous=PREVIOUS))
    pages = pages_of(render_pdf(context))
    board, rest = " ".join(pages[:2]), " ".join(pages[2:])
    assert context.headline.text in pages[0]
    for section in context.sections:
        text = board if not section.letter else rest
        assert section.finding.text in text, section.key
    assert len(pages) <= 8


def test_a_document_has_a_title_a_language_and_tags() -> None:
    import io

    pypdf = pytest.importorskip("pypdf")
    context = build_context(sources())
    reader = pypdf.PdfReader(io.BytesIO(render_pdf(context)))
    assert reader.metadata.title == context.headline.text
    root = reader.trailer["/Root"]
    assert root["/Lang"] == "en"
    assert root["/MarkInfo"]["/Marked"]


def test_the_same_context_gives_the_same_bytes() -> None:
    context = build_context(sources())
    assert render_report(context) == render_report(context)


def test_the_page_is_one_file_below_four_hundred_kilobytes_that_asks_nothing_of_a_network() -> None:
    html = render_html(company_of(12))
    assert len(html.encode()) < 400_000
    addresses = set(re.findall(r"(?:https?:)?//[^\s\"'<)]+", re.sub(r"base64,[^)]*", "", html)))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert "<script" not in html


def test_the_json_carries_numbers_and_says_every_form() -> None:
    content = orjson.loads(render_json(build_context(sources())))
    assert content["format_version"] == 2
    (earned,) = [section for section in content["sections"] if section["key"] == "earned"]
    (block,) = earned["blocks"]
    assert block["form"] == "ledger"
    social = next(row for row in block["rows"] if row["key"] == "social")
    assert social["cells"][1:3] == [150_000.0, [105_000.0, 195_000.0]]


def test_no_page_is_nearly_empty_but_the_last() -> None:
    import io
    import tempfile
    from importlib.resources import as_file, files
    from pathlib import Path

    import typst

    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    with as_file(files("reports") / "static" / "fonts") as fonts, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.typ"
        path.write_text(report_source(company_of(6)), encoding="utf-8")
        pages = typst.Compiler(str(path), font_paths=[str(fonts)]).compile(format="png", ppi=30)
    for page in pages[:-1]:
        grey = image.open(io.BytesIO(page)).convert("L")
        body = grey.crop((0, 0, grey.width, int(grey.height * 0.93)))
        lowest = body.point(lambda level: 255 if level < 200 else 0).getbbox()
        assert lowest is not None
        assert lowest[3] > 0.2 * grey.height


@pytest.mark.parametrize("words", ["Größe naïve Ελλάδα Привет ½ – “x” → ●", "newsletter"])
def test_the_reports_own_fonts_set_what_they_hold(words: str) -> None:
    assert OTHER_SCRIPTS.search(words) is None


@pytest.mark.parametrize("words", ["日本語", "עברית", "العربية", "한국어", "ไทย", "हिन्दी"])
def test_other_scripts_are_set_by_the_machines_fonts(words: str) -> None:
    assert OTHER_SCRIPTS.search(f"before {words}")
