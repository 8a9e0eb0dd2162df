"""Sampling error of segments' credits: one set of reweighted fits, credited on customers of every segment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.aumann_shapley import PanelCredit, panel_credit
from attribution.incremental.bootstrap import CreditDraws
from attribution.incremental.segments.own import OwnFit
from attribution.incremental.segments.sums import credit_by_label
from attribution.incremental.setfunction import FittedPanelModel, PanelEstimator
from attribution.settings import INCREMENTAL_OUTCOMES
from histories.errors import ConvergenceError
from histories.panel import Panel

__all__ = ["OwnTarget", "Replicates", "SegmentDraws", "segment_draws"]

Float = NDArray[np.float64]
Labels = NDArray[np.str_]
ByLabel = dict[tuple[str, str], PanelCredit]

EVALUATED = 2_000
"""Customers on whom replicates are credited, for each column of segments."""
FEWEST = 50
"""Of each segment, where it has so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTarget:
    """A segment credited with effects of its own."""

    own: OwnFit
    effects: Float
    """Effects it is credited with, shape (2C,)."""
    free: NDArray[np.bool_]
    """Which of them are its own and vary with its own fit; the others with the common one, shape (2C,)."""

    def moved(
        self,
        estimator: PanelEstimator,
        panel: Panel,
        stocks: NDArray[np.float32],
        *,
        rng: np.random.Generator,
        weights: Float | None = None,
        common_shift: Float | None = None,
    ) -> FittedPanelModel:
        """The segment's fit with these effects, everything else following; of reweighted customers.

        In a replicate other parameters move only as far as the effects take them along: the rest of their
        error may lie where the data say next to nothing, and one step there can go anywhere.

        Parameters
        ----------
        estimator, panel, stocks
            The estimator, and the segment's customers that it was fitted to.
        rng
            Passed on.
        weights
            Weights of a replicate, shape (n,); None for ones.
        common_shift
            How far the common effects moved in the replicate, shape (2C,).
        """
        mine = self.own.effects
        own_shift = 0.0 if weights is None else (weights - 1.0) @ mine.influence
        shift = np.where(self.free, own_shift, 0.0 if common_shift is None else common_shift)
        towards = mine.weights_towards(self.effects + shift)
        return estimator.fit(panel, stocks, weights=towards, start=self.own.fit, rng=rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentDraws:
    """Sampling error of one segment's credit."""

    common: CreditDraws
    """With the common effects."""
    own: CreditDraws | None
    """With effects of its own; None where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicates:
    """What the bootstrap of segments needs besides the customers."""

    estimator: PanelEstimator
    fit: FittedPanelModel
    """The common fit."""
    panel: Panel
    """Customers fitted to."""
    stocks: NDArray[np.float32]
    count: int
    targets: Mapping[tuple[str, str], OwnTarget] = field(default_factory=dict)
    """Segments with effects of their own, by column and label."""


def segment_draws(
    replicates: Replicates,
    panel: Panel,
    stocks: NDArray[np.float32],
    columns: Mapping[str, Labels],
    *,
    rng: np.random.Generator,
    residual_value: Float | None = None,
    gross_margin: float = 1.0,
) -> dict[str, dict[str, SegmentDraws]]:
    """Deviations of every segment's credit, by column and label.

    Parameters
    ----------
    replicates
        The fits, and the customers to reweight.
    panel, stocks, columns, residual_value, gross_margin
        All customers, as in `credit_by_label`; some of each segment are credited again.
    rng
        Draws the weights and the customers credited.
    """
    chosen = _some_of_each(columns, rng)
    few = _Few(
        panel=panel.take(chosen),
        stocks=stocks[chosen],
        columns={column: labels[chosen] for column, labels in columns.items()},
        value={
            "residual_value": None if residual_value is None else residual_value[chosen],
            "gross_margin": gross_margin,
        },
        seed=int(rng.integers(2**32)),
    )
    centre = few.common(replicates.fit), few.own(_moved(replicates, None, None, rng))
    again: list[tuple[ByLabel, ByLabel]] = []
    failed = 0
    for _ in range(replicates.count):
        weights = rng.exponential(1.0, replicates.panel.n_customers)
        try:
            common = replicates.estimator.fit(
                replicates.panel, replicates.stocks, weights=weights, start=replicates.fit, rng=rng
            )
            own = _moved(replicates, common, weights, rng)
        except ConvergenceError:
            failed += 1
            continue
        again.append((few.common(common), few.own(own)))
    found: dict[str, dict[str, SegmentDraws]] = {column: {} for column in columns}
    for (column, label), credit in centre[0].items():
        key = column, label
        scale = float((columns[column] == label).sum() / (few.columns[column] == label).sum())
        alone = centre[1].get(key)
        found[column][label] = SegmentDraws(
            common=_deviations(credit, [both[0][key] for both in again], scale=scale, failed=failed),
            own=None
            if alone is None
            else _deviations(alone, [both[1][key] for both in again], scale=scale, failed=failed),
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Few:
    """The customers on whom replicates are credited, always with the same latents."""

    panel: Panel
    stocks: NDArray[np.float32]
    columns: Mapping[str, Labels]
    value: Mapping[str, Any]
    seed: int

    def common(self, model: FittedPanelModel) -> ByLabel:
        """Credit of every segment with common effects."""
        rng = np.random.default_rng(self.seed)
        found = credit_by_label(model, self.panel, self.stocks, self.columns, rng=rng, **self.value)
        return {(column, label): credit for column, part in found.items() for label, credit in part.items()}

    def own(self, models: Mapping[tuple[str, str], FittedPanelModel]) -> ByLabel:
        """Credit of the segments that have models of their own."""
        found: ByLabel = {}
        for (column, label), model in models.items():
            rows = np.flatnonzero(self.columns[column] == label)
            some: dict[str, Any] = {
                name: v[rows] if isinstance(v, np.ndarray) else v for name, v in self.value.items()
            }
            rng = np.random.default_rng(self.seed)
            found[column, label] = panel_credit(
                model, self.panel.take(rows), self.stocks[rows], rng=rng, **some
            )
        return found


def _moved(
    replicates: Replicates, common: FittedPanelModel | None, weights: Float | None, rng: np.random.Generator
) -> dict[tuple[str, str], FittedPanelModel]:
    """The segments' own models, of one replicate or (without weights) as they are."""
    shift = None
    if common is not None:
        now, before = (np.concatenate([fit.beta, fit.gamma]) for fit in (common, replicates.fit))
        shift = now - before
    moved = {}
    for key, target in replicates.targets.items():
        rows = target.own.customers
        moved[key] = target.moved(
            replicates.estimator,
            replicates.panel.take(rows),
            replicates.stocks[rows],
            rng=rng,
            weights=None if weights is None else weights[rows],
            common_shift=shift,
        )
    return moved


def _some_of_each(columns: Mapping[str, Labels], rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions of customers such that every segment has some, sorted."""
    parts = []
    for labels in columns.values():
        names = np.unique(labels)
        most = max(EVALUATED // len(names), FEWEST)
        parts += [rng.permutation(np.flatnonzero(labels == name))[:most] for name in names]
    return np.unique(np.concatenate(parts))


def _deviations(centre: PanelCredit, again: list[PanelCredit], *, scale: float, failed: int) -> CreditDraws:
    deviations = {}
    for outcome in INCREMENTAL_OUTCOMES:
        own = centre.outcome(outcome)
        if own is not None:
            rows = [found.require(outcome).credit - own.credit for found in again]
            deviations[outcome] = scale * np.array(rows).reshape(len(rows), len(own.credit))
    return CreditDraws(deviations=deviations, failed=failed)
