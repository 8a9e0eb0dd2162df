"""One likelihood for hidden life and hidden satisfaction.

Nobody says who left, and something unseen makes customers come to channels, buy and stay. Given satisfaction
u, the level v of a customer's own acts, own frailties, and the month D of leaving,

    u_i1 ~ N(0, 1),  u_it = rho u_i,t-1 + sqrt(1 - rho^2) e_it
    exp(v_i), exp(xi_i) ~ Gamma with mean 1,  eta_ic ~ N(0, s_c^2)
    leave_it    ~ Bernoulli(logit^-1(Z a + S_it beta + g_u u_it + g_v v_i))          t <= D_i
    purchase_it ~ Poisson(exp(Z c + S_it gamma + m_u u_it + m_v v_i + xi_i))         t <= D_i
    act_itc     ~ Poisson(exp(Z A_c + b_c u_it + v_i + eta_ic))                      t <= D_i
    nothing of the customer's own                                                    t > D_i

and D is summed out. It is the shared-frailty model on every life that a customer may have had, each weighed
by its likelihood (`attribution.incremental.joint.posterior`). Ancestors: Wulfsohn & Tsiatis (1997) for the
shared latent path, Schmittlein, Morrison & Colombo (1987) for the hidden end.
`docs/hidden-customers.md` holds equations, figures and limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.design import learn_design
from attribution.incremental.frailty.gates import frailty_problems
from attribution.incremental.frailty.influence import outer_product
from attribution.incremental.frailty.parameters import Parameters
from attribution.incremental.joint.data import JointDesign, measurements_in_use
from attribution.incremental.joint.fitted import JointDropoutFit
from attribution.incremental.joint.search import JointProblem, JointSolution
from attribution.incremental.latent import LatentDropout, LatentDropoutFit
from attribution.incremental.setfunction import FittedPanelModel
from histories.panel import Panel

__all__ = ["JointDropout", "Pilot"]

Array = NDArray[np.float64]
Single = NDArray[np.float32]

Rival = Callable[[Panel, Single, Array, int], float]

PILOT = 2_000
"""Customers on whom the search sets out; all join once it is near its optimum."""
MOST_CORRELATED = 0.8
"""Bound on the correlation of a proxy with satisfaction from which the climb starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """The search on a few customers."""

    panel: Panel
    """The few."""
    stocks: Single
    """Their decayed stocks."""
    problem: JointProblem
    """What was maximised on them: leaving, purchases and own acts."""
    solution: JointSolution
    """Where the search ended."""

    @property
    def loglik(self) -> float:
        """Log-likelihood of the few, a lower bound, without the prior."""
        return float(self.problem.weights @ self.solution.optimum.posterior.bound)

    @property
    def n_parameters(self) -> int:
        """Parameters that could move."""
        return int(self.problem.free(dynamic=self.solution.dynamic).sum())

    def start_of(self, problem: JointProblem) -> Parameters:
        """Parameters to start everybody from, proxies by their correlation with first satisfaction."""
        found, posterior = self.solution.optimum.parameters, self.solution.optimum.posterior
        lines = found.proxies.copy()
        first = posterior.mean(posterior.inner.satisfaction)[:, 0]
        proxies = np.nan_to_num(problem.design.columns.measurements(self.panel))
        slopes = (proxies * (first - first.mean())[:, None]).mean(axis=0) / max(float(first.std()), 1e-9)
        lines[:, 1] = np.clip(slopes, -MOST_CORRELATED, MOST_CORRELATED)
        lines[:, 2] = np.log(1.0 - lines[:, 1] ** 2)
        return replace(found, proxies=lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class JointDropout:
    """Choices for the joint model of satisfaction and dropout."""

    use_proxies: bool = True
    """Whether the panel's proxies are measurements of satisfaction."""
    proxy_last: bool = False
    """Whether proxies measure a customer's last period instead of the first."""
    starts: int = 2
    """2 to climb again from weaker loadings and compare, or 1."""
    max_iterations: int = 60
    """Bound on the steps of each climb."""

    @property
    def name(self) -> str:
        """The estimator's name, as in tables."""
        return "satisfaction and dropout"

    @property
    def limits(self) -> str:
        """What the estimator assumes."""
        return (
            "assumes that satisfaction shows in several channels and in purchases; leaving is inferred from "
            "silence; who has left does not come back"
        )

    def fit(
        self,
        panel: Panel,
        stocks: Single,
        *,
        weights: Array | None = None,
        start: FittedPanelModel | None = None,
        life: LatentDropoutFit | None = None,
        pilot: Pilot | None = None,
        rng: np.random.Generator,
    ) -> JointDropoutFit:
        """Estimate the model by variational maximum likelihood (see `PanelEstimator.fit`).

        Parameters
        ----------
        panel, stocks
            Customers without recorded leaving; decayed stocks of shape (N, P, C).
        weights
            Weight of each customer in the likelihood, shape (N,); None for ones.
        start
            A fit to the same customers: reweighted fits take one step of the customers' influence.
        life
            A fit of the model of life alone, to spare fitting it here.
        pilot
            The search on a few of these customers, to spare it here.
        rng
            Draws the customers on whom the search sets out.

        Raises
        ------
        ConfigError
            If a channel has no origin.
        DataError
            If the panel says when customers left, or nobody bought anything.
        """
        w = np.ones(panel.n_customers) if weights is None else np.asarray(weights, dtype=np.float64)
        if isinstance(start, JointDropoutFit) and start.influence is not None:
            return start.reweighted(w)
        life = life or LatentDropout().fit(panel, stocks, rng=rng)
        pilot = pilot or self.pilot(panel, stocks, life=life, weights=w, rng=rng)
        problem = self.problem(panel, stocks, self.design(panel, life), life, w)
        solution = problem.settle(pilot.start_of(problem))
        return self._assemble(panel, life, problem, solution, pilot.solution.disagreement)

    def pilot(
        self,
        panel: Panel,
        stocks: Single,
        *,
        life: LatentDropoutFit,
        weights: Array | None = None,
        rival: Rival | None = None,
        rng: np.random.Generator,
    ) -> Pilot:
        """The search from scratch on a few customers, without proxies; the columns are everybody's.

        What is left is what the model of life alone reads too, so that the likelihoods of both compare.

        Parameters
        ----------
        panel, stocks, life, weights, rng
            As in `fit`.
        rival
            What the log-likelihood must reach, given the few, their stocks, and the number of parameters;
            the search is given up where it cannot. None: it goes on to its end.
        """
        few = np.sort(rng.permutation(panel.n_customers)[:PILOT])
        some, some_stocks = panel.take(few), stocks[few]
        design = self.design(panel, life)
        blank = replace(some, proxies=np.full(np.shape(some.proxies), np.nan))
        w = np.ones(len(few)) if weights is None else weights[few]
        problem = self.problem(blank, some_stocks, design, life, w)
        fewest = int(problem.free(dynamic=False).sum())
        bar = -np.inf if rival is None else rival(some, some_stocks, w, fewest)
        solution = problem.search(starts=self.starts, rival=bar)
        return Pilot(panel=some, stocks=some_stocks, problem=problem, solution=solution)

    def design(self, panel: Panel, life: LatentDropoutFit) -> JointDesign:
        """Columns and measurements of these customers."""
        return JointDesign(
            life=life.design,
            columns=learn_design(panel, use_proxies=self.use_proxies, proxy_last=self.proxy_last),
            use=measurements_in_use(panel, life.design),
        )

    def problem(
        self, panel: Panel, stocks: Single, design: JointDesign, life: LatentDropoutFit, weights: Array
    ) -> JointProblem:
        """What is to be maximised on these customers."""
        return JointProblem.of(
            panel, stocks, design, life, weights=weights, max_iterations=self.max_iterations
        )

    def _assemble(
        self,
        panel: Panel,
        life: LatentDropoutFit,
        problem: JointProblem,
        solution: JointSolution,
        disagreement: float | None,
    ) -> JointDropoutFit:
        optimum, shape = solution.optimum, problem.data.shape
        found = outer_product(problem.data, optimum, problem.free(dynamic=solution.dynamic), problem.weights)
        names = (*panel.channels, "other acts")
        return JointDropoutFit(
            channels=panel.channels,
            life=life,
            design=problem.design,
            shape=shape,
            parameters=optimum.parameters,
            beta_sd=found.errors.stocks[0, :-1],
            gamma_sd=found.errors.stocks[1, :-1],
            dynamic=solution.dynamic,
            bound=optimum.bound,
            iterations=optimum.iterations,
            n_customers=panel.n_customers,
            start_disagreement=disagreement,
            problems=(*life.too_short, *frailty_problems(optimum, names, disagreement=disagreement)),
            influence=found.values,
        )
