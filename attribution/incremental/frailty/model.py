"""Joint shared-frailty model of leaving, spend, touches and problems, with satisfaction hidden.

For customer i in period t, given satisfaction u, a second factor v and own frailties eta, xi:

    u_i1 ~ N(0, 1),  u_it = rho u_i,t-1 + sqrt(1 - rho^2) e_it,   v_i ~ N(0, 1)
    eta_ic ~ N(0, s_c^2),  xi_i ~ N(0, s_S^2)
    leave_it   ~ Bernoulli(logit^-1(Z a + S_it beta + g_u u_it + g_v v_i))
    spend_it   ~ mean exp(Z c + S_it gamma + m_u u_it + m_v v_i + xi_i), variance mean^2 / nu
    touch_itc  ~ Poisson(exp(Z A_c + b_c u_it + d_c v_i + eta_ic))
    problem_it ~ Bernoulli(logit^-1(Z c_0 + p_u u_it + p_v v_i))
    proxy_ij   ~ N(z_j + r_j u_i1, s_j^2)

Estimated by variational-Gaussian maximum likelihood (Ormerod & Wand 2012; shared parameters as in Wulfsohn
& Tsiatis 1997). Assumed: given u, v and the covariates, nothing else moves touches and outcomes together, and
an intended departure does not change touches in the same period. `docs/hidden-satisfaction.md` holds the
measured limits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.data import FrailtyData, frailty_data
from attribution.incremental.frailty.decay import FrailtyProfile
from attribution.incremental.frailty.design import FrailtyDesign, learn_design
from attribution.incremental.frailty.fitted import PosteriorCache, SharedFrailtyFit
from attribution.incremental.frailty.gates import frailty_problems
from attribution.incremental.frailty.influence import Influence, outer_product, sandwich
from attribution.incremental.frailty.optimise import maximise
from attribution.incremental.frailty.posterior import Posterior
from attribution.incremental.frailty.structure import Solution, free_of, search, second_start
from attribution.incremental.stocks import DECAY, panel_stocks
from histories.panel import Panel

__all__ = ["SharedFrailty"]

Float = NDArray[np.floating]
Array = NDArray[np.float64]

CURVATURE_CUSTOMERS = 3_000
"""Customers on whom curvature is measured, evenly spread."""
WARM_ITERATIONS = 6
"""Iterations of a fit to reweighted customers that starts from the fit to all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFrailty:
    """Choices for the shared-frailty model.

    Attributes
    ----------
    dynamic
        Whether satisfaction drifts (AR(1)); None lets it drift unless the persistence reaches its bound.
    second_factor
        Whether a second, constant factor is fitted; None keeps it when it raises the bound by more than
        half its parameters times log(customers) (Schwarz 1978).
    use_proxies
        Whether the panel's proxies are measurements of satisfaction.
    proxy_last
        Whether proxies measure a customer's last period instead of the first.
    starts
        2 to climb again from weaker loadings and compare, or 1.
    draws
        Posterior draws of the latents that predictions carry.
    max_iterations
        Bound on the steps of each climb.
    one_step
        Whether reweighted fits that start from a fit to the same customers take one step of the customers'
        influence (Efron & Tibshirani 1993, chapter 22) instead of climbing.
    """

    dynamic: bool | None = None
    second_factor: bool | None = None
    use_proxies: bool = True
    proxy_last: bool = False
    starts: int = 2
    draws: int = 3
    max_iterations: int = 40
    one_step: bool = True

    @property
    def name(self) -> str:
        """The estimator's name, as in tables."""
        return "shared frailty, constant" if self.dynamic is False else "shared frailty"

    @property
    def limits(self) -> str:
        """What the estimator assumes, for the `reason` column."""
        drift = "is constant and " if self.dynamic is False else ""
        return f"assumes that satisfaction {drift}shows in several channels, spend and problems"

    def fit(
        self,
        panel: Panel,
        stocks: Float,
        *,
        weights: Array | None = None,
        start: SharedFrailtyFit | None = None,
        rng: np.random.Generator | None = None,
    ) -> SharedFrailtyFit:
        """Estimate the model.

        Parameters
        ----------
        panel, stocks
            Customers and periods; decayed stocks of shape (N, P, C).
        weights
            Weight of each customer in the likelihood, shape (N,); None for ones.
        start
            A fit to start from.
        rng
            Not used: the climb is deterministic.

        Raises
        ------
        ModelError
            If nobody knows who left.
        """
        if start is not None and weights is not None and self.one_step and start.influence is not None:
            return start.reweighted(weights)
        design = (
            learn_design(panel, use_proxies=self.use_proxies, proxy_last=self.proxy_last)
            if start is None
            else start.design
        )
        data = frailty_data(panel, stocks, design)
        w = np.ones(data.n_lives) if weights is None else np.asarray(weights, dtype=np.float64)
        if start is not None:
            return self._assemble(panel, data, design, self._climb_on(data, start, w), w, disagreement=None)
        solution = search(
            data,
            w,
            dynamic=self.dynamic,
            second_factor=self.second_factor,
            max_iterations=self.max_iterations,
        )
        disagreement = None
        if self.starts > 1:
            solution, disagreement = second_start(data, w, solution, max_iterations=self.max_iterations)
        return self._assemble(panel, data, design, solution, w, disagreement=disagreement)

    def at_decay(self, decay: float) -> SharedFrailty:
        """The same: it makes no stocks of its own."""
        del decay
        return self

    def decay_profile(self, panel: Panel, *, rng: np.random.Generator | None = None) -> FrailtyProfile:
        """The maximised bound as a function of the decay of stocks, from a fit with one start.

        Parameters
        ----------
        panel
            Customers to fit to.
        rng
            Not used, as in `fit`.
        """
        design = learn_design(panel, use_proxies=self.use_proxies, proxy_last=self.proxy_last)
        data = frailty_data(panel, panel_stocks(panel, decay=DECAY), design)
        solution = search(
            data,
            np.ones(data.n_lives),
            dynamic=self.dynamic,
            second_factor=self.second_factor,
            max_iterations=self.max_iterations,
        )
        return FrailtyProfile(panel, data, solution)

    def _climb_on(self, data: FrailtyData, start: SharedFrailtyFit, weights: Array) -> Solution:
        known = start.cache is not None and start.cache.fits(data)
        posterior = start.cache.resume(data.shape.size) if start.cache is not None and known else None
        optimum = maximise(
            data,
            start.parameters,
            posterior or Posterior.blank(data),
            free_of(data, dynamic=start.dynamic, second_factor=start.second_factor),
            dynamic=start.dynamic,
            weights=weights,
            max_iterations=WARM_ITERATIONS,
            hold_shape=True,
            warm_up=1 if posterior else 4,
        )
        return Solution(optimum=optimum, base=None, dynamic=start.dynamic, second_factor=start.second_factor)

    def _assemble(
        self,
        panel: Panel,
        data: FrailtyData,
        design: FrailtyDesign,
        solution: Solution,
        weights: Array,
        *,
        disagreement: float | None,
    ) -> SharedFrailtyFit:
        optimum = solution.optimum
        found = self._influence(data, solution, weights)
        return SharedFrailtyFit(
            channels=panel.channels,
            shape=data.shape,
            parameters=optimum.parameters,
            beta_error=found.errors.stocks[0],
            gamma_error=found.errors.stocks[1],
            dynamic=solution.dynamic,
            second_factor=solution.second_factor,
            bound=optimum.bound,
            iterations=optimum.iterations,
            n_customers=data.n_lives,
            start_disagreement=disagreement,
            problems=frailty_problems(optimum, panel.channels, disagreement=disagreement),
            influence=found.values,
            robust=found.robust,
            cache=PosteriorCache.of(data, optimum.posterior),
            draws=self.draws,
            design=design,
        )

    def _influence(self, data: FrailtyData, solution: Solution, weights: Array) -> Influence:
        """Where spend is a quasi-likelihood, scores do not measure information: curvature is measured."""
        free = free_of(data, dynamic=solution.dynamic, second_factor=solution.second_factor)
        if not data.rows.compound:
            return outer_product(data, solution.optimum, free, weights)
        few = np.linspace(0, data.n_lives - 1, min(CURVATURE_CUSTOMERS, data.n_lives)).astype(np.int64)
        sample = _Sample(
            data=data.take(few),
            workspace=solution.optimum.posterior.take(few),
            share=float(len(few) / weights.sum()),
        )
        return sandwich(data, solution.optimum, free, weights, sample, dynamic=solution.dynamic)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """Customers on whom the curvature is measured."""

    data: FrailtyData
    workspace: Posterior
    share: float
