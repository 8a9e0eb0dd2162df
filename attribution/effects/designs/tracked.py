"""Tracked against untracked customers: how they differ, and why the difference is no effect.

Customers whose contacts can be linked to them chose to be linked. The comparison says how far the tracked
stand for everybody, and keeps the naive uplift out of the headline.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.data.covariates import history_covariates
from attribution.effects.data.history import History, build_history
from attribution.effects.data.index_dates import matching_contacts
from attribution.effects.data.outcomes import measure
from attribution.effects.data.tables import Setting
from attribution.effects.data.units import encode_covariates
from attribution.effects.design import EffectDesign
from attribution.effects.effect import Effect, effect_of, with_interval
from attribution.effects.estimators.regression import mean_difference
from attribution.effects.findings import PICTURE_SCHEMAS, Findings
from histories.errors import DataError

TRACKED_REASON = (
    "a description: customers whose contacts can be linked to them were different before, and they had to "
    "stay to be linked"
)


def estimate_tracked(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """The naive difference of each outcome, never supported, and both groups measure by measure.

    Outcomes are measured over the last `follow_up_days`; tracked is who had a contact before that.

    Raises
    ------
    DataError
        When there are no touchpoints, or everybody or nobody is tracked.
    """
    history = build_history(setting.tables, observation_end=setting.observation_end)
    cut = history.end - design.follow_up_days
    customers = np.flatnonzero(history.acquired < cut)
    tracked = np.isin(customers, _linked(design, history, setting, cut))
    if min(tracked.sum(), (~tracked).sum()) < 2:
        raise DataError(f'effect "{design.name}": {tracked.mean():.0%} of the customers are tracked')
    day = np.full(len(customers), cut)
    effects = []
    for outcome in design.outcomes:
        y = measure(outcome, history, customers, day + 1, np.full(len(customers), history.end))
        effects.append(_effect(design, outcome, y, tracked))
    return Findings(
        effects=tuple(effects),
        pictures={"tracked": _compare(design, history, customers, day, tracked)},
    )


def _linked(design: EffectDesign, history: History, setting: Setting, cut: int) -> NDArray[np.int64]:
    """Numbers of the customers with a contact that the design selects before the cut."""
    day = pl.col("timestamp").dt.date().cast(pl.Int32).cast(pl.Int64)
    contacts = matching_contacts(design, setting.tables)
    seen = contacts.filter(day <= cut).select("customer_id").unique().collect()
    return history.number(seen)["customer"].to_numpy()


def _effect(design: EffectDesign, outcome: str, y: NDArray[np.float64], tracked: NDArray[np.bool_]) -> Effect:
    """The naive difference, with the reason why it is none."""
    estimate, error = mean_difference(y, tracked)
    effect = effect_of(
        design,
        outcome,
        "naive",
        "difference",
        tracked,
        treatment="tracked customers",
        effective_n=float(len(y)),
    )
    return with_interval(effect, estimate=estimate, std_error=error).refused(TRACKED_REASON)


def _compare(
    design: EffectDesign,
    history: History,
    customers: NDArray[np.int64],
    day: NDArray[np.int64],
    tracked: NDArray[np.bool_],
) -> pl.DataFrame:
    """Mean of each measure in both groups before the cut, and the standardised difference."""
    measures = history_covariates(history, customers, day)
    columns = [name for name in design.covariates if name in history.customers.columns]
    if columns:
        matrix, names = encode_covariates(history.customers[customers.tolist()], columns)
        measures |= {name: matrix[:, i] for i, name in enumerate(names)}
    rows = []
    for name, values in measures.items():
        a, b = values[tracked], values[~tracked]
        spread = np.sqrt((a.var() + b.var()) / 2)
        rows.append(
            {
                "name": design.name,
                "measure": name,
                "tracked": a.mean(),
                "untracked": b.mean(),
                "standardised_difference": (a.mean() - b.mean()) / spread if spread > 0 else 0.0,
                "n_tracked": len(a),
                "n_untracked": len(b),
            }
        )
    return pl.DataFrame(rows, schema=PICTURE_SCHEMAS["tracked"])
