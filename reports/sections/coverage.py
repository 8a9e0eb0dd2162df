"""Appendix H: what is in the report, what is not, on which assumptions, and which run it was."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from typing import Any, Final

from reports.context import Block, Column, Ledger, Prose, Row, Section, Sentence, Verdict
from reports.numbers import decimal, percent
from reports.sections.sure import rows_counted
from reports.sources import ReportSources, read_day
from reports.words import day, inside, join, label, upper_first

_RULES: Final = {
    "guest": "rows of guests",
    "after_observation_end": "rows after the last day",
    "zero_order": "orders of nothing",
    "duplicate": "repeated rows",
}


def coverage_section(sources: ReportSources) -> Section:
    """Rows by table, assumptions with their age, what was left out, limits as sentences, the run."""
    blocks: list[Block] = []
    rows = _rows(sources)
    if rows is not None:
        blocks.append(rows)
    blocks.append(_assumptions(sources))
    left_out = _left_out(sources)
    if left_out is not None:
        blocks.append(left_out)
    blocks.append(Prose(title="What this report cannot say", sentences=_limits(sources)))
    return Section(
        key="coverage",
        letter="H",
        title="Coverage, assumptions, limits",
        question="What is in it, what is not?",
        finding=_finding(sources),
        blocks=tuple(blocks),
        foot=_run(sources),
    )


def _finding(sources: ReportSources) -> Sentence:
    read, valid = rows_counted(sources)
    figures: dict[str, float | None] = {"read": read, "used": valid}
    if not read:
        return Sentence(text="No input table was given; each effect names its own")
    if read == valid:
        return Sentence(text=f"All {read:,} rows count", figures=figures)
    rules = _rules(sources)
    only = f"; {rules[0]} are the only gap" if len(rules) == 1 else ""
    return Sentence(text=f"{valid:,} of {read:,} rows count{only}", figures=figures)


def _rules(sources: ReportSources) -> list[str]:
    found: list[str] = []
    for entry in (sources.manifest.get("inputs") or {}).values():
        for kind in ("rejected_by_rule", "set_aside_by_rule"):
            found += [_rule(rule) for rule, n in (entry.get(kind) or {}).items() if n]
    return list(dict.fromkeys(found))


def _rule(rule: str) -> str:
    return _RULES.get(rule, inside(rule))


def _rows(sources: ReportSources) -> Ledger | None:
    inputs = sources.manifest.get("inputs") or {}
    if not inputs:
        return None
    body = []
    for name, entry in sorted(inputs.items(), key=lambda pair: -int(pair[1]["rows_read"])):
        read, valid = int(entry["rows_read"]), int(entry["rows_valid"])
        aside = [
            f"{n:,} {_rule(rule)}"
            for kind in ("rejected_by_rule", "set_aside_by_rule")
            for rule, n in (entry.get(kind) or {}).items()
            if n
        ]
        share = valid / read if read else 1.0
        body.append(Row(name=inside(name), cells=(read, valid, share, join(aside, most=4))))
    columns = [
        Column(title="rows read", decimals=0),
        Column(title="rows used", decimals=0, phone=True),
        Column(title="used", divisor=0.01, decimals=1, suffix="%", phone=True),
    ]
    if any(row.cells[-1] for row in body):
        columns.append(Column(title="set aside", form="text"))
    rows = tuple(replace(row, cells=row.cells[: len(columns)]) for row in body)
    return Ledger(label="Table", columns=tuple(columns), rows=rows, dense=True)


def _assumptions(sources: ReportSources) -> Ledger:
    """Those of the table with owner and age; those of the configuration without a date."""
    body = []
    for row in sources.manifest.get("assumptions") or ():
        source = ", ".join(str(row[key]) for key in ("source", "owner") if row.get(key))
        value = row.get("value")
        shown = (
            decimal(float(value), 2).rstrip("0").rstrip(".") if isinstance(value, int | float) else str(value)
        )
        body.append(
            Row(
                name=label(str(row.get("name"))),
                cells=(shown, source, _age(row.get("expires"), sources.as_of)),
            )
        )
    undated = Verdict(text="no date", tone="open")
    for name, shown in _configured(sources):
        body.append(Row(name=name, cells=(shown, "configuration", undated)))
    return Ledger(
        label="Assumption",
        title="Assumptions",
        columns=(
            Column(title="value", form="text", phone=True, right=True),
            Column(title="from", form="text"),
            Column(title="expires", form="verdict", phone=True),
        ),
        rows=tuple(body),
        dense=True,
    )


def _configured(sources: ReportSources) -> list[tuple[str, str]]:
    configuration: dict[str, Any] = dict(sources.manifest.get("configuration") or {})
    value, attribution = configuration.get("value") or {}, configuration.get("attribution") or {}
    found = []
    if sources.gross_margin is not None:
        found.append(("Gross margin", percent(sources.gross_margin)))
    if sources.model and isinstance(value.get("discount_rate"), int | float):
        found.append(("Discount rate", f"{percent(value['discount_rate'])} a year"))
    credited = not sources.table("credits").is_empty()
    if credited and isinstance(attribution.get("lookback_days"), int | float):
        found.append(("Longest time from touch to purchase", f"{attribution['lookback_days']:g} days"))
    if credited and isinstance(attribution.get("decay"), int | float):
        found.append(("Carry-over of a touch to the next period", f"{attribution['decay']:g}"))
    if not found:
        found.append(("Interval level", "95%"))
    return found


def _age(expires: Any, as_of: dt.date) -> Verdict:
    last = read_day(expires)
    if last is None:
        return Verdict(text="no date", tone="open")
    if last <= as_of:
        return Verdict(text=f"expired {day(last)}", tone="caution")
    return Verdict(text=day(last), tone="clear")


def _left_out(sources: ReportSources) -> Ledger | None:
    left = sources.manifest.get("left_out") or {}
    if not left:
        return None
    return Ledger(
        label="Not made",
        columns=(Column(title="because", form="text", phone=True),),
        rows=tuple(
            Row(name=label(str(part)), cells=(str(reason).replace("_", " "),))
            for part, reason in left.items()
        ),
        dense=True,
    )


def _limits(sources: ReportSources) -> tuple[str, ...]:
    told = [
        "Intervals cover sampling error, not a wrong model.",
        "Averages are not returns on the next unit of cost.",
    ]
    credits = sources.table("credits")
    if not credits.is_empty():
        reasons = " ".join(str(r) for r in credits["reason"].drop_nulls().unique().sort())
        if "leaving is inferred from silence" in reasons:
            told.insert(0, "Leaving is inferred from silence.")
    for note in sources.manifest.get("notes") or ():
        left = re.search(r"([\d,]+) paths whose window was still open", str(note))
        if left:
            told.append(f"{left[1]} journeys whose window was still open are left out.")
    return tuple(told)


def _run(sources: ReportSources) -> str:
    manifest = sources.manifest
    told = [f"Run {str(manifest.get('run_id', ''))[:12]}"]
    if manifest.get("model_version"):
        told.append(f"model {manifest['model_version']}")
    if manifest.get("code_version"):
        told.append(f"code {manifest['code_version']}")
    hashes = [str(e["sha256"])[:8] for e in (manifest.get("inputs") or {}).values() if e.get("sha256")]
    if hashes:
        told.append(f"input {' '.join(hashes)}")
    told.append(f"data to {day(sources.as_of)}")
    return upper_first("; ".join(told)) + "."
