"""What the truth benchmark puts side by side: our estimators, simple ones, the path methods of peers.

Each method is a function from a simulated panel to the credits it would report. Only the oracle sees what is
hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.incremental.beside import credit_bounds, members_of, objections
from attribution.incremental.checks.last_period import with_moments_of_leaving
from attribution.incremental.estimate import CreditEstimate, estimate_credit
from attribution.incremental.plan import Plan, plan_for
from attribution.incremental.range import WIDENING
from attribution.incremental.regression import OWN_MEANS, POISSON_SPEND, STATIC
from attribution.incremental.setfunction import PanelEstimator
from attribution.paths.descriptive import descriptive
from attribution.settings import AttributionSettings
from benchmarks.panels.arrays import SimulatedPanel
from histories.arrays import Float
from histories.panel import Panel

PATH_METHODS = ("last", "linear", "markov", "shapley")
STILL_BUYING = 3
"""Months without a purchase after which a customer counts as lost, where leaving is not recorded."""
REPLICATES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One method's credit of one outcome; bounds are empty for methods without."""

    credit: Float
    low: Float | None = None
    high: Float | None = None
    range_low: Float | None = None
    range_high: Float | None = None
    total_range: tuple[float, float] | None = None
    """Range of all channels together."""
    supported: bool = True
    stands: NDArray[np.bool_] | None = None
    """Whether each channel's credit is supported; None: as `supported` says."""
    reason: str = ""


Method = Callable[[SimulatedPanel], Mapping[str, Found]]


def ours(company: SimulatedPanel) -> Mapping[str, Found]:
    """The default of `tributary run`, with interval and range."""
    panel = with_moments_of_leaving(company.panel)
    return _estimated(panel, plan_for(panel), replicates=REPLICATES)


def ours_alone(company: SimulatedPanel) -> Mapping[str, Found]:
    """The same credit from the default estimator, without the others that make its range."""
    panel = with_moments_of_leaving(company.panel)
    return _estimated(panel, Plan(default=plan_for(panel).default), replicates=2)


def with_decay(decay: float) -> Method:
    """The default's estimator alone, with a given decay of stocks."""

    def method(company: SimulatedPanel) -> Mapping[str, Found]:
        plan = Plan(default=plan_for(company.panel).default)
        return _estimated(company.panel, plan, replicates=REPLICATES, decay=decay)

    return method


def oracle(company: SimulatedPanel) -> Mapping[str, Found]:
    """Regressions that see what is hidden, and know the decay: the floor of sampling error."""
    panel, latent = company.panel, company.latent
    n, periods = panel.spend.shape
    seen = {
        "u": latent["u"],
        "v": np.broadcast_to(latent.get("v", np.zeros(n))[:, None], (n, periods)),
        "buying": np.broadcast_to(np.log(latent.get("buying", np.ones(n)) + 1e-3)[:, None], (n, periods)),
    }
    shown = [name for name, values in seen.items() if np.ptp(values) > 0]
    panel = panel if panel.contractual else _with_exits(company)
    if shown:
        values = np.stack([seen[name] for name in shown], axis=2)
        panel = replace(panel, time_covariates=values, time_covariate_names=tuple(shown))
    decay = float(str(company.truth.parameters["decay"]))
    return _estimated(panel, Plan(default=STATIC), replicates=REPLICATES, decay=decay)


def _with_exits(company: SimulatedPanel) -> Panel:
    """The panel as if leaving had been recorded: nothing is seen after it."""
    exit_ = company.latent["exit"].astype(np.int64)
    panel = replace(company.panel, exit=exit_)
    return replace(panel, touches=panel.touches * panel.at_risk[:, :, None])


def regression(estimator: PanelEstimator) -> Method:
    """One of the simple estimators, with its own interval."""

    def method(company: SimulatedPanel) -> Mapping[str, Found]:
        return _estimated(company.panel, Plan(default=estimator), replicates=REPLICATES)

    return method


def path_method(name: str) -> Method:
    """A descriptive method on journeys, which hands out the whole outcome of touched customers."""

    def method(company: SimulatedPanel) -> Mapping[str, Found]:
        found = {}
        for outcome, paths in (
            ("retention", _retention_paths(company)),
            ("spend", _spend_paths(company.panel)),
        ):
            table = descriptive(paths, methods=[name], outcome=outcome, groups={}).credits
            by_channel = table.by_channel(outcome=outcome, method=name)
            credit = np.array([by_channel.get(channel, 0.0) for channel in company.panel.channels])
            found[outcome] = Found(credit=credit)
        return found

    return method


def retained_against_touches(company: SimulatedPanel) -> Mapping[str, Found]:
    """Least squares of "still there" on log(1 + touches) of the whole life: what a data team does first."""
    panel = company.panel
    amounts = np.log1p(panel.touches.sum(axis=1, dtype=np.float64))
    found = {}
    for outcome, y in (("retention", _still_there(panel)), ("spend", panel.spend.sum(axis=1))):
        X = np.column_stack([np.ones(len(y)), panel.covariates, amounts])
        slope = np.linalg.lstsq(X, y, rcond=None)[0][-panel.n_channels :]
        found[outcome] = Found(credit=slope * amounts.sum(axis=0))
    return found


