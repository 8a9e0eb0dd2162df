"""The latent dropout month: who left is never seen, so the month of leaving is summed out exactly.

A customer of a non-contractual company leaves in silence, and whatever a customer does proves that the
customer is still there. Both facts are in the likelihood: purchases and the customer's own acts are emissions
that stop at the dropout month, and silence costs each month its probability under "alive". Equations:
`docs/latent-dropout.md`. Ancestor: Schmittlein, Morrison & Colombo (1987), for purchases alone; here the
hazard has covariates, and the customer's own acts are emissions too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from attribution.incremental.latent.arrays import FloatArray, IntArray, Stocks
from attribution.incremental.latent.covariance import Spread, sandwich
from attribution.incremental.latent.decay import LatentProfile
from attribution.incremental.latent.design import LatentDesign
from attribution.incremental.latent.emissions import compare_emissions
from attribution.incremental.latent.fit import EFFECT_SD, LatentDropoutFit, expected_totals
from attribution.incremental.latent.layout import Emission
from attribution.incremental.latent.search import search_on_nodes, search_poisson
from attribution.incremental.latent.windows import lapse_window
from attribution.incremental.setfunction import FittedPanelModel
from attribution.incremental.stocks import DECAY, panel_stocks
from histories.errors import ConfigError, DataError
from histories.panel import Panel

__all__ = ["LatentDropout"]

SAMPLE = 50_000
"""Customers that a model is fitted to; more are drawn down to it."""
SEASON_FROM = 18
"""Periods from which a season can be told from a trend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentDropout:
    """Choices for the latent dropout model.

    Examples
    --------
    >>> LatentDropout(emission="poisson").name
    'latent_dropout'
    """

    emission: Emission | Literal["best"] = "best"
    """How the customer's own acts arrive, or whichever emission fits best."""
    harmonics: int | None = None
    """Sine and cosine pairs of the year in each rate; None: one pair from 18 periods on."""
    frailty: bool = True
    """Whether customers may differ in leaving beyond what is seen of them (a normal term in the log-odds)."""
    decay: float = DECAY
    """Share of a stock left after one period (of problems; channel stocks are given)."""
    sample: int = SAMPLE
    """Customers the model is fitted to at most."""
    errors: bool = True
    """Whether to measure the sampling error of the parameters; without it no refit takes one step."""
    one_step: bool = True
    """Whether a fit to reweighted customers takes one step of the customers' influence (Efron & Tibshirani
    1993, chapter 22) instead of climbing."""

    @property
    def name(self) -> str:
        """The estimator's name, as in tables."""
        return "latent_dropout"

    @property
    def limits(self) -> str:
        """What the estimator assumes."""
        return (
            "assumes no hidden satisfaction; leaving is inferred from silence; who has left does not come "
            "back"
        )

    def fit(
        self,
        panel: Panel,
        stocks: Stocks,
        *,
        weights: FloatArray | None = None,
        start: FittedPanelModel | None = None,
        rng: np.random.Generator,
    ) -> LatentDropoutFit:
        """Estimate the model by maximum likelihood.

        Parameters
        ----------
        panel
            Non-contractual customers; every channel has an origin.
        stocks
            Decayed stocks of the panel's touches, shape (N, P, C).
        weights
            Weight of each customer in the likelihood, shape (N,); None for ones.
        start
            A fit of this estimator to start from; its emission is kept and its covariance carried over.
        rng
            Draws the customers fitted to when there are more than `sample`.

        Raises
        ------
        ConfigError
            If a channel has no origin.
        DataError
            If the panel says when customers left, or nobody bought anything.
        ConvergenceError
            If no optimum was found.
        """
        _refuse(panel)
        weights = np.ones(panel.n_customers) if weights is None else np.asarray(weights, dtype=np.float64)
        rows = None
        if panel.n_customers > self.sample:
            warm = start.rows if isinstance(start, LatentDropoutFit) else None
            rows = (
                np.sort(rng.choice(panel.n_customers, self.sample, replace=False)) if warm is None else warm
            )
            weights = weights[rows]
        if isinstance(start, LatentDropoutFit) and self.one_step and start.influence is not None:
            return start.reweighted(weights)
        if rows is not None:
            panel, stocks = panel.take(rows), stocks[rows]
        if isinstance(start, LatentDropoutFit):
            return start.refit(panel, stocks, weights=weights)
        return self._fit_cold(panel, stocks, weights, rows)

    def decay_profile(self, panel: Panel, *, rng: np.random.Generator) -> LatentProfile:
        """The maximised log-likelihood as a function of the decay of stocks, from a fit at `decay`.

        Parameters
        ----------
        panel
            Customers to fit to, as in `fit`.
        rng
            As in `fit`.
        """
        fit = self.fit(panel, panel_stocks(panel, decay=self.decay), rng=rng)
        return LatentProfile(panel if fit.rows is None else panel.take(fit.rows), fit)

    def _fit_cold(
        self, panel: Panel, stocks: Stocks, weights: FloatArray, rows: IntArray | None
    ) -> LatentDropoutFit:
        harmonics = int(panel.n_periods >= SEASON_FROM) if self.harmonics is None else self.harmonics
        design = LatentDesign.measure(panel, harmonics=harmonics, decay=self.decay, frailty=self.frailty)
        inputs = design.inputs(panel, stocks)
        poisson = search_poisson(inputs, weights, effect_sd=EFFECT_SD)
        comparison, guess = compare_emissions(
            inputs, weights, poisson, emission=self.emission, effect_sd=EFFECT_SD
        )
        solution = poisson
        if comparison.chosen != "poisson":
            solution = search_on_nodes(
                inputs,
                weights,
                emission=comparison.chosen,
                start=guess,
                lives=poisson.lives,
                effect_sd=EFFECT_SD,
                rounds=2,
            )
        unknown = np.full((solution.layout.size, solution.layout.size), np.nan)
        spread = Spread(covariance=unknown, influence=None)
        if self.errors:
            spread = sandwich(inputs, solution, weights, effect_sd=EFFECT_SD)
        return LatentDropoutFit(
            channels=panel.channels,
            design=design,
            emission=comparison.chosen,
            theta=solution.theta,
            poisson=poisson.theta,
            covariance=spread.covariance,
            loglik=solution.loglik,
            comparison=comparison,
            n=inputs.n_customers,
            evaluations=poisson.evaluations + (solution.evaluations if solution is not poisson else 0),
            value_per_purchase=float(panel.spend.sum() / panel.purchases.sum()),
            totals=expected_totals(inputs, solution.layout, solution.theta, solution.lives),
            start_gap=poisson.gap,
            window=lapse_window(panel),
            n_periods=panel.n_periods,
            influence=spread.influence,
            rows=rows,
        )


def _refuse(panel: Panel) -> None:
    unsaid = [c for c, origin in zip(panel.channels, panel.origins, strict=True) if origin is None]
    if unsaid:
        raise ConfigError(
            f"{len(unsaid)} of {len(panel.channels)} channels have no origin (first: {unsaid[0]!r}). "
            'Retention needs to know who acts: set channels.<name>.origin to "customer" or "firm".'
        )
    if panel.contractual:
        raise DataError(
            "The panel says when customers left: use a hazard of leaving instead of the latent dropout model."
        )
    if not panel.purchases.any():
        raise DataError(
            "The panel holds 0 purchases; the latent dropout model needs some. Check the dates of purchases."
        )
