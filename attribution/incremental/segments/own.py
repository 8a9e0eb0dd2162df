"""Fits to one segment each, compared: whether effects differ between the segments of a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.checks.gates import MIN_TOUCHES
from attribution.incremental.effects import Effects
from attribution.incremental.segments.heterogeneity import WaldTest, against_chance, shrink, wald_test
from attribution.incremental.setfunction import FittedPanelModel, PanelEstimator
from histories.arrays import Float, Labels
from histories.errors import DataError, ModelError
from histories.panel import Panel

MIN_CUSTOMERS: Final = 1_000
"""Customers below which a segment is not fitted alone: its structure would be chosen, and its covariance
measured, on too few."""
CHANCE_FREEDOM: Final = 24
"""Degrees of freedom of divisions by chance, at least: so many of one family's effects are compared."""
FEWEST_DIVISIONS: Final = 2
FAMILIES: Final = ("leaving", "spending")
"""Effects on the log-odds of leaving (beta), and on log spend (gamma)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFit:
    """The default estimator fitted to one segment alone."""

    fit: FittedPanelModel
    effects: Effects
    customers: NDArray[np.int64]
    """Positions of the segment's customers among those fitted to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The segments of one column, those that are large enough fitted alone and compared."""

    own: Mapping[str, OwnFit] = field(default_factory=dict)
    """Fits by label of the segments compared."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Why the other segments were not compared."""
    compared: NDArray[np.int64]
    """Positions of the channels compared: those with enough touches in every segment compared."""
    tests: Mapping[str, WaldTest] = field(default_factory=dict)
    """Test of equal effects by family; empty where fewer than two segments could be compared."""

    def places(self, family: str) -> NDArray[np.int64]:
        """Positions of a family's compared effects in the vector (beta, gamma)."""
        channels = len(next(iter(self.own.values())).effects.values) // 2
        return self.compared + FAMILIES.index(family) * channels

    def spreads(self, places: NDArray[np.int64]) -> list[Float]:
        """Covariances of these effects, by segment compared."""
        return [own.effects.covariance[np.ix_(places, places)] for own in self.own.values()]

    def targets(self, common: Float, families: frozenset[str], *, shrunk: bool = True) -> dict[str, Float]:
        """Effects of each segment compared: its own in these families, the common ones elsewhere.

        Parameters
        ----------
        common
            Effects of the fit to all customers, beta then gamma, shape (2C,).
        families
            Those in which segments differ.
        shrunk
            Whether own effects are shrunk towards the segments' mean.
        """
        found = {label: common.copy() for label in self.own}
        for family in sorted(families):
            places = self.places(family)
            values = [own.effects.values[places] for own in self.own.values()]
            if shrunk:
                scale = self.tests[family].scale
                values = shrink(values, [scale * spread for spread in self.spreads(places)])
            for label, mine in zip(self.own, values, strict=True):
                found[label][places] = mine
        return found


def compare_segments(
    estimator: PanelEstimator,
    panel: Panel,
    stocks: NDArray[np.float32],
    labels: Labels,
    *,
    rng: np.random.Generator,
    hazard: bool = True,
    expected: Sequence[str] | Labels = (),
    smallest: int = MIN_CUSTOMERS,
) -> Comparison:
    """Fit the estimator to every segment of sufficient size and test whether the effects are equal.

    Parameters
    ----------
    estimator, panel, stocks
        The estimator, and the customers that it was fitted to together.
    labels
        Segment of each customer, shape (n,).
    rng
        Source of all randomness.
    hazard
        Whether leaving is modelled.
    expected
        Segments that there are, also where none of their customers was fitted to.
    smallest
        Customers that a segment needs.
    """
    sizes = {str(name): int((labels == name).sum()) for name in np.union1d(labels, expected)}
    left_out = {
        name: f"{size:,} customers fitted, below {smallest:,}"
        for name, size in sizes.items()
        if size < smallest
    }
    large = [name for name in sizes if name not in left_out]
    nothing = np.zeros(0, dtype=np.int64)
    if len(large) < 2:
        alone = dict.fromkeys(large, "no other segment is large enough to compare with")
        return Comparison(left_out=left_out | alone, compared=nothing)
    own: dict[str, OwnFit] = {}
    for label in large:
        found = _fit_alone(estimator, panel, stocks, np.flatnonzero(labels == label), rng)
        if isinstance(found, OwnFit):
            own[label] = found
        else:
            left_out[label] = found
    if len(own) < 2:
        alone = dict.fromkeys(own, "no other segment could be fitted alone")
        return Comparison(left_out=left_out | alone, compared=nothing)
    touches = [panel.touches[part.customers].sum(axis=(0, 1), dtype=np.float64) for part in own.values()]
    compared = np.flatnonzero(np.min(touches, axis=0) >= MIN_TOUCHES)
    result = Comparison(own=own, left_out=left_out, compared=compared)
    if not len(compared):
        return result
    families = FAMILIES if hazard else FAMILIES[1:]
    chance = _by_chance(estimator, panel, stocks, result, rng)
    if not chance:
        return result
    tests = {
        family: against_chance(_test(result, family), [_test(divided, family) for divided in chance])
        for family in families
    }
    return replace(result, tests=tests)


def _test(comparison: Comparison, family: str) -> WaldTest:
    places = comparison.places(family)
    values = [own.effects.values[places] for own in comparison.own.values()]
    return wald_test(values, comparison.spreads(places))


def _by_chance(
    estimator: PanelEstimator,
    panel: Panel,
    stocks: NDArray[np.float32],
    comparison: Comparison,
    rng: np.random.Generator,
) -> list[Comparison]:
    """The customers compared, divided at random into groups of the segments' sizes and fitted alike.

    A fit with problems counts here: it makes the scale larger, if anything, and the test more careful.
    """
    everybody = np.concatenate([own.customers for own in comparison.own.values()])
    ends = np.cumsum([len(own.customers) for own in comparison.own.values()])[:-1]
    freedom = (len(comparison.own) - 1) * len(comparison.compared)
    divided = []
    for _ in range(max(FEWEST_DIVISIONS, -(-CHANCE_FREEDOM // freedom))):
        groups = [np.sort(group) for group in np.split(rng.permutation(everybody), ends)]
        fits = {
            str(k): _fit_alone(estimator, panel, stocks, group, rng, strict=False)
            for k, group in enumerate(groups)
        }
        found = {label: fit for label, fit in fits.items() if isinstance(fit, OwnFit)}
        if len(found) == len(groups):
            divided.append(Comparison(own=found, compared=comparison.compared))
    return divided


def _fit_alone(
    estimator: PanelEstimator,
    panel: Panel,
    stocks: NDArray[np.float32],
    customers: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    strict: bool = True,
) -> OwnFit | str:
    """The fit to these customers, or why there is none."""
    try:
        fit = estimator.fit(panel.take(customers), stocks[customers], rng=rng)
    except (DataError, ModelError) as error:
        return f"its own fit failed: {error}"
    if strict and fit.problems:
        return f"its own fit: {fit.problems[0]}"
    effects = fit.effects()
    if effects is None or len(effects.influence) != len(customers):
        return f"{estimator.name} keeps no influence of customers"
    return OwnFit(fit=fit, effects=effects, customers=customers)
