"""How two runs or more differ: data, configuration, figures with their intervals, scores that moved most."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from experiments.bundle.reading import Bundle, load_bundle
from experiments.bundle.sources import BundleTables
from experiments.metrics import run_metrics
from experiments.tracking import flatten
from histories.errors import TributaryError

#: Customers shown whose value moved most.
MOVED = 5
#: Figures closer than this, relative to their size, are the same.
SAME = 1e-9
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


class Compared(Protocol):
    """What of a run is compared: MLflow's record has it, and so has a bundle."""

    @property
    def run_id(self) -> str:
        """The run's id."""

    @property
    def bundle(self) -> Path | None:
        """Where its bundle lies, if it left one."""

    @property
    def parameters(self) -> dict[str, str]:
        """The configuration, by dotted name."""

    @property
    def metrics(self) -> dict[str, float]:
        """The figures, intervals under `.low` and `.high`."""

    @property
    def datasets(self) -> dict[str, str]:
        """The tables that were read, with a digest of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundInBundle:
    """What is compared of a bundle, without a record in MLflow."""

    run_id: str
    bundle: Path | None
    parameters: dict[str, str] = field(repr=False)
    metrics: dict[str, float] = field(repr=False)
    datasets: dict[str, str] = field(repr=False)


def found_in(bundle: Bundle) -> FoundInBundle:
    """What MLflow was told of the run that left this bundle, read from the bundle itself."""
    inputs = bundle.manifest.get("inputs") or {}
    parameters = flatten(bundle.manifest.get("configuration") or {})
    if "chosen" in bundle.model:
        parameters["chosen_model"] = bundle.model["chosen"]
    rows = {f"rows.{name}.valid": float(entry["rows_valid"]) for name, entry in inputs.items()}
    return FoundInBundle(
        run_id=str(bundle.manifest.get("run_id", "")),
        bundle=bundle.path,
        parameters={name: str(value) for name, value in parameters.items()},
        metrics=rows | run_metrics(BundleTables(bundle), bundle.model),
        datasets={name: str(entry.get("sha256", "")) for name, entry in inputs.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One figure that two runs tell differently, with its intervals where it has them."""

    name: str
    before: float
    now: float
    before_range: tuple[float, float] | None
    now_range: tuple[float, float] | None

    @property
    def change(self) -> float:
        """Now less before."""
        return self.now - self.before

    @property
    def chance(self) -> float | None:
        """How far the change may go by chance, were the two runs independent; None without both intervals.

        Each interval gives the half that looks to the other figure; the two add up as squares. Runs that
        share data share their chance as well, so that a smaller change may already be more than that.
        """
        if self.before_range is None or self.now_range is None:
            return None
        up = self.change >= 0
        first = self.before_range[1] - self.before if up else self.before - self.before_range[0]
        second = self.now - self.now_range[0] if up else self.now_range[1] - self.now
        return math.hypot(max(first, 0.0), max(second, 0.0))

    @property
    def beyond_chance(self) -> bool | None:
        """Whether the figure moved further than chance explains; None where that is not known."""
        return None if self.chance is None else abs(self.change) > self.chance


def moved_figures(first: Compared, last: Compared, *, everything: bool = False) -> list[Moved]:
    """Figures that both runs have and tell differently, those a reader compares by first."""
    names = _names((first, last), everything)
    return [
        Moved(
            name=name,
            before=first.metrics[name],
            now=last.metrics[name],
            before_range=_limits(first.metrics, name),
            now_range=_limits(last.metrics, name),
        )
        for name in names
        if name in first.metrics and name in last.metrics and _differ(first.metrics[name], last.metrics[name])
    ]


def _differ(one: float | None, other: float | None) -> bool:
    """Whether two figures are told apart: by more than the order in which a machine adds up."""
    if one is None or other is None:
        return one is not other
    return not math.isclose(one, other, rel_tol=SAME, abs_tol=SAME * SAME)


