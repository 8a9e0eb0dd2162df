"""The fitted latent dropout model: a plain value that scores any panel alike."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.latent.arrays import FloatArray, IntArray, Stocks
from attribution.incremental.latent.covariance import draw_parameters
from attribution.incremental.latent.design import LatentDesign, LatentInputs
from attribution.incremental.latent.emissions import EmissionComparison
from attribution.incremental.latent.layout import LEVELS, Emission, Layout, predictors
from attribution.incremental.latent.likelihood import Lives
from attribution.incremental.latent.nodes import frailty_nodes
from attribution.incremental.latent.search import find_lives, log_likelihood, search_on_nodes, search_poisson
from attribution.incremental.setfunction import PanelPrediction
from histories.errors import ModelError
from histories.panel import Panel

__all__ = ["EFFECT_SD", "LatentDropoutFit", "Totals", "expected_totals"]

EFFECT_SD = 5.0
"""Prior standard deviation of every slope: flat for real effects, finite for a channel nobody uses."""
LAYERS = 5
"""Points of the posterior of the frailty of leaving that predictions carry."""
CHUNK = 20_000
"""Customers whose posterior is computed at a time."""
WARM_TOLERANCE = 1e-2
"""Log-likelihood that may be left to gain in a warm refit."""
SURVIVOR_TOLERANCE = 0.03
"""Share of the survivors that the choice of emission may move before the reader is told."""
TOTAL_TOLERANCE = 0.02
"""Share by which an expected total may be off."""
START_TOLERANCE = 1.0
"""Log-likelihood by which two starts may differ."""
WINDOWS = 2
"""Lapse windows that a panel has to span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What the model expects of the customers it was fitted to, and what there was."""

    expected_purchases: float
    """Sum of the expected purchases."""
    purchases: float
    """Purchases that count as emissions."""
    expected_survivors: float
    """Customers less the expected number of leavings."""
    survivors: float
    """Sum of the probabilities of being there still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentDropoutFit:
    """A fitted latent dropout model. Nothing here depends on particular customers; scores any panel alike."""

    channels: tuple[str, ...]
    """The C channels."""
    design: LatentDesign
    """How a panel becomes inputs."""
    emission: Emission
    """How own acts arrive."""
    theta: FloatArray
    """Parameters, shape (p,), as laid out by `Layout`."""
    poisson: FloatArray
    """Parameters of the plain Poisson emission, equal to `theta` when that one was chosen."""
    covariance: FloatArray
    """Sandwich covariance of `theta`, shape (p, p)."""
    loglik: float
    """Log-likelihood without terms that no parameter enters."""
    comparison: EmissionComparison
    """The two emissions beside each other."""
    n: int
    """Customers fitted to."""
    evaluations: int
    """Likelihood evaluations."""
    value_per_purchase: float
    """Mean revenue of a purchase, in currency."""
    totals: Totals
    """Expected and observed totals of the customers fitted to."""
    start_gap: float
    """Log-likelihood by which two starts of the search differed."""
    window: int
    """Lapse window, 95 % of the gaps between purchases, in periods."""
    n_periods: int
    """Periods fitted to."""
    influence: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """Change of the parameters per unit of a customer's weight, shape (n, p); not stored."""
    rows: IntArray | None = field(default=None, repr=False, compare=False)
    """Positions of the customers fitted to, when they were a sample; not stored."""

    @property
    def beta(self) -> FloatArray:
        """Change of the log-odds of leaving per unit of stock, shape (C,)."""
        return self.theta[self.layout.hazard_drivers(len(self.channels))]

    @property
    def gamma(self) -> FloatArray:
        """Change of the log rate of purchases per unit of stock, shape (C,)."""
        return self.theta[self.layout.purchase_drivers(len(self.channels))]

    @property
    def beta_sd(self) -> FloatArray:
        """Standard errors of beta, shape (C,)."""
        result: FloatArray = np.sqrt(np.diag(self.covariance))[self.layout.hazard_drivers(len(self.channels))]
        return result

    @property
    def gamma_sd(self) -> FloatArray:
        """Standard errors of gamma, shape (C,)."""
        result: FloatArray = np.sqrt(np.diag(self.covariance))[
            self.layout.purchase_drivers(len(self.channels))
        ]
        return result

    @property
    def life(self) -> LatentDropoutFit:
        """The fit itself; the joint model holds one as its model of life."""
        return self

    @property
    def frailty_sd(self) -> float:
        """Standard deviation of the log-odds of leaving between customers alike in all that is seen."""
        return float(np.exp(self.theta[self.layout.spread][0])) if self.design.frailty else 0.0

    @property
    def levels(self) -> dict[str, float]:
        """What the emission adds, by name; empty with the plain Poisson emission."""
        values = self.theta[self.layout.levels]
        return {name: float(value) for name, value in zip(LEVELS[self.emission], values, strict=True)}

    @property
    def layout(self) -> Layout:
        """Places of the parameters."""
        design = self.design
        return Layout(
            static=len(design.static.names),
            season=2 * design.harmonics,
            drivers=design.n_drivers,
            first=int(design.staggered),
            habits=len(design.habit_names),
            emission=self.emission,
            frailty=design.frailty,
        )

    @property
    def too_short(self) -> tuple[str, ...]:
        """Why the panel is too short to tell who left; empty when it is not."""
        if self.n_periods >= WINDOWS * self.window:
            return ()
        return (f"too few periods: {self.n_periods}, needed are two lapse windows of {self.window} periods",)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why no credit from this fit is supported; empty when nothing speaks against it."""
        found = list(self.too_short)
        if self.start_gap > START_TOLERANCE:
            found.append(f"two starts of the search differ by {self.start_gap:.1f} in log-likelihood")
        totals = self.totals
        for what, expected, there in (
            ("purchases", totals.expected_purchases, totals.purchases),
            ("survivors", totals.expected_survivors, totals.survivors),
        ):
            if abs(expected - there) > TOTAL_TOLERANCE * max(there, 1.0):
                found.append(f"expected {what} {expected:,.0f} are off {there:,.0f} by more than 2 %")
        return tuple(found)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What the reader should know beside the credit; no reason to withhold it."""
        moved = self.comparison.survivor_range
        if moved <= SURVIVOR_TOLERANCE:
            return ()
        return (
            f"how own acts arrive matters: the emissions differ by {moved:.0%} in survivors; "
            f"{self.comparison.chosen!r} fits best and is used",
        )

    @property
    def plain(self) -> LatentDropoutFit:
        """The fit with Poisson acts, on the way to this one; its sampling error was not measured."""
        unknown = np.full((self.poisson.size, self.poisson.size), np.nan)
        return replace(
            self, emission="poisson", theta=self.poisson, covariance=unknown, influence=None, rows=None
        )

    def lives(self, panel: Panel, stocks: Stocks) -> Lives:
        """Posterior of the dropout month and levels of these customers, in chunks."""
        parts = []
        for first in range(0, panel.n_customers, CHUNK):
            rows = slice(first, first + CHUNK)
            inputs = self.design.inputs(panel.take(rows), stocks[rows])
            parts.append(self._lives(inputs))
        names = Lives.__dataclass_fields__
        return Lives(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def log_likelihood(self, panel: Panel, stocks: Stocks) -> FloatArray:
        """Log-likelihood of each of these customers, without terms that no parameter enters, shape (N,)."""
        return log_likelihood(
            self.design.inputs(panel, stocks), emission=self.emission, theta=self.theta, poisson=self.poisson
        )

    def predict(self, panel: Panel, stocks: Stocks, *, rng: np.random.Generator) -> PanelPrediction:
        """Hazard without channels, and the probability that each customer is there still.

        The dropout month is summed out. The frailty of leaving has layers at evenly spread quantiles of each
        customer's posterior, so nothing is random.
        """
        layers = LAYERS if self.design.frailty else 1
        offset = np.empty((layers, panel.n_customers, panel.n_periods), dtype=np.float32)
        survival = np.empty(panel.n_customers)
        purchases = survivors = 0.0
        layout = self.layout
        for first in range(0, panel.n_customers, CHUNK):
            rows = slice(first, first + CHUNK)
            inputs = self.design.inputs(panel.take(rows), stocks[rows])
            lives = self._lives(inputs)
            linear = predictors(inputs, layout, self.theta)
            without = linear.eta - inputs.drivers[:, :, : len(self.channels)] @ self.beta
            deviation, _ = frailty_nodes(self.theta[layout.spread])
            offset[:, rows] = without + _layers(lives.frailty, deviation, layers)[:, :, None]
            survival[rows] = lives.survival
            totals = expected_totals(inputs, layout, self.theta, lives)
            entries = float(panel.purchases[rows].sum()) - totals.purchases
            purchases += totals.expected_purchases + entries
            survivors += totals.expected_survivors
        return PanelPrediction(
            hazard_offset=offset,
            survival=survival,
            expected_spend=purchases * self.value_per_purchase,
            expected_survivors=survivors,
        )

    def refit(self, panel: Panel, stocks: Stocks, *, weights: FloatArray) -> LatentDropoutFit:
        """The same model on reweighted customers, warm: for the bootstrap."""
        inputs = self.design.inputs(panel, stocks)
        if self.emission == "poisson":
            found = search_poisson(
                inputs, weights, effect_sd=EFFECT_SD, start=self.theta, tolerance=WARM_TOLERANCE
            )
            return replace(self, theta=found.theta, poisson=found.theta, loglik=found.loglik)
        found = search_on_nodes(
            inputs,
            weights,
            emission=self.emission,
            start=self.theta,
            lives=self._lives(inputs),
            effect_sd=EFFECT_SD,
            tolerance=WARM_TOLERANCE,
        )
        return replace(self, theta=found.theta, loglik=found.loglik)

    def reweighted(self, weights: FloatArray) -> LatentDropoutFit:
        """The fit to reweighted customers, by one step of their influence.

        Raises
        ------
        ModelError
            If the influence was not kept, or is of other customers.
        """
        if self.influence is None or len(self.influence) != len(weights):
            kept = 0 if self.influence is None else len(self.influence)
            raise ModelError(
                f"Latent dropout: {len(weights)} weights for the influence of {kept} customers. "
                "Reweight the customers that the model was fitted to."
            )
        shift = (weights.astype(np.float32) - np.float32(1.0)) @ self.influence
        theta = self.theta + shift
        plain = self.emission == "poisson"
        return replace(self, theta=theta, poisson=theta if plain else self.poisson, influence=None)

    def draws(self, *, count: int, rng: np.random.Generator) -> tuple[LatentDropoutFit, ...]:
        """Fits drawn from the sampling distribution of the parameters, for intervals without refitting."""
        thetas = draw_parameters(self.theta, self.covariance, count=count, rng=rng)
        plain = self.emission == "poisson"
        return tuple(replace(self, theta=theta, poisson=theta if plain else self.poisson) for theta in thetas)

    def _lives(self, inputs: LatentInputs) -> Lives:
        return find_lives(inputs, emission=self.emission, theta=self.theta, poisson=self.poisson)


def _layers(posterior: FloatArray, deviation: FloatArray, layers: int) -> FloatArray:
    """The frailty at the middles of equal parts of each customer's posterior, shape (layers, N)."""
    cumulative = np.cumsum(posterior, axis=1)
    middles = (np.arange(layers) + 0.5) / layers
    node = (cumulative[None] < middles[:, None, None]).sum(axis=2)
    result: FloatArray = deviation[np.minimum(node, deviation.size - 1)]
    return result


def expected_totals(inputs: LatentInputs, layout: Layout, theta: FloatArray, lives: Lives) -> Totals:
    """What the model expects of these customers, given all that was seen of them."""
    linear = predictors(inputs, layout, theta)
    present = np.arange(inputs.n_periods) >= inputs.entry[:, None]
    return Totals(
        expected_purchases=float((lives.exposure * present * np.exp(linear.log_e)).sum()),
        purchases=float(inputs.purchases.sum()),
        expected_survivors=inputs.n_customers - float(lives.leaving.sum()),
        survivors=float(lives.survival.sum()),
    )
