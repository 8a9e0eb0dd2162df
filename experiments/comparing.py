"""How two runs or more differ: data, configuration, figures with their intervals, scores that moved most."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from experiments.bundle.reading import load_bundle
from experiments.registry import RunRecord
from histories.errors import TributaryError

__all__ = ["compare_runs"]

#: Customers shown whose value moved most.
MOVED = 5
#: Figures that a reader compares runs by, most important first.
FIGURES = (
    r"customers",
    r"customer_lifetime_value",
    r"holdout\.(total_error|revenue_error|mae|deviance)",
    r"total\.expected_purchases",
    r"credit\.[^.]+\.incremental\.(channel|baseline)\..+",
    r"effect\..+",
    r"care\.[^.]+",
)
#: Where the interval of a figure is kept, when not under its own name.
INTERVALS = {"customer_lifetime_value": "total.customer_lifetime_value"}


def compare_runs(runs: Sequence[RunRecord], *, everything: bool = False) -> pl.DataFrame:
    """What is not the same in all runs: a row per difference, a column per run.

    Parameters
    ----------
    runs
        Two or more.
    everything
        Every parameter and metric, not only those a reader compares by.

    Returns
    -------
    DataFrame
        kind (data, parameter, figure, score), name, one text column for each run headed by its short id, and
        difference (last less first; for figures with intervals, whether these overlap; for scores, why).
    """
    rows = [*_data(runs), *_parameters(runs), *_figures(runs, everything)]
    if len(runs) == 2:
        rows += _scores(runs[0], runs[1])
    columns = ["kind", "name", *(run.run_id[:12] for run in runs), "difference"]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


Row = dict[str, str | None]


def _data(runs: Sequence[RunRecord]) -> Iterator[Row]:
    """Tables whose rows differ, by the digest of what was read."""
    names = sorted(set().union(*(run.datasets for run in runs)))
    for name in names:
        found = [run.datasets.get(name) for run in runs]
        if len(set(found)) > 1:
            rows = [run.metrics.get(f"rows.{name}.valid") for run in runs]
            cells = ["absent" if n is None else f"{n:,.0f} rows" for n in rows]
            yield _row("data", name, runs, cells, "other rows")


def _parameters(runs: Sequence[RunRecord]) -> Iterator[Row]:
    names = sorted(set().union(*(run.parameters for run in runs)))
    for name in names:
        cells = [run.parameters.get(name) for run in runs]
        if len(set(cells)) > 1:
            yield _row("parameter", name, runs, cells, None)


def _figures(runs: Sequence[RunRecord], everything: bool) -> Iterator[Row]:
    names = [
        n for n in sorted(set().union(*(run.metrics for run in runs))) if not n.endswith((".low", ".high"))
    ]
    if not everything:
        names = [n for pattern in FIGURES for n in names if re.fullmatch(pattern, n)]
    for name in dict.fromkeys(names):
        values = [run.metrics.get(name) for run in runs]
        if len(set(values)) > 1:
            cells = [_cell(run.metrics, name) for run in runs]
            yield _row("figure", name, runs, cells, _difference(runs, name, values))


def _cell(metrics: Mapping[str, float], name: str) -> str | None:
    """A figure with its interval."""
    value = metrics.get(name)
    if value is None:
        return None
    low, high = _limits(metrics, name)
    return f"{value:.6g}" + (f" [{low:.4g}, {high:.4g}]" if low is not None and high is not None else "")


def _limits(metrics: Mapping[str, float], name: str) -> tuple[float | None, float | None]:
    place = INTERVALS.get(name, name)
    return metrics.get(f"{place}.low"), metrics.get(f"{place}.high")


def _difference(runs: Sequence[RunRecord], name: str, values: Sequence[float | None]) -> str | None:
    """Last less first, and whether the two intervals have something in common."""
    first, last = values[0], values[-1]
    if first is None or last is None:
        return None
    text = f"{last - first:+.4g}"
    (low, high), (other_low, other_high) = (_limits(run.metrics, name) for run in (runs[0], runs[-1]))
    if None in (low, high, other_low, other_high):
        return text
    apart = low > other_high or other_low > high  # type: ignore[operator]
    return f"{text}, intervals {'apart' if apart else 'overlap'}"


def _scores(first: RunRecord, second: RunRecord) -> Iterator[Row]:
    """The customers whose value moved most between two bundles, and what moved them."""
    one, other = _customers(first.bundle), _customers(second.bundle)
    if one is None or other is None or one.schema["customer_id"] != other.schema["customer_id"]:
        return
    joined = one.join(other, on="customer_id", suffix="_after").with_columns(
        moved=pl.col("customer_lifetime_value_after") - pl.col("customer_lifetime_value")
    )
    most = (
        joined.drop_nulls("moved").filter(pl.col("moved") != 0).sort(pl.col("moved").abs(), descending=True)
    )
    for row in most.head(MOVED).iter_rows(named=True):
        cells = [f"{row['customer_lifetime_value']:,.2f}", f"{row['customer_lifetime_value_after']:,.2f}"]
        why = f"{row['moved']:+,.2f}: {_why(row)}"
        yield _row("score", f"customer {row['customer_id']}", (first, second), cells, why)


def _customers(bundle: Path | None) -> pl.DataFrame | None:
    if bundle is None:
        return None
    try:
        table = load_bundle(bundle).table("customers")
    except (TributaryError, OSError):
        return None
    return None if table.is_empty() else table


def _why(row: Mapping[str, object]) -> str:
    """What of a customer is not what it was; the model where all of it is."""
    parts = []
    for name in ("frequency", "recency", "monetary_value"):
        before, after = row[name], row[f"{name}_after"]
        if before != after:
            parts.append(f"{name} {_short(before)} to {_short(after)}")
    if not parts and row["T"] != row["T_after"]:
        parts.append(f"silent from T {_short(row['T'])} to {_short(row['T_after'])}")
    if row["model"] != row["model_after"]:
        parts.append(f"{row['model']} to {row['model_after']}")
    return "; ".join(parts) or "the same purchases, other parameters"


def _short(value: object) -> str:
    return "none" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _row(
    kind: str, name: str, runs: Sequence[RunRecord], cells: Sequence[str | None], difference: str | None
) -> Row:
    shown = {run.run_id[:12]: cell for run, cell in zip(runs, cells, strict=True)}
    return {"kind": kind, "name": name, **shown, "difference": difference}
