"""Return on objectives: how far each figure has come from where it was to where it should be.

    attainment = (now - baseline) / (target - baseline)

It is right for targets that fall, negative when things got worse, and above 1 when the target was passed.
The score weighs attainments between 0 and 1; beside it stands the one that lets them be what they are.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from histories.cuts import ALL
from histories.errors import nearest

__all__ = ["OBJECTIVES_SCHEMA", "attainment", "objective_scores", "objectives_table"]

OBJECTIVES_SCHEMA: Final[dict[str, pl.DataType]] = {
    "objective": pl.String(),
    "kpi": pl.String(),
    "baseline": pl.Float64(),
    "target": pl.Float64(),
    "weight": pl.Float64(),
    "due": pl.Date(),
    "value": pl.Float64(),
    "attainment": pl.Float64(),
    "reason": pl.String(),
}


def attainment(now: float, baseline: float, target: float) -> float | None:
    """Share of the way from baseline to target; None where there is no way to go.

    >>> attainment(90, baseline=120, target=60), attainment(5.5, baseline=5.0, target=4.0)
    (0.5, -0.5)
    """
    return (now - baseline) / (target - baseline) if target != baseline else None


def objective_scores(attained: pl.Series, weights: pl.Series) -> tuple[float | None, float | None]:
    """Weighted attainment, each between 0 and 1; and as they are. None without a weight.

    >>> found = objective_scores(pl.Series([0.5, 1.2, 0.4, -0.5]), pl.Series([2.0, 1.0, 1.0, 1.0]))
    >>> [round(score, 4) for score in found]
    [0.48, 0.42]
    """
    frame = pl.DataFrame({"a": attained, "w": weights}).drop_nulls()
    total = float(frame["w"].sum())
    if total <= 0:
        return None, None
    return (
        float((frame["a"].clip(0.0, 1.0) * frame["w"]).sum()) / total,
        float((frame["a"] * frame["w"]).sum()) / total,
    )


def objectives_table(
    objectives: pl.DataFrame, figures: pl.DataFrame, *, clock: str = "calendar"
) -> pl.DataFrame:
    """What was measured of each objective, in `OBJECTIVES_SCHEMA`.

    Parameters
    ----------
    objectives
        Valid rows of the objectives table; `kpi` is a service figure, with " business" or " calendar" behind
        it where another clock is meant than `clock`.
    figures
        Rows of the care table.
    clock
        Of figures that measure time.
    """
    whole = figures.filter(pl.all_horizontal(pl.col("channel", "team", "segment", "period") == ALL))
    values = {
        (row["kpi"], row["clock"]): row["value"]
        for row in whole.select("kpi", "clock", "value").iter_rows(named=True)
    }
    names = whole["kpi"].unique().sort().to_list()
    rows = [_row(row, values, names, clock) for row in objectives.iter_rows(named=True)]
    return pl.DataFrame(rows, schema=OBJECTIVES_SCHEMA, orient="row")


def _row(
    row: dict[str, object], values: dict[tuple[str, str | None], float | None], names: list[str], clock: str
) -> dict[str, object]:
    name = str(row["kpi"])
    kpi, _, meant = name.partition(" ")
    value = values.get((kpi, meant or clock), values.get((kpi, None)))
    made = {column: row.get(column) for column in OBJECTIVES_SCHEMA}
    if kpi not in names:
        return made | {"reason": f'there is no figure "{name}"; {nearest(kpi, names)}'}
    if value is None:
        return made | {"reason": "the figure could not be made; see the table care"}
    reached = attainment(value, float(str(row["baseline"])), float(str(row["target"])))
    reason = "target and baseline are the same" if reached is None else None
    return made | {"value": value, "attainment": reached, "reason": reason}
