"""Evidence: every effect that was asked for, from naive to experimental, the refused ones too."""

from __future__ import annotations

import polars as pl

from reports.context import Figure, Section, Table
from reports.sections import evidence_pictures as pictures
from reports.sources import ReportSources
from reports.words import number

__all__ = ["evidence_section", "headline_effect"]


def headline_effect(sources: ReportSources, outcome: str) -> dict[str, object] | None:
    """The preferred row of the configured headline effect for one outcome; None when there is none."""
    effects = sources.table("effects")
    if effects.is_empty() or sources.settings.headline_effect is None:
        return None
    rows = effects.filter(
        (pl.col("name") == sources.settings.headline_effect)
        & (pl.col("outcome") == outcome)
        & (pl.col("segment") == "(all)")
    )
    return rows.row(0, named=True) if rows.height else None


def evidence_section(sources: ReportSources) -> Section | None:
    """A forest plot and a table of all effects for all customers, then by segment."""
    effects = sources.table("effects")
    if effects.is_empty():
        return None
    whole = effects.filter(pl.col("segment") == "(all)")
    figures = [_forest(whole.filter(pl.col("outcome") == o), o) for o in dict.fromkeys(whole["outcome"])]
    refused = whole.filter(~pl.col("supported"))
    return Section(
        key="evidence",
        title="Evidence",
        finding=_finding(whole, refused),
        figures=tuple(figure for figure in (*figures, *_pictures(sources)) if figure.rows),
        tables=tuple(
            table
            for table in (
                _table(effects, "All effects"),
                pictures.segment_margins(sources.picture("segment_margins"), currency=sources.currency),
                pictures.checks(sources.picture("checks")),
            )
            if table is not None
        ),
        notes=tuple(
            dict.fromkeys(
                f"{row['name']}, {row['outcome']}: not supported, {row['reason']}."
                for row in refused.iter_rows(named=True)
            )
        ),
    )


def _pictures(sources: ReportSources) -> list[Figure]:
    """Balance, overlap, event studies, series and doses, where a design drew them."""
    drawings = {
        "love": pictures.balance,
        "overlap": pictures.overlap,
        "event_study": pictures.event_study,
        "series": pictures.series,
        "dose": pictures.dose,
    }
    frames = {name: sources.picture(name) for name in drawings}
    return [
        figure
        for name, draw in drawings.items()
        if not frames[name].is_empty()
        for figure in draw(frames[name])
    ]


def _finding(whole: pl.DataFrame, refused: pl.DataFrame) -> str:
    first = whole.unique(["name", "treatment", "outcome"], keep="first", maintain_order=True)
    supported = first.filter(pl.col("supported") & pl.col("estimate").is_not_null())
    clear = supported.filter((pl.col("low") > 0) | (pl.col("high") < 0))
    if supported.is_empty():
        return f"None of the {first.height} effects asked for is supported; the reasons stand below."
    sentence = f"{clear.height} of {first.height} effects asked for differ from zero"
    left = first.height - supported.height
    return sentence + (f"; {left} are not supported, with the reason below." if left else ".")


def _forest(rows: pl.DataFrame, outcome: str) -> Figure:
    return Figure(
        form="ranges",
        title=f"Effects on {outcome.replace('_', ' ')}",
        rows=pictures.estimates(
            rows,
            label=lambda row: f"{row['name']}: {row['treatment']}",
            series=lambda row: row["estimator"].replace("_", " "),
        ),
        x_title="treated minus control",
        reference=0.0,
        caption="Points: estimates; bars: 95 % intervals; the dashed line is no effect.",
    )


def _table(effects: pl.DataFrame, title: str) -> Table:
    columns = (
        "effect",
        "treatment",
        "control",
        "outcome",
        "segment",
        "estimator",
        "estimate",
        "95 % interval",
        "n",
        "supported",
    )
    body = [
        (
            row["name"],
            row["treatment"],
            row["control"],
            row["outcome"],
            row["segment"],
            row["estimator"].replace("_", " "),
            None if row["estimate"] is None else number(row["estimate"]),
            "–" if row["low"] is None else f"{number(row['low'])} to {number(row['high'])}",
            f"{row['n_treated']:,} + {row['n_control']:,}",
            "yes" if row["supported"] else f"no: {row['reason']}",
        )
        for row in effects.iter_rows(named=True)
    ]
    return Table(title=title, columns=columns, rows=tuple(body), caption="n: treated + control units.")
