"""Return on objectives: how far each figure has come from where it was to where it should be.

    attainment = (now - baseline) / (target - baseline)

It is right for targets that fall, negative when things got worse, and above 1 when the target was passed.
The score weighs attainments between 0 and 1; beside it stands the one that lets them be what they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import polars as pl

from histories.cuts import ALL
from histories.errors import nearest

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

DEFAULTS: Final = {
    "service": "service_level",
    "reputation": "csat",
    "community": "proactive_share",
    "leads and sales": "service_to_sales",
    "awareness": "listened",
    "public relations": "ignored_rate",
}
"""Figures of the usual objectives where a row names none; product ideas are counted elsewhere (`now`)."""


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


def objective_cautions(objectives: pl.DataFrame, kpis: Collection[str]) -> Iterator[str]:
    """What is odd about objectives before anything is measured, in words.

    Parameters
    ----------
    objectives
        Valid rows of the objectives table.
    kpis
        Names of the service figures. What begins with credit, effect or return is of another table.

    >>> rows = pl.DataFrame({"objective": ["a", "b"], "kpi": ["csatt", "csat"], "baseline": [0.1, 0.2],
    ...     "target": [0.3, 0.2], "weight": [1.0, 0.0]})
    >>> for words in objective_cautions(rows, ["csat"]):
    ...     print(words)
    1 of 2 objectives name no known figure ("csatt"); did you mean "csat"?
    1 of 2 objectives have a target that is the baseline ("b"): nothing can be attained
    """
    every = objectives.height
    own = [row for row in objectives.iter_rows(named=True) if row.get("now") is None and row.get("kpi")]
    unknown = [row["kpi"] for row in own if not _is_known(str(row["kpi"]), kpis)]
    if unknown:
        yield f'{len(unknown)} of {every} objectives name no known figure ("{unknown[0]}"); ' + nearest(
            unknown[0], sorted(kpis)
        )
    still = objectives.filter(pl.col("target") == pl.col("baseline"))["objective"]
    if still.len():
        yield (
            f'{still.len()} of {every} objectives have a target that is the baseline ("{still[0]}"): nothing '
            "can be attained"
        )
    if "weight" in objectives.columns and every and not (objectives["weight"].fill_null(1.0) > 0).any():
        yield "no objective has a weight above 0: there will be no score"


def _is_known(name: str, kpis: Collection[str]) -> bool:
    return name.removesuffix(" business").removesuffix(" calendar") in kpis or name.startswith(
        ("credit ", "effect ", "return ")
    )


def objectives_table(
    objectives: pl.DataFrame,
    figures: pl.DataFrame | None,
    *,
    others: Mapping[str, float | None] | None = None,
    clock: str = "calendar",
) -> pl.DataFrame:
    """What was measured of each objective, in `OBJECTIVES_SCHEMA`.

    Parameters
    ----------
    objectives
        Valid rows of the objectives table. `now` is a figure of one's own; else `kpi` names one: a service
        figure, with " business" or " calendar" behind it where another clock is meant than `clock`, or one of
        `others`; else the objective's default is taken.
    figures
        Rows of the care table; None without any.
    others
        Further figures by name, e.g. "credit spend social"; null where they are not supported.
    clock
        Of service figures that measure time.
    """
    values: dict[tuple[str, str | None], float | None] = {}
    if figures is not None and not figures.is_empty():
        whole = figures.filter(pl.all_horizontal(pl.col("channel", "team", "segment", "period") == ALL))
        values = {
            (row["kpi"], row["clock"]): row["value"]
            for row in whole.select("kpi", "clock", "value").iter_rows(named=True)
        }
    values |= {(name, None): value for name, value in (others or {}).items()}
    rows = [_row(row, values, clock) for row in objectives.iter_rows(named=True)]
    return pl.DataFrame(rows, schema=OBJECTIVES_SCHEMA, orient="row")


def _row(
    row: dict[str, Any], values: Mapping[tuple[str, str | None], float | None], clock: str
) -> dict[str, Any]:
    objective = str(row["objective"])
    named = row.get("kpi") or DEFAULTS.get(objective.strip().lower().replace("_", " "))
    made = {column: row.get(column) for column in OBJECTIVES_SCHEMA} | {"kpi": named}
    value = row.get("now")
    if value is None:
        if named is None:
            return made | {"reason": f'"{objective}" has no default figure; give its kpi, or now'}
        value, reason = _value(str(named), values, clock)
        if value is None:
            return made | {"reason": reason}
    reached = attainment(float(value), float(row["baseline"]), float(row["target"]))
    reason = "target and baseline are the same" if reached is None else None
    return made | {"value": float(value), "attainment": reached, "reason": reason}


def _value(
    name: str, values: Mapping[tuple[str, str | None], float | None], clock: str
) -> tuple[float | None, str | None]:
    """The figure of a name, or why there is none."""
    words, _, meant = name.rpartition(" ")
    kpi, asked = (words, meant) if meant in ("business", "calendar") else (name, clock)
    names = sorted({known for known, _ in values})
    if kpi not in names:
        hint = nearest(kpi, names) if names else "the run made none."
        return None, f'there is no figure "{name}"; {hint}'
    value = values.get((kpi, asked), values.get((kpi, None)))
    return value, None if value is not None else "the figure could not be made or is not supported"
