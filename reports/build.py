"""Tables, manifest and model become one context object."""

from __future__ import annotations

import importlib.util

import orjson

from reports.context import ReportContext
from reports.headline import build_tiles, headline
from reports.html import render_html
from reports.pdf import render_pdf
from reports.sections.coverage import coverage_section
from reports.sections.credit import credit_section
from reports.sections.evidence import evidence_section
from reports.sections.returns import returns_section
from reports.sections.segments import segment_section
from reports.sections.value import value_section
from reports.sources import ReportSources

__all__ = ["build_context", "render_json", "render_report"]


def build_context(sources: ReportSources) -> ReportContext:
    """Everything the report says, once."""
    manifest = sources.manifest
    sections = (
        credit_section(sources),
        value_section(sources),
        evidence_section(sources),
        returns_section(sources),
        segment_section(sources),
        coverage_section(sources),
    )
    return ReportContext(
        title=sources.settings.title or f"What conversations contribute: {manifest.get('name', '')}",
        headline=headline(sources),
        as_of=str(manifest.get("as_of", "")),
        span=str(manifest.get("span", "")),
        currency=sources.currency,
        run_id=str(manifest.get("run_id", "")),
        model_version=str(manifest.get("model_version", "")),
        tiles=build_tiles(sources),
        sections=tuple(section for section in sections if section is not None),
    )


def render_json(context: ReportContext) -> bytes:
    """The context itself as JSON."""
    return orjson.dumps(context.to_dict(), option=orjson.OPT_INDENT_2)


def render_report(context: ReportContext) -> dict[str, bytes]:
    """Every rendering by file name; PDF only where the extra `pdf` is installed."""
    files = {"report.html": render_html(context).encode(), "report.json": render_json(context)}
    if importlib.util.find_spec("typst") is not None:
        files["report.pdf"] = render_pdf(context)
    return files
