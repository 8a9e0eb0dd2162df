"""The set function: what retention and spend would have been with only some channels switched on.

With S the channels that stay on and S_itc the decayed stock of channel c,

    v_retention(S) = sum_i q_i W_i,T(S)
    v_spend(S)     = sum_it W_it(S) y_it exp(gamma . (mask * S_it) - gamma . S_it)
    W_it(S)        = E_layers prod_{s<t} (1 - h_is(S)) / (1 - h_is(all))
    logit h_it(S)  = o_it + beta . (mask * S_it)

y is the observed spend and q_i the probability of being there at the end, so that v(all) is the observed
total whatever the model says. A model enters only through what `PanelPrediction` holds, and an estimator
only through the two protocols below.

Months are ordered: touches and purchases first, then leaving with hazard h; a customer who leaves in month
t still spends in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.effects import Effects
from attribution.incremental.stocks import Timing
from histories.arrays import Real
from histories.panel import Panel


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelPrediction:
    """What a fitted model says when no channel acts. Customers N, periods P, posterior draws Q."""

    hazard_offset: Real | None
    """Log-odds of leaving with every stock at zero, o_it, one layer per posterior draw of the customer's
    latents, shape (Q, N, P), float32. Q is 1 for a model without latents. None: the model has no hazard, W
    is 1."""
    survival: Real
    """q_i: 1 or 0 for contractual customers, else the probability of being a customer still, shape (N,)."""
    expected_spend: float
    """Sum of the model's own expectation of spend over the rows, in currency: a check against the observed
    sum."""
    expected_survivors: float
    """The model's own expectation of the customers still there, NaN without a hazard; of contractual
    customers it is computed from the hazards instead."""
    share: Real | None = None
    """Weight of each layer for a customer's spend, adding up to 1 over layers, shape (Q, N); None: even."""
    staying: Real | None = None
    """Weight of each layer for a customer's survival, adding up to q_i over layers, shape (Q, N); None: even.
    A layer of a life that ended has weight 0."""

    @property
    def layer_weights(self) -> tuple[Real, Real]:
        """Weights of the layers for spend and for survival, each (Q, N); one layer without a hazard."""
        layers = 1 if self.hazard_offset is None else len(self.hazard_offset)
        n = len(self.survival)
        even = np.full((layers, n), 1.0 / layers)
        share = even if self.share is None else self.share
        return share, even * self.survival if self.staying is None else self.staying


Ahead = Callable[[NDArray[np.float32], tuple[float, ...], Timing], float]
"""Takes stocks, shape (N, P, C), and how they are made: each channel's decay, and by the day or not."""


class PanelModel(Protocol):
    """What credit is divided by: effects, and what is predicted for any customers."""

    @property
    def beta(self) -> NDArray[np.float64]:
        """Change of the log-odds of leaving per unit of stock, shape (C,); zeros without a hazard."""

    @property
    def gamma(self) -> NDArray[np.float64]:
        """Change of log spend per unit of stock, shape (C,)."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Why no credit from this fit is supported, in words; empty when nothing speaks against it."""

    def predict(
        self, panel: Panel, stocks: NDArray[np.float32], *, rng: np.random.Generator
    ) -> PanelPrediction:
        """What the model says of these customers, who need not be those it was fitted to."""


class FittedPanelModel(PanelModel, Protocol):
    """A fitted model of leaving and spending, an immutable value."""

    @property
    def why_no_leaving(self) -> str:
        """Why nothing can be said of leaving, in a clause; empty where something can."""

    def effects(self) -> Effects | None:
        """Beta and gamma with each customer's influence; None where it was not kept."""

    def with_stocks(
        self, panel: Panel, stocks: NDArray[np.float32], *, before: NDArray[np.float32] | None = None
    ) -> tuple[FittedPanelModel, float] | None:
        """The fit climbed on with other stocks of these customers, its log-likelihood; None without one.

        `before` are the stocks of the fit, where effects per unit of the others are of another size.
        """

    def made_by(self, decays: tuple[float, ...], by_day: Timing) -> FittedPanelModel:
        """The same parameters, for stocks with these decays of channels, by the day of touches or not."""

    def outlook(self, panel: Panel, before: NDArray[np.float32]) -> Ahead | None:
        """What one step with other stocks than these promises.

        About the log-likelihood that `with_stocks` would find, less a constant of the data and the stocks
        `before`, which are those of the fit; at a price of next to nothing. None without a likelihood.
        """


class PanelEstimator(Protocol):
    """Choices of an estimator. `fit` is called once on the data and again, warm, on reweighted customers."""

    @property
    def name(self) -> str:
        """The estimator's name, as in tables."""

    @property
    def limits(self) -> str:
        """What the estimator assumes or leaves out, in one clause for the `reason` column; may be empty."""

    def at_decay(
        self, decay: float, decays: tuple[float, ...] = (), *, by_day: Timing = False
    ) -> PanelEstimator:
        """The same estimator, whose own stocks have this decay, each channel's its own if given.

        With `by_day` they are by the day of touches.
        """

    def fit(
        self,
        panel: Panel,
        stocks: NDArray[np.float32],
        *,
        weights: NDArray[np.float64] | None = None,
        start: Any = None,
        rng: np.random.Generator,
    ) -> FittedPanelModel:
        """Estimate the model.

        Parameters
        ----------
        panel
            Customers and their periods.
        stocks
            Decayed stocks of the panel's touches, shape (N, P, C).
        weights
            Weight of each customer in the likelihood, shape (N,); None for ones. The bootstrap draws them
            from an exponential distribution with mean 1.
        start
            A fit of the same estimator to start from: a warm start may stop after fewer iterations.
        rng
            Source of all randomness.

        Raises
        ------
        ConvergenceError
            If no optimum was found.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The estimator that credits a company, fitted, and what was fitted on the way to it."""

    estimator: PanelEstimator
    fit: FittedPanelModel
    beside: Mapping[str, FittedPanelModel] = field(default_factory=dict)
    """Fits of rivals by name: they belong in the range."""
    notes: tuple[str, ...] = ()
    """Why this estimator."""
    caution: str = ""
    """What the data speak against in it, in a clause that comes first; empty: nothing."""
