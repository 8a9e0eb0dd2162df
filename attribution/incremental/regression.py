"""Panel regressions without latents: a logit of leaving and a Poisson regression of spend on decayed stocks.

    logit h_it = Z_it a + beta . S_it          (contractual customers only)
    log m_it   = Z_it c + gamma . S_it + log e_it   Poisson pseudo-maximum likelihood (Gourieroux et al. 1984)

e_it is the share of the period in which the customer was there: 1 but for who leaves in the middle of one.

Simple, quick, and right when Z holds everything that moves customers both into channels and towards staying
or spending. Their place is as first credit of spend, as one end of the range, and in the truth benchmark.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.designs import Design, DesignChoices, build_design
from attribution.incremental.effects import Effects
from attribution.incremental.glm import LOGIT, POISSON, fit_glm
from attribution.incremental.setfunction import FittedPanelModel, PanelPrediction
from attribution.incremental.stocks import DECAY, Timing, moment_precision
from histories.arrays import Float
from histories.panel import Panel


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelRegression:
    """Choices of a panel regression."""

    name: str
    limits: str
    design: DesignChoices = field(default_factory=DesignChoices)
    hazard: bool = True
    """Whether leaving is modelled where it is recorded; without it every credit goes through spend alone."""
    decays: tuple[float, ...] = (DECAY,)
    """Of the stocks: of all channels, or of each."""
    by_day: Timing = False
    """Whether these are by the day of touches."""

    def at_decay(
        self, decay: float, decays: tuple[float, ...] = (), *, by_day: Timing = False
    ) -> PanelRegression:
        """The same estimator for stocks with this decay, each channel's its own if given."""
        return replace(self, decays=decays or (decay,), by_day=by_day)

    def fit(
        self,
        panel: Panel,
        stocks: NDArray[np.float32],
        *,
        weights: Float | None = None,
        start: FittedPanelModel | None = None,
        rng: np.random.Generator,
    ) -> PanelRegressionFit:
        """Estimate both regressions on the rows at risk (see `PanelEstimator.fit`).

        Reweighted customers with a fit to start from take one step of the customers' influence.
        """
        del rng  # nothing here is random
        if weights is not None and isinstance(start, PanelRegressionFit) and start.influence is not None:
            return start.reweighted(weights)
        design = build_design(panel, self.design)
        rows = panel.at_risk
        X = np.concatenate([design.rows(panel)[rows], stocks[rows]], axis=1)
        w = None if weights is None else np.broadcast_to(weights[:, None], rows.shape)[rows]
        customers = np.nonzero(rows)[0]
        n, influence, leaving = panel.n_customers, [], None
        if self.hazard and panel.contractual:
            left = panel.leaves[rows].astype(np.float64)
            unseen = moment_precision(panel, decay=np.array(self.decays), by_day=self.by_day)
            precision = None if unseen is None else np.pad(unseen, (X.shape[1] - len(unseen), 0))
            found = fit_glm(X, left, LOGIT, weights=w, precision=precision)
            leaving = found.coefficients
            influence.append(found.influence(X, left, LOGIT, customers, n))
        spend = np.maximum(panel.spend[rows], 0.0).astype(np.float64)
        whole = panel.exit_share is None and panel.entry_share is None
        offset = 0.0 if whole else np.log(panel.exposure[rows])
        found = fit_glm(X, spend, POISSON, weights=w, offset=offset)
        influence.append(found.influence(X, spend, POISSON, customers, n, offset=offset))
        return PanelRegressionFit(
            design=design,
            leaving=leaving,
            spending=found.coefficients,
            n_channels=panel.n_channels,
            influence=tuple(influence),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelRegressionFit:
    """Fitted coefficients: constant, design columns, then channels."""

    design: Design
    leaving: Float | None
    """Of the log-odds of leaving, shape (1 + K + C,); None without a hazard."""
    spending: Float
    """Of log spend, shape (1 + K + C,)."""
    n_channels: int
    problems: tuple[str, ...] = ()
    influence: tuple[NDArray[np.float32], ...] | None = None
    """How much each customer moved the coefficients, of leaving (where modelled) then spend, (N, 1 + K +
    C)."""

    @property
    def why_no_leaving(self) -> str:
        """Why nothing can be said of leaving (see `FittedPanelModel`)."""
        return "a regression of spend does not model leaving" if self.leaving is None else ""

    def reweighted(self, weights: Float) -> PanelRegressionFit:
        """The fit after one step towards customers who weigh so much, shape (N,)."""
        steps = [(weights - 1.0) @ moved for moved in self.influence or ()]
        leaving = None if self.leaving is None else self.leaving + steps[0]
        return replace(self, leaving=leaving, spending=self.spending + steps[-1], influence=None)

    def made_by(self, decays: tuple[float, ...], by_day: Timing) -> PanelRegressionFit:
        """The same: it makes no stocks of its own."""
        del decays, by_day
        return self

    def with_stocks(
        self, panel: Panel, stocks: NDArray[np.float32], *, before: NDArray[np.float32] | None = None
    ) -> None:
        """No profile of stocks (see `FittedPanelModel`)."""

    def outlook(self, panel: Panel, before: NDArray[np.float32]) -> None:
        """Nor of what it would be (see `FittedPanelModel`)."""

    def effects(self) -> Effects | None:
        """Beta and gamma with each customer's influence; None where it was not kept."""
        if self.influence is None:
            return None
        moved = [change[:, -self.n_channels :] for change in self.influence]
        if self.leaving is None:
            moved.insert(0, np.zeros_like(moved[0]))
        return Effects(
            values=np.concatenate([self.beta, self.gamma]),
            influence=np.concatenate(moved, axis=1, dtype=np.float64),
        )

    @property
    def beta(self) -> Float:
        """Effects on the log-odds of leaving per unit of stock, shape (C,); zeros without a hazard."""
        return np.zeros(self.n_channels) if self.leaving is None else self.leaving[-self.n_channels :]

    @property
    def gamma(self) -> Float:
        """Effects on log spend per unit of stock, shape (C,)."""
        return self.spending[-self.n_channels :]

    def predict(
        self, panel: Panel, stocks: NDArray[np.float32], *, rng: np.random.Generator
    ) -> PanelPrediction:
        """What the regressions say of these customers when no channel acts."""
        del rng
        rows = self.design.rows(panel)
        mean = np.exp(rows @ self.spending[: -self.n_channels] + stocks @ self.gamma)
        offset = None
        if self.leaving is not None:
            offset = (rows @ self.leaving[: -self.n_channels])[None].astype(np.float32)
        there = np.zeros(panel.n_customers)
        if panel.exit is not None:
            there = (panel.exit >= panel.n_periods).astype(np.float64)
        return PanelPrediction(
            hazard_offset=offset,
            survival=there,
            expected_spend=float((mean * panel.exposure)[panel.at_risk].sum()),
            expected_survivors=float("nan"),
        )


POISSON_SPEND = PanelRegression(
    name="poisson",
    limits="no correction for hidden satisfaction or hidden dropout; effects through leaving are not counted",
    design=DesignChoices(history=True),
    hazard=False,
)
"""The first credit of spend: history features and confounders, no hazard."""

STATIC = PanelRegression(name="static", limits="no correction for hidden satisfaction beyond the proxies")
"""Covariates, proxies and problems only."""

OWN_MEANS = PanelRegression(
    name="own_means",
    limits="corrects for satisfaction that never changes",
    design=DesignChoices(own_means=True),
)
"""With each customer's own mean stocks (Mundlak 1978): corrects for what never changes about a customer."""