def _still_there(panel: Panel) -> Float:
    if panel.exit is not None:
        return (panel.exit >= panel.n_periods).astype(np.float64)
    return (panel.purchases[:, -STILL_BUYING:].sum(axis=1) > 0).astype(np.float64)


def _estimated(
    panel: Panel, plan: Plan, *, replicates: int, decay: float | None = None
) -> Mapping[str, Found]:
    settings = AttributionSettings(replicates=replicates, fit_customers=1_000_000)
    if decay is not None:
        settings = replace(settings, decay=decay)
    estimate = estimate_credit(panel, settings=settings, plan=plan)
    outcomes = ["spend"] if estimate.why_no_leaving else ["spend", "retention"]
    against = objections(panel, estimate.problems, estimate.against_channels)
    stands = np.array([not against[name] for name in panel.channels])
    return {outcome: _found(estimate, outcome, settings.interval, stands) for outcome in outcomes}


def _found(estimate: CreditEstimate, outcome: str, interval: float, stands: NDArray[np.bool_]) -> Found:
    own = estimate.credit.require(outcome)
    bounds = credit_bounds(
        members_of(estimate.credit.channels),
        estimate.credit,
        estimate.companions,
        estimate.draws,
        outcome=outcome,
        interval=interval,
    )
    chosen = [bounds[name] for name in estimate.credit.channels]
    arrays = {
        key: None
        if any(getattr(b, key) is None for b in chosen)
        else np.array([getattr(b, key) for b in chosen])
        for key in ("low", "high", "range_low", "range_high")
    }
    return Found(
        credit=own.credit,
        total_range=_total_range(estimate, outcome),
        supported=not estimate.problems,
        stands=stands,
        reason="; ".join(estimate.problems),
        **arrays,
    )


def _total_range(estimate: CreditEstimate, outcome: str) -> tuple[float, float] | None:
    others = [companion.outcome(outcome) for companion in estimate.companions.values()]
    sums = [float(other.credit.sum()) for other in others if other is not None and np.any(other.credit)]
    spread = WIDENING * estimate.draws.std(outcome)
    if not sums or not np.isfinite(spread):
        return None
    hull = [float(estimate.credit.require(outcome).credit.sum()), *sums]
    return min(hull) - spread, max(hull) + spread


def _retention_paths(company: SimulatedPanel) -> pl.DataFrame:
    """One journey per customer over the whole life; it converts when the customer is still there."""
    panel = company.panel
    touches = _touch_rows(panel).group_by("i", maintain_order=True).agg(pl.col("channel").alias("path"))
    kept = pl.DataFrame({"i": np.arange(panel.n_customers), "kept": _still_there(panel)})
    journeys = kept.join(touches, on="i", how="left").with_columns(pl.col("path").fill_null([]))
    return journeys.select("path", conversions=pl.col("kept"), nulls=1.0 - pl.col("kept"))


def _spend_paths(panel: Panel) -> pl.DataFrame:
    """One journey per customer and month with a touch or a purchase; it converts with a purchase."""
    touches = _touch_rows(panel).group_by("i", "t", maintain_order=True).agg(pl.col("channel").alias("path"))
    i, t = np.nonzero(panel.purchases > 0)
    bought = pl.DataFrame({"i": i, "t": t, "value": panel.spend[i, t], "bought": np.ones(len(i))})
    journeys = touches.join(bought, on=["i", "t"], how="full", coalesce=True)
    return journeys.select(
        pl.col("path").fill_null([]),
        conversions=pl.col("bought").fill_null(0.0),
        value=pl.col("value").fill_null(0.0),
        nulls=1.0 - pl.col("bought").fill_null(0.0),
    )


def _touch_rows(panel: Panel) -> pl.DataFrame:
    """One row per touch, in time; the order within a month is random."""
    counts = panel.touches.astype(np.int64)
    where = np.nonzero(counts)
    i, t, c = (np.repeat(axis, counts[where]) for axis in where)
    order = np.random.default_rng(0).random(len(i))
    names = np.array(panel.channels)
    return pl.DataFrame({"i": i, "t": t, "channel": names[c], "order": order}).sort("i", "t", "order")


METHODS: dict[str, Method] = {
    "oracle": oracle,
    "tributary": ours,
    "decay .6": with_decay(0.6),
    "own means": regression(OWN_MEANS),
    "proxy regression": regression(STATIC),
    "poisson": regression(POISSON_SPEND),
    "retained~touches": retained_against_touches,
    **{name: path_method(name) for name in PATH_METHODS},
}
"""Every method by its name in the table."""

CONTRACTUAL_ONLY = ("own means", "proxy regression")
"""Methods that need recorded leaving."""

ON_REQUEST = ("decay .6",)
"""Methods that are judged only when they are asked for."""
