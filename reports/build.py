"""Tables, manifest and model become one context object."""

from __future__ import annotations

import datetime as dt
import importlib.util
from collections.abc import Callable
from typing import TypeVar

import orjson

from histories.errors import reason_of
from reports.context import ReportContext, Section, Sentence, Tile
from reports.html import render_html
from reports.pdf import render_pdf
from reports.sections.changed import changed_section, measures
from reports.sections.coverage import coverage_section
from reports.sections.credit import credit_section
from reports.sections.decisions import decisions_section
from reports.sections.earned import after_cost_section, origin_section
from reports.sections.evidence import evidence_section
from reports.sections.headline import build_tiles, deck, headline, tiles_foot
from reports.sections.objectives import objectives_section
from reports.sections.proven import proven_section
from reports.sections.returns import returns_section
from reports.sections.segments import segments_section
from reports.sections.service import service_section
from reports.sections.service_detail import service_detail_section
from reports.sections.sure import sure_section
from reports.sections.value import value_section
from reports.sections.voice import voice_section
from reports.sections.worth import worth_section
from reports.sources import ReportSources
from reports.words import amounts, day, months

T = TypeVar("T")

TITLE = "What customer conversations are worth"

_SECTIONS = (
    origin_section,
    after_cost_section,
    worth_section,
    decisions_section,
    changed_section,
    proven_section,
    service_section,
    sure_section,
    credit_section,
    value_section,
    evidence_section,
    segments_section,
    voice_section,
    returns_section,
    objectives_section,
    coverage_section,
    service_detail_section,
)


def build_context(sources: ReportSources) -> ReportContext:
    """Everything the report says, once; a section without its table is not there.

    A section that fails costs no other: a note says which, and why.
    """
    failed: list[str] = []
    made = [_attempt(section, sources, failed, None) for section in _SECTIONS]
    tiles: tuple[Tile, ...] = _attempt(build_tiles, sources, failed, ())
    first, last = sources.first_day, sources.as_of
    span = f"Data {day(first)} to {day(last)}" if first else f"Data to {day(last)}"
    return ReportContext(
        title=_title(sources),
        period=_period(sources),
        span=span,
        amounts=amounts(sources.currency),
        as_of=last.isoformat(),
        as_of_words=day(last),
        currency=sources.currency,
        run_id=str(sources.manifest.get("run_id", "")),
        model_version=str(sources.manifest.get("model_version", "")),
        headline=_attempt(headline, sources, failed, Sentence(text="What these data say is below.")),
        deck=_attempt(deck, sources, failed, ()),
        tiles=tiles,
        tiles_foot=tiles_foot(sources) if tiles else "",
        sections=_lettered([section for section in made if section is not None]),
        measures=_attempt(measures, sources, failed, ()),
        notes=(*(str(note) for note in sources.manifest.get("notes") or ()), *failed),
    )


def _attempt(make: Callable[[ReportSources], T], sources: ReportSources, failed: list[str], absent: T) -> T:
    """What `make` makes; `absent`, and a note, when it fails."""
    try:
        return make(sources)
    except Exception as error:  # whatever it is, the rest of the report shall be there
        failed.append(f"The report lacks its {make.__name__.replace('_', ' ')}: {reason_of(error)}.")
        return absent


def _title(sources: ReportSources) -> str:
    """As configured; of one brand, with its name."""
    brand = (sources.manifest.get("configuration") or {}).get("brand")
    told = sources.settings.title or TITLE
    return f"{told}: {brand}" if brand else told


def _period(sources: ReportSources) -> str:
    """What the report is about: the time since the one before, else the quarter that just ended."""
    last, before = sources.as_of, sources.previous_as_of
    if before is not None:
        return f"board report, {months(before + dt.timedelta(days=1), last)}"
    following = last + dt.timedelta(days=1)
    if following.day == 1 and following.month in (1, 4, 7, 10):
        return f"board report, {months(dt.date(last.year, last.month - 2, 1), last)}"
    return f"board report, to {day(last)}"


def _lettered(sections: list[Section]) -> tuple[Section, ...]:
    """Every section is left as it is, but those without a block or a finding go."""
    return tuple(section for section in sections if section.finding.text or section.blocks)


def render_json(context: ReportContext) -> bytes:
    """The context itself as JSON."""
    return orjson.dumps(context.to_dict(), option=orjson.OPT_INDENT_2)


def render_report(context: ReportContext) -> dict[str, bytes]:
    """Every rendering by file name; PDF only where the extra `pdf` is installed."""
    files = {"report.html": render_html(context).encode(), "report.json": render_json(context)}
    if importlib.util.find_spec("typst") is not None:
        files["report.pdf"] = render_pdf(context)
    return files
