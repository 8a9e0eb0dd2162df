"""A fitted chain: a value that predicts for any customers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from attribution.incremental.chain.climb import Promise, climb
from attribution.incremental.chain.design import ChainDesign
from attribution.incremental.chain.layout import NEVER, Layout
from attribution.incremental.chain.likelihood import Likelihood, draw_paths, evaluate, on_leaving
from attribution.incremental.chain.states import FEATURES, Structure
from attribution.incremental.chain.worth import Worth, worth_of_purchase
from attribution.incremental.effects import Effects, outer_product_correction
from attribution.incremental.setfunction import Ahead, PanelPrediction
from attribution.incremental.stocks import Timing, earlier_stocks, mean_ratio
from histories.arrays import Float, Single
from histories.errors import ModelError
from histories.panel import Panel

REFIT_STEPS = 15
REFIT_TOLERANCE, COMPARED = 0.05, 0.2
"""Gain expected of one more step at which a refit has arrived; where fits are only compared, or stand beside
another, whose reach is ten times as much."""
PATHS = 8
"""Lives drawn for each customer where states change: half of them go on, half ended."""
NEGLIGIBLE = 1e-3
"""Chance of a state below which it is left out of a prediction."""
ALONE = 0.1
"""Part of the loading of spend below which all others are for it to drift alone."""
MOVED = 2.0
"""Standard errors from which satisfaction is taken to move the use of a channel."""
CLEAR = 3.0
"""Standard errors from which the loading of leaving is told from zero."""
CHUNK = 10_000
"""Customers predicted at a time: bounds memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenChainFit:
    """Fitted chain. Channels C, parameters p."""

    channels: tuple[str, ...]
    """Names of the C channels."""
    design: ChainDesign
    """Streams and columns, as learned from the customers fitted to."""
    structure: Structure
    """The settings."""
    layout: Layout
    """Places of the parameters."""
    theta: Float
    """The optimum, shape (p,)."""
    errors: Float
    """Standard errors, 0 where a parameter did not move or another fit is ahead, shape (p,)."""
    loglik: float
    """Log-likelihood, less terms that no parameter enters."""
    score: float
    """The same less Schwarz's charge."""
    n: int
    """Customers fitted to."""
    elasticity: float
    """Relative change of expected purchases per relative change of their rate: 1 unless they are regular."""
    problems: tuple[str, ...]
    """Why no credit from this fit is supported; empty when nothing speaks against it."""
    worth: Worth | None = None
    """Effects on the worth of a purchase, where there are any beyond chance or spend is a bill."""
    influence: Single | None = field(default=None, repr=False, compare=False)
    """Change of the parameters per unit of a customer's weight, shape (n, p); not stored."""
    rows: NDArray[np.int64] | None = field(default=None, repr=False, compare=False)
    """Positions of the customers fitted to, when they were a sample; not stored."""

    @property
    def beta(self) -> Float:
        """Change of the log-odds of leaving per unit of stock, shape (C,)."""
        return self.theta[self.layout.effects(0, len(self.channels))]

    @property
    def gamma(self) -> Float:
        """Change of log spend per unit of stock, shape (C,)."""
        return self.buying if self.worth is None else self.buying + self.worth.gamma

    @property
    def buying(self) -> Float:
        """The same of the rate of purchases, or of spend where that is a stream of amounts, shape (C,)."""
        return self.elasticity * self.theta[self.layout.effects(1, len(self.channels))]

    @property
    def why_no_leaving(self) -> str:
        """Why nothing can be said of leaving (see `FittedPanelModel`)."""
        return "" if self.structure.leaving else "nobody is seen to leave"

    @property
    def beta_sd(self) -> Float:
        """Standard errors of beta, shape (C,)."""
        return self.errors[self.layout.effects(0, len(self.channels))]

    @property
    def gamma_sd(self) -> Float:
        """Standard errors of gamma, shape (C,)."""
        buying = self.elasticity * self.errors[self.layout.effects(1, len(self.channels))]
        return buying if self.worth is None else np.hypot(buying, self.worth.sd)

    @property
    def rho(self) -> float:
        """Correlation of satisfaction from one period to the next; 1 where it lasts."""
        return float(expit(self.theta[self.layout.chain][0])) if self.structure.drift else 1.0

    @property
    def loadings(self) -> dict[str, float]:
        """Loadings on satisfaction, which keeps customers, of leaving and of every stream by name."""
        values = self.theta[self.layout.loadings].reshape(-1, FEATURES)[:, 0]
        values = -values if values[0] > 0 else values
        return {name: float(v) for name, v in zip(("leaving", *self.streams), values, strict=True)}

    @property
    def one_way(self) -> bool:
        """Whether satisfaction moves no acts up beyond chance, or none down, as a level of all acts does."""
        values, errors = (
            x[self.layout.loadings].reshape(-1, FEATURES)[2:, 0] for x in (self.theta, self.errors)
        )
        return not ((values > MOVED * errors).any() and (values < -MOVED * errors).any())

    @property
    def spend_drifts_alone(self) -> bool:
        """Whether what drifts moves how much is spent and hardly anything else.

        It then holds the one place for satisfaction that drifts, and what moves acts and leaving has none.
        Apart from it the likelihood falls into two: of spend, and of everything else.
        """
        if not (self.design.amounts and not self.design.billed and self.structure.drift):
            return False
        leaving, spend, *acts = np.abs(self.theta[self.layout.loadings].reshape(-1, FEATURES)[:, 0])
        return bool(max(leaving, *acts, 0.0) < ALONE * spend)

    @property
    def moved_alone(self) -> tuple[str, ...]:
        """Channels whose use a drifting mood moves beyond chance, where purchases do not show it.

        Its loading on leaving and their effects are told apart by how fast each fades, which is little:
        unless that loading is clear, or spend is a bill, where it was found clear and wrong.
        """
        level = self.structure.acts_only and self.one_way
        if not self.structure.drift or self.layout.proxies or level:
            return ()
        values, errors = (
            x[self.layout.loadings].reshape(-1, FEATURES)[:, 0] for x in (self.theta, self.errors)
        )
        beyond = (errors > 0) & (np.abs(values) > MOVED * errors)
        clear = abs(values[0]) > CLEAR * errors[0] and not self.design.billed
        if beyond[1] or clear:
            return ()
        moved = dict(zip(self.streams, beyond[1:], strict=True))
        return tuple(name for name in self.channels if moved.get(name, False))

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams: channels by their own names."""
        names = iter(name for name, acts in zip(self.channels, self.design.acting, strict=True) if acts)
        return tuple(next(names) if s.startswith("channel ") else s for s in self.design.streams)

    def effects(self) -> Effects | None:
        """Beta and gamma with each customer's influence; None where it was not kept."""
        if self.influence is None or self.rows is not None:
            return None
        leaving, buying = (self.influence[:, self.layout.effects(k, len(self.channels))] for k in range(2))
        correction = outer_product_correction(self.influence)
        spending = (self.elasticity * buying).astype(np.float64)
        if self.worth is not None:  # its covariance is of residuals and wants no correction
            spending += self.worth.influence / np.sqrt(correction)
        return Effects(
            values=np.concatenate([self.beta, self.gamma]),
            influence=np.concatenate([leaving, spending], axis=1, dtype=np.float64),
            correction=correction,
        )

    def reweighted(self, weights: Float) -> HiddenChainFit:
        """The fit to reweighted customers, by one step of their influence.

        Raises
        ------
        ModelError
            If the influence was not kept, or is of other customers.
        """
        if self.influence is None or len(self.influence) != len(weights):
            kept = 0 if self.influence is None else len(self.influence)
            raise ModelError(
                f"Hidden chain: {len(weights)} weights for the influence of {kept} customers. "
                "Reweight the customers that the model was fitted to."
            )
        shift = (weights.astype(np.float32) - np.float32(1.0)) @ self.influence
        low, high = self.layout.bounds()
        worth = None if self.worth is None else self.worth.reweighted(weights)
        return replace(self, theta=np.clip(self.theta + shift, low, high), worth=worth, influence=None)

    def refit(
        self,
        panel: Panel,
        stocks: Single,
        *,
        hold_calendar: bool = False,
        tolerance: float = REFIT_TOLERANCE,
    ) -> HiddenChainFit:
        """The same settings climbed on other customers or periods, from here; no sampling error.

        With `hold_calendar` season, effects of periods and of tenure stay what they are.
        """
        problem = self.likelihood(panel, stocks)
        free = self.layout.free(problem.inputs, self.structure)
        for k in range(self.layout.streams + 1 if hold_calendar else 0):
            free[self.layout.calendar(k)] = False
        if hold_calendar and not panel.contractual:
            free[self.layout.tenure] = False
        found = climb(
            problem,
            self.theta,
            free,
            np.ones(panel.n_customers),
            steps=REFIT_STEPS,
            more=REFIT_STEPS,
            tolerance=tolerance,
        )
        worth = None
        if self.worth is not None:
            worth = worth_of_purchase(
                panel,
                stocks,
                follows=problem.purchases_first,
                decay=np.array(self.design.decays),
                by_day=self.design.by_day,
            )
        return replace(self, theta=found.theta, worth=worth, loglik=found.loglik, influence=None, rows=None)

    def with_stocks(
        self,
        panel: Panel,
        stocks: Single,
        *,
        before: Single | None = None,
    ) -> tuple[HiddenChainFit, float]:
        """The fit climbed on with other stocks, and its log-likelihood (see `FittedPanelModel`)."""
        start = self if before is None else replace(self, theta=self._carried(before, stocks))
        found = start.refit(panel, stocks, tolerance=COMPARED)
        return found, found.loglik

    def made_by(self, decays: tuple[float, ...], by_day: Timing) -> HiddenChainFit:
        """The same parameters, for stocks made so (see `FittedPanelModel`)."""
        return replace(self, design=replace(self.design, decays=decays, by_day=by_day))

    def outlook(self, panel: Panel, before: Single) -> Ahead | None:
        """What a step promises with other stocks than these (see `FittedPanelModel`).

        The likelihood is taken as a parabola about these stocks, whose scores are those at these and at the
        others: of a decay for all it promises within a tenth of what a climb finds (outer products).
        """
        problem = self.likelihood(panel, before)
        if problem.follows_purchases:
            return None  # what is left of a stock is all that tells: how much of it that is stays open
        promise = Promise(problem, self.theta, self.layout.free(problem.inputs, self.structure))
        effects = [self.layout.effects(k, len(self.channels)) for k in range(2)]
        value = promise.value

        def moved(fit: HiddenChainFit, stocks: Single) -> tuple[Float, Float]:
            """Stocks that move leaving and purchases, and what those of who leaves are beyond these."""
            decays, by_day = np.array(fit.design.decays), fit.design.by_day
            last = fit.design.on_leaving(panel, stocks, problem.inputs.low, problem.inputs.last_sign)
            inputs = replace(problem.inputs, on_leaving=last)
            felt = earlier_stocks(panel, stocks, decay=decays, by_day=by_day)
            return felt, on_leaving(replace(problem, inputs=inputs))

        def scores(felt: Float, last: Float, k: int) -> tuple[Float, Float]:
            """Of each customer by a channel's effects on leaving and on purchases."""
            by_stock = np.einsum("np,np->n", value.by_felt, felt[:, :, k])
            by_stock = by_stock + np.einsum("np,np->n", value.by_shift, last[:, :, k])
            return by_stock, np.einsum("np,np->n", value.by_buying, felt[:, :, k])

        own = problem.inputs.leaving.cells[:, :, : problem.inputs.channels], on_leaving(problem)

        def ahead(stocks: Single, decays: tuple[float, ...], by_day: Timing) -> float:
            carried, other = self._carried(before, stocks), moved(self.made_by(decays, by_day), stocks)
            columns: dict[int, tuple[Float, Float]] = {}
            for k in np.flatnonzero((stocks != before).any(axis=(0, 1))).tolist():
                for effect, there, here in zip(effects, scores(*other, k), scores(*own, k), strict=True):
                    place = effect.start + k
                    columns[place] = there, there * carried[place] - here * self.theta[place]
            return promise.along(columns)

        return ahead

    def predict(self, panel: Panel, stocks: Single, *, rng: np.random.Generator) -> PanelPrediction:
        """Hazard without channels, in a layer for each satisfaction or for each life drawn.

        Parameters
        ----------
        panel, stocks
            Customers with the covariates, channels and periods of the fit, and their stocks, shape (N, P, C).
        rng
            Draws lives where states change.
        """
        chunks = [slice(k, k + CHUNK) for k in range(0, panel.n_customers, CHUNK)]
        parts = [self._predict(panel.take(rows), stocks[rows], rng) for rows in chunks]
        return PanelPrediction(
            hazard_offset=np.concatenate([part.offset for part in parts], axis=1),
            survival=np.concatenate([part.staying.sum(axis=0) for part in parts]),
            share=np.concatenate([part.share for part in parts], axis=1),
            staying=np.concatenate([part.staying for part in parts], axis=1),
            expected_spend=sum(part.spend for part in parts),
            expected_survivors=sum(part.survivors for part in parts),
        )

    def likelihood(self, panel: Panel, stocks: Single) -> Likelihood:
        """The likelihood of these customers under the fit's structure."""
        inputs = self.design.inputs(panel, stocks)
        return Likelihood(inputs=inputs, structure=self.structure, layout=self.layout)

    def _carried(self, before: Single, stocks: Single) -> Float:
        """Parameters whose effects per unit of other stocks do what they did before."""
        theta = self.theta.copy()
        for k in range(2):
            theta[self.layout.effects(k, len(self.channels))] *= mean_ratio(before, stocks)
        return theta

    def _predict(self, panel: Panel, stocks: Single, rng: np.random.Generator) -> _Part:
        problem = self.likelihood(panel, stocks)
        inputs, layout = problem.inputs, self.layout
        value = evaluate(problem, self.theta)
        at_once = np.asarray(stocks, dtype=np.float64) - inputs.leaving.cells[:, :, : inputs.channels]
        odds = problem.odds(self.theta) - problem.felt(self.theta)
        odds -= at_once[:, :, panel.late] @ self.beta[panel.late]
        alive = value.staying.sum(axis=1)
        loading = self.theta[layout.loadings].reshape(-1, FEATURES)[0]
        if self.structure.static:
            states = problem.states(self.theta)
            by_state = states.features @ loading
            offset = odds[None] + by_state[:, None, None]
            share, staying = _without_negligible(value.weight, value.staying)
        else:
            path, _, _, states = draw_paths(problem, self.theta, uniform=_uniform(rng, panel))
            offset = odds[None] + (states.features @ loading)[path]
            offset[problem.resting(states)[path] == 1] = NEVER
            share, staying = _even_weights(alive, panel.contractual)
        bought = inputs.values[:, :, 0] * (np.arange(panel.n_periods) >= inputs.entry[:, None])
        return _Part(
            offset=offset.astype(np.float32),
            share=share,
            staying=staying,
            spend=self._expected_spend(panel, bought, value.by_buying),
            survivors=float(alive.sum() + value.by_odds.sum()),
        )

    def _expected_spend(self, panel: Panel, bought: Float, slopes: Float) -> float:
        """What was spent less what the score of the constant says is too much: zero at an optimum."""
        if self.design.amounts:
            surplus = self.design.mean_spend * slopes.sum() / float(np.exp(self.theta[self.layout.extra][0]))
            return float(panel.spend.sum() - surplus)
        return float(panel.spend.sum() - self.design.mean_spend * slopes.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A chunk of a prediction."""

    offset: Single
    share: Float
    staying: Float
    spend: float
    survivors: float


def _without_negligible(weight: Float, staying: Float) -> tuple[Float, Float]:
    """Weights of the layers for spend and for survival, each (J, N), small ones spread over the others."""
    kept = weight > NEGLIGIBLE
    share = np.where(kept, weight, 0.0)
    stays = np.where(kept, staying, 0.0)
    share /= share.sum(axis=1, keepdims=True)
    total = stays.sum(axis=1, keepdims=True)
    stays *= np.divide(staying.sum(axis=1, keepdims=True), total, out=np.ones_like(total), where=total > 0)
    return share.T, stays.T


def _even_weights(alive: Float, recorded: bool) -> tuple[Float, Float]:
    """Weights of drawn lives: the first half go on, the others ended, unless it is known which."""
    if recorded:
        share = np.full((PATHS, len(alive)), 1.0 / PATHS)
        return share, share * alive
    half = np.full((PATHS // 2, 1), 2.0 / PATHS)
    goes_on, ended = half * alive, half * (1.0 - alive)
    return np.concatenate([goes_on, ended]), np.concatenate([goes_on, np.zeros_like(ended)])


def _uniform(rng: np.random.Generator, panel: Panel) -> Float:
    """Numbers in (0, 1) for the draws, spread evenly over each half of them, shape (Q, N, P + 1)."""
    shape = (PATHS // 2, panel.n_customers, panel.n_periods + 1)
    halves = []
    for _ in range(2):
        order = np.argsort(rng.random(shape, dtype=np.float32), axis=0)
        halves.append((order + rng.random(shape)) / (PATHS // 2))
    return np.concatenate(halves)
