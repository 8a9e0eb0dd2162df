"""Coverage: which rows count, which were set aside and why, what was left out, which run this is."""

from __future__ import annotations

from reports.context import Cell, Section, Table
from reports.sources import ReportSources

__all__ = ["coverage_section"]


def coverage_section(sources: ReportSources) -> Section:
    """Rows read, valid and set aside by rule; parts not made and why; versions."""
    inputs = sources.manifest.get("inputs", {})
    read = sum(int(entry["rows_read"]) for entry in inputs.values())
    valid = sum(int(entry["rows_valid"]) for entry in inputs.values())
    if not inputs:
        finding = "No input table was given; each effect names its own."
    else:
        finding = (
            f"{valid:,} of {read:,} rows in {len(inputs)} tables count; the rules below set the others aside."
            if valid < read
            else f"All {read:,} rows in {len(inputs)} tables count."
        )
    return Section(
        key="coverage",
        title="Coverage and limits",
        finding=finding,
        tables=(_rows_table(inputs), *_left_out(sources), *_assumptions(sources)),
        notes=tuple(str(note) for note in sources.manifest.get("notes", ())),
    )


def _rows_table(inputs: dict[str, dict[str, object]]) -> Table:
    body: list[tuple[Cell, ...]] = []
    for name, entry in inputs.items():
        body.append((name, "read", _count(entry["rows_read"])))
        for kind in ("rejected_by_rule", "set_aside_by_rule"):
            rules = entry.get(kind) or {}
            assert isinstance(rules, dict)
            words = "rejected" if kind == "rejected_by_rule" else "set aside"
            body += [("", f"{words}: {str(rule).replace('_', ' ')}", n) for rule, n in rules.items() if n]
        body.append(("", "valid", _count(entry["rows_valid"])))
    return Table(title="Rows", columns=("table", "rule", "rows"), rows=tuple(body))


def _count(value: object) -> int:
    return int(str(value))


def _left_out(sources: ReportSources) -> tuple[Table, ...]:
    left_out = sources.manifest.get("left_out", {})
    if not left_out:
        return ()
    rows = tuple((str(part).replace("_", " "), str(reason)) for part, reason in left_out.items())
    return (Table(title="Not made", columns=("part", "reason"), rows=rows),)


def _assumptions(sources: ReportSources) -> tuple[Table, ...]:
    rows = sources.manifest.get("assumptions", [])
    if not rows:
        return ()
    columns = ("name", "value", "source", "owner", "set_on", "expires")
    body = tuple(tuple(row.get(column) for column in columns) for row in rows)
    return (Table(title="Assumptions", columns=tuple(c.replace("_", " ") for c in columns), rows=body),)
