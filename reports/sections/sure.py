"""How sure the report is: what the forecast missed, who is not in it, which checks failed, what expired."""

from __future__ import annotations

import datetime as dt
import math
from typing import Final

import polars as pl

from reports.context import Prose, Section, Sentence
from reports.numbers import percent
from reports.sections.promises import promises_finding
from reports.sources import ReportSources, read_day

LEAST_OFF: Final = 0.005
"""An error of a total that is none in whole per cents."""


def forecast_error(sources: ReportSources) -> float | None:
    """(Predicted less observed) / observed purchases in the held-back period, by the chosen model."""
    validation = sources.table("validation")
    if validation.is_empty():
        return None
    chosen = sources.model.get("chosen")
    rows = validation.filter((pl.col("metric") == "total_error") & (pl.col("model") == chosen))
    rows = rows.filter(pl.col("origin") == pl.col("origin").max())
    found = None if rows.is_empty() else rows["value"][0]
    return float(found) if found is not None and -1.0 < found < math.inf else None


def sure_section(sources: ReportSources) -> Section | None:
    """Up to five sentences, short of what the report does not know."""
    kept = promises_finding(sources)
    told = [
        text
        for text in (
            _forecast(sources),
            kept and f"{kept}.",
            _missing(sources),
            _checks(sources),
            _expired(sources),
        )
        if text
    ]
    if not told:
        return None
    return Section(
        key="sure",
        title="How sure",
        question="",
        finding=Sentence(text=""),
        blocks=(Prose(sentences=tuple(told), lead="How sure are we?"),),
    )


def _forecast(sources: ReportSources) -> str:
    error = forecast_error(sources)
    if error is None:
        return ""
    if abs(error) < LEAST_OFF:
        return "The forecast of purchases was right to within 1% in the time held back."
    way = "high" if error > 0 else "low"
    return f"The forecast of purchases was {percent(abs(error))} too {way} in the time held back."


def _missing(sources: ReportSources) -> str:
    for entry in (sources.manifest.get("inputs") or {}).values():
        for warning in entry.get("warnings") or ():
            if "guests" in warning and "% of the revenue" in warning:
                share = warning.split(" make ")[-1].split("%")[0]
                return f"{share}% of revenue comes from guests and is in no figure."
    read, valid = rows_counted(sources)
    if read and valid < read:
        return f"{percent((read - valid) / read, 1)} of the rows were set aside and are in no figure."
    return ""


def rows_counted(sources: ReportSources) -> tuple[int, int]:
    """Rows read and rows used, over all tables."""
    entries = (sources.manifest.get("inputs") or {}).values()
    return (
        sum(int(entry.get("rows_read", 0)) for entry in entries),
        sum(int(entry.get("rows_valid", 0)) for entry in entries),
    )


def _checks(sources: ReportSources) -> str:
    checks = sources.picture("checks")
    if checks.is_empty():
        return ""
    judged = checks.filter(pl.col("passed").is_not_null())
    failed = judged.filter(~pl.col("passed")).height
    if not judged.height:
        return ""
    if not failed:
        return f"All {judged.height} checks of the effects passed."
    return f"{failed} of {judged.height} checks of the effects failed."


def _expired(sources: ReportSources) -> str:
    rows = sources.manifest.get("assumptions") or ()
    if not rows:
        return ""
    gone = [r for r in rows if (read_day(r.get("expires")) or dt.date.max) <= sources.as_of]
    if not gone:
        return "No assumption has expired."
    return f"{len(gone)} of {len(rows)} assumptions {'has' if len(gone) == 1 else 'have'} expired."
