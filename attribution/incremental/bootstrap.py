"""Sampling error of credits: refit on randomly reweighted customers (Rubin 1981).

Each replicate gives every customer a weight from an exponential distribution, refits warm, and credits
the *same* customers, some of every segment. The error is therefore that of the estimate of this company's
credit, not of another company's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.aumann_shapley import PanelCredit, panel_credit
from attribution.incremental.checks.tried import FAILURES
from attribution.incremental.setfunction import FittedPanelModel, PanelEstimator
from attribution.settings import INCREMENTAL_OUTCOMES
from histories.arrays import Float, Labels
from histories.cuts import ALL
from histories.panel import Panel

Key = tuple[str, str]
"""A column of segments and one of its labels."""

EVALUATED = 2_000
"""Customers on whom replicates are credited, for each column of segments; spreads are scaled up to all."""
FEWEST = 50
"""Of each segment, where it has so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditDraws:
    """Deviations of replicates from the fit, by outcome."""

    deviations: Mapping[str, Float]
    """Shape (replicates, C), in units of the outcome and scaled to all customers."""
    failed: int
    """Replicates that found no optimum and were left out."""
    by_period: Mapping[str, Float] = field(default_factory=dict)
    """The same by period, shape (replicates, P, C), of retention and spend of everybody."""

    def std(self, outcome: str, channels: NDArray[np.bool_] | None = None) -> float:
        """Standard error of the summed credit of some channels (default: all); NaN below two replicates."""
        draws = self.deviations[outcome]
        if len(draws) < 2:
            return float("nan")
        return float(draws[:, slice(None) if channels is None else channels].sum(axis=1).std(ddof=1))

    def scaled(self, factor: float) -> CreditDraws:
        """The draws of so many times the customers."""
        return replace(
            self,
            deviations={name: factor * rows for name, rows in self.deviations.items()},
            by_period={name: factor * rows for name, rows in self.by_period.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicates:
    """An estimator, its fit, and how often it is refitted on reweighted customers."""

    estimator: PanelEstimator
    fit: FittedPanelModel
    panel: Panel
    """Customers fitted to."""
    stocks: NDArray[np.float32]
    count: int


Alone = Callable[
    [FittedPanelModel, NDArray[np.float64] | None, np.random.Generator], Mapping[Key, FittedPanelModel]
]
"""The models of segments with effects of their own, of a refit and its weights (None: of the fit itself)."""


def bootstrap_credits(
    replicates: Replicates,
    panel: Panel,
    stocks: NDArray[np.float32],
    labels: Mapping[str, Labels],
    *,
    rng: np.random.Generator,
    alone: Alone = lambda *_: {},
    residual_value: Float | None = None,
    gross_margin: float = 1.0,
) -> tuple[dict[Key, CreditDraws], dict[Key, CreditDraws]]:
    """Refit on reweighted customers and credit them again: deviations of every segment's credit.

    Parameters
    ----------
    replicates
        The fit, and the customers to reweight.
    panel, stocks, labels, residual_value, gross_margin
        All customers, as in `panel_credit`; some of each label are credited again.
    rng
        Draws weights and the customers credited; every replicate uses the same posterior draws, so that only
        the fit varies.
    alone
        Models of segments that are credited with effects of their own as well.

    Returns
    -------
    By column and label, with the common fit; and those of the segments in `alone`.
    """
    chosen = _some_of_each(labels, rng)
    few = _Few(
        panel=panel.take(chosen),
        stocks=stocks[chosen],
        labels={column: own[chosen] for column, own in labels.items()},
        residual_value=None if residual_value is None else residual_value[chosen],
        gross_margin=gross_margin,
        seed=int(rng.integers(2**32)),
    )
    centre = few.credits(replicates.fit, alone(replicates.fit, None, rng))
    again, failed = [], 0
    for _ in range(replicates.count):
        weights = rng.exponential(1.0, replicates.panel.n_customers)
        try:
            fit = replicates.estimator.fit(
                replicates.panel, replicates.stocks, weights=weights, start=replicates.fit, rng=rng
            )
            again.append(few.credits(fit, alone(fit, weights, rng)))
        except FAILURES:
            failed += 1

    def draws(way: int, key: Key) -> CreditDraws:
        column, label = key
        scale = float((labels[column] == label).sum() / (few.labels[column] == label).sum())
        refits = [credits[way][key] for credits in again]
        return CreditDraws(
            deviations=_deviations(centre[way][key], refits),
            failed=failed,
            by_period=_period_deviations(centre[way][key], refits),
        ).scaled(scale)

    common, own = ({key: draws(way, key) for key in centre[way]} for way in (0, 1))
    return common, own


@dataclass(frozen=True, slots=True, kw_only=True)
class _Few:
    """The customers on whom replicates are credited, always with the same latents."""

    panel: Panel
    stocks: NDArray[np.float32]
    labels: Mapping[str, Labels]
    residual_value: Float | None
    gross_margin: float
    seed: int

    def credits(
        self, fit: FittedPanelModel, alone: Mapping[Key, FittedPanelModel]
    ) -> tuple[Mapping[Key, PanelCredit], Mapping[Key, PanelCredit]]:
        """Credit of every segment with the common fit, and of those that have models of their own."""
        everybody = np.arange(self.panel.n_customers)
        whole = self._credit(fit, everybody, labels=self.labels, periods_apart=ALL in self.labels)
        common = dict(whole.by_label) | ({(ALL, ALL): whole} if ALL in self.labels else {})
        own = {
            (column, label): self._credit(model, np.flatnonzero(self.labels[column] == label))
            for (column, label), model in alone.items()
        }
        return common, own

    def _credit(self, model: FittedPanelModel, rows: NDArray[np.int64], **asked: Any) -> PanelCredit:
        return panel_credit(
            model,
            self.panel.take(rows),
            self.stocks[rows],
            rng=np.random.default_rng(self.seed),
            residual_value=None if self.residual_value is None else self.residual_value[rows],
            gross_margin=self.gross_margin,
            **asked,
        )


def _some_of_each(labels: Mapping[str, Labels], rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions of customers such that every segment has some, sorted."""
    parts = []
    for own in labels.values():
        names = np.unique(own)
        most = max(EVALUATED // len(names), FEWEST)
        parts += [rng.permutation(np.flatnonzero(own == name))[:most] for name in names]
    return np.unique(np.concatenate(parts))


def _deviations(centre: PanelCredit, again: Sequence[PanelCredit]) -> dict[str, Float]:
    found = {}
    for outcome in INCREMENTAL_OUTCOMES:
        own = centre.outcome(outcome)
        if own is not None:
            rows = [credit.require(outcome).credit - own.credit for credit in again]
            found[outcome] = np.array(rows).reshape(len(rows), len(own.credit))
    return found


def _period_deviations(centre: PanelCredit, again: Sequence[PanelCredit]) -> dict[str, Float]:
    found = {}
    for outcome in ("retention", "spend"):
        own = centre.require(outcome).by_period
        if own is not None:
            rows = [credit.require(outcome).by_period for credit in again]
            found[outcome] = np.array(rows, dtype=np.float64).reshape(-1, *own.shape) - own
    return found