def compare_runs(runs: Sequence[Compared], *, everything: bool = False) -> pl.DataFrame:
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
        difference (last less first; for figures with intervals, whether chance explains it; for scores, why).
    """
    rows = [*_data(runs), *_parameters(runs), *_figures(runs, everything)]
    if len(runs) == 2:
        rows += _scores(runs[0], runs[1])
    columns = ["kind", "name", *(run.run_id[:12] for run in runs), "difference"]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


Row = dict[str, str | None]


def _data(runs: Sequence[Compared]) -> Iterator[Row]:
    """Tables whose rows differ, by the digest of what was read."""
    names = sorted(set().union(*(run.datasets for run in runs)))
    for name in names:
        found = [run.datasets.get(name) for run in runs]
        if len(set(found)) > 1:
            rows = [run.metrics.get(f"rows.{name}.valid") for run in runs]
            cells = ["absent" if n is None else f"{n:,.0f} rows" for n in rows]
            yield _row("data", name, runs, cells, "other rows")


def _parameters(runs: Sequence[Compared]) -> Iterator[Row]:
    names = sorted(set().union(*(run.parameters for run in runs)))
    for name in names:
        cells = [run.parameters.get(name) for run in runs]
        if len(set(cells)) > 1:
            yield _row("parameter", name, runs, cells, None)


def _names(runs: Sequence[Compared], everything: bool) -> list[str]:
    names = [
        n for n in sorted(set().union(*(run.metrics for run in runs))) if not n.endswith((".low", ".high"))
    ]
    if not everything:
        names = [n for pattern in FIGURES for n in names if re.fullmatch(pattern, n)]
    return list(dict.fromkeys(names))


def _figures(runs: Sequence[Compared], everything: bool) -> Iterator[Row]:
    moved = {one.name: one for one in moved_figures(runs[0], runs[-1], everything=everything)}
    for name in _names(runs, everything):
        if any(_differ(runs[0].metrics.get(name), run.metrics.get(name)) for run in runs[1:]):
            cells = [_cell(run.metrics, name) for run in runs]
            yield _row("figure", name, runs, cells, _difference(moved.get(name)))


def _cell(metrics: Mapping[str, float], name: str) -> str | None:
    """A figure with its interval."""
    value = metrics.get(name)
    if value is None:
        return None
    limits = _limits(metrics, name)
    return f"{value:.6g}" + (f" [{limits[0]:.4g}, {limits[1]:.4g}]" if limits else "")


def _limits(metrics: Mapping[str, float], name: str) -> tuple[float, float] | None:
    place = INTERVALS.get(name, name)
    low, high = metrics.get(f"{place}.low"), metrics.get(f"{place}.high")
    return None if low is None or high is None else (low, high)


def _difference(moved: Moved | None) -> str | None:
    """Last less first, and whether that is more than chance."""
    if moved is None:
        return None
    reading = {None: "", True: ", beyond chance", False: ", within chance"}[moved.beyond_chance]
    return f"{moved.change:+.4g}{reading}"


def _scores(first: Compared, second: Compared) -> Iterator[Row]:
    """The customers whose value moved most between two bundles, and what moved them."""
    for row in moved_scores(first, second).iter_rows(named=True):
        cells = [f"{row['before']:,.2f}", f"{row['now']:,.2f}"]
        why = f"{row['now'] - row['before']:+,.2f}: {row['why']}"
        yield _row("score", f"customer {row['customer_id']}", (first, second), cells, why)


def moved_scores(
    first: Compared, second: Compared, *, most: int = MOVED, hidden: Callable[[str], bool] | None = None
) -> pl.DataFrame:
    """The customers whose value moved most between two bundles, and what moved them.

    Parameters
    ----------
    first, second
        Two runs, the earlier one first.
    most
        How many customers.
    hidden
        Says of an id whether its customer is not to be shown.

    Returns
    -------
    DataFrame
        Columns customer_id (text), before, now (lifetime value), why; empty where the bundles cannot be
        joined.
    """
    schema = {"customer_id": pl.String, "before": pl.Float64, "now": pl.Float64, "why": pl.String}
    one, other = _customers(first.bundle), _customers(second.bundle)
    if one is None or other is None or one.schema["customer_id"] != other.schema["customer_id"]:
        return pl.DataFrame(schema=schema)
    value = pl.col("customer_lifetime_value")
    joined = one.join(other, on="customer_id", suffix="_after").with_columns(
        moved=pl.col("customer_lifetime_value_after") - value
    )
    ranked = joined.drop_nulls("moved").filter(pl.col("moved").abs() > SAME * value.abs())
    ranked = ranked.sort(pl.col("moved").abs(), "customer_id", descending=[True, False])
    rows: list[dict[str, object]] = []
    for row in ranked.iter_rows(named=True):
        if len(rows) == most:
            break
        if hidden is None or not hidden(str(row["customer_id"])):
            found = (row["customer_lifetime_value"], row["customer_lifetime_value_after"], _why(row))
            rows.append(dict(zip(schema, (str(row["customer_id"]), *found), strict=True)))
    return pl.DataFrame(rows, schema=schema)


_SCORED = ("customer_id", "customer_lifetime_value", "frequency", "recency", "T", "monetary_value", "model")


def _customers(bundle: Path | None) -> pl.DataFrame | None:
    if bundle is None:
        return None
    try:
        table = load_bundle(bundle, verify=False).scan("customers").select(_SCORED).collect()
    except (TributaryError, OSError, pl.exceptions.PolarsError):
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
    kind: str, name: str, runs: Sequence[Compared], cells: Sequence[str | None], difference: str | None
) -> Row:
    shown = {run.run_id[:12]: cell for run, cell in zip(runs, cells, strict=True)}
    return {"kind": kind, "name": name, **shown, "difference": difference}
