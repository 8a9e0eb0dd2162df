"""One model of the customer: a hidden Markov chain with exact likelihood.

A customer is gone, or living in a state: satisfaction u on K nodes, active or quiet. Given the state,

    leave_t     ~ Bernoulli(logit^-1(Z a + S_t beta + g u))        then gone for good
    purchases_t ~ Poisson(level exp(Z c + S_t gamma + m u)), or spend_t ~ Gamma with that mean
    acts_tc     ~ Poisson(level exp(Z A_c + b_c u - quiet_c))      of each channel
    problem_t   ~ Bernoulli(logit^-1(Z p + p_u u)),  proxy at entry ~ N(z + r u, s^2)

Levels of customers are Gamma and integrated out. Leaving recorded or silent, satisfaction none, lasting,
drifting or of free distribution, quiet spells, one level of acts or one per channel are settings, chosen by
likelihood. `docs/attribution.md` holds equations and measured limits. Ancestors: Schmittlein, Morrison &
Colombo (1987) for the hidden end, Netzer, Lattin & Srinivasan (2008) for the hidden states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.chain.climb import Optimum
from attribution.incremental.chain.design import ChainDesign, ChainInputs
from attribution.incremental.chain.fitted import HiddenChainFit
from attribution.incremental.chain.likelihood import elasticity, evaluate
from attribution.incremental.chain.search import LARGEST_EFFECT, REACH, Candidate, Search, believed
from attribution.incremental.chain.states import FEATURES, Structure
from attribution.incremental.chain.worth import Worth, worth_of_purchase
from attribution.incremental.checks.silence import interior_silence
from attribution.incremental.setfunction import Chosen, FittedPanelModel
from attribution.incremental.stocks import DECAY, Timing
from histories.arrays import Float, Single
from histories.errors import ConfigError, DataError
from histories.panel import Panel

SAMPLE = 50_000
"""Customers that a model is fitted to; more are drawn down to it."""
PILOT = 2_000
"""Customers on whom settings are compared first."""
ROUGH = 0.2
"""Gain expected of one more step at which a climb on the few has arrived."""
ERRORS, LOOKED_AT = 1.0, 3
"""Standard errors by which settings may be behind on the few to be climbed on all; how many are."""
MAX_LOADING = 3.0
FLATTEST, STEP = 3, 0.01
"""Directions whose information is the curvature, and how many standard errors ahead slopes are compared."""
LEAST_INFORMATION, LEAST_SHARE = 1e-12, 1e-2
"""Information of a direction, relative to the best known, and part of it by another measure, that are kept
apart from none."""
APART = "how much a customer spends drifts by itself and is no sign of satisfaction"
LEVEL_FIRST = 12.0
"""Log-likelihood less charge by which satisfaction must be ahead of a level that all acts share: 3 to 8 where
it is such a level, hundreds where it moves purchases. The forms with and without a loading on leaving are
both climbed on all, and both in the range: the likelihood hardly tells them apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenChain:
    """Choices for the hidden chain."""

    structure: Structure | None = None
    """The settings; None: those that the likelihood calls for."""
    decay: float = DECAY
    """Share of a stock left after one period (of problems; channel stocks are given)."""
    decays: tuple[float, ...] = ()
    """The same of each channel's stock, for companies simulated from the fit; without them `decay`."""
    sample: int = SAMPLE
    """Customers the model is fitted to at most."""
    by_day: Timing = False
    """Whether stocks are by the day of touches."""
    spend_apart: bool = False
    """Whether the chain is told nothing of spend, which goes its own way, as it is of bills."""

    @property
    def name(self) -> str:
        """The estimator's name, as in tables."""
        return "hidden chain" if self.structure is None else f"hidden chain: {self.structure.words}"

    @property
    def limits(self) -> str:
        """What the estimator assumes."""
        return "assumes that what moves customers shows in several of their channels, purchases and leaving"

    def fit(
        self,
        panel: Panel,
        stocks: Single,
        *,
        weights: Float | None = None,
        start: FittedPanelModel | None = None,
        rng: np.random.Generator,
    ) -> HiddenChainFit:
        """Estimate the model by maximum likelihood (see `PanelEstimator.fit`).

        Parameters
        ----------
        panel, stocks
            Customers; decayed stocks of shape (N, P, C).
        weights
            Weight of each customer in the likelihood, shape (N,); None for ones.
        start
            A fit to the same customers: reweighted fits take one step of the customers' influence (Efron &
            Tibshirani 1993, chapter 22), others climb on from there.
        rng
            Draws the customers fitted to when there are more than `sample`, and those compared on.

        Raises
        ------
        ConfigError
            If a channel has no origin and leaving is not recorded.
        DataError
            If nobody bought anything.
        """
        if isinstance(start, HiddenChainFit) and start.influence is not None and weights is not None:
            return start.reweighted(weights if start.rows is None else weights[start.rows])
        return _best(self.fits(panel, stocks, weights=weights, start=start, rng=rng))

    def at_decay(
        self, decay: float, decays: tuple[float, ...] = (), *, by_day: Timing = False
    ) -> HiddenChain:
        """The same estimator, whose own stocks have this decay, each channel's its own if given."""
        return replace(self, decay=decay, decays=decays, by_day=by_day)

    def choose(self, panel: Panel, stocks: Single, rng: np.random.Generator, *, hidden: str = "") -> Chosen:
        """The best settings, and those within reach of them beside it.

        `hidden` is what tells of hidden satisfaction, in a clause: a caution where the settings have none.
        """
        fits = self.fits(panel, stocks, rng=rng)
        best = _best(fits)
        if best.spend_drifts_alone:
            return replace(self, spend_apart=True).choose(panel, stocks, rng, hidden=hidden)
        rivals = [fit for fit in fits if fit is not best]
        near = {
            f"hidden chain: {fit.structure.words}": fit
            for fit in rivals
            if best.score - fit.score < (LEVEL_FIRST if fit.structure.is_twin(best.structure) else REACH)
        }
        note = f"the likelihood calls for {best.structure.words}"
        if rivals:
            second = max(rivals, key=lambda fit: fit.score)
            ahead = best.score - second.score
            where = "ahead of" if ahead >= 0 else "behind"
            note += f", {where} {second.structure.words} by {abs(ahead):,.0f}"
        notes = (note,) if best.worth is None else (note, best.worth.words(panel.channels))
        notes = (*notes, APART) if self.spend_apart else notes
        left_out = hidden and not best.structure.satisfaction
        return Chosen(
            estimator=replace(self, structure=best.structure),
            fit=best,
            beside=near,
            notes=notes,
            caution=f"hidden satisfaction is left out although {hidden}" if left_out else "",
        )

    def fits(
        self,
        panel: Panel,
        stocks: Single,
        *,
        weights: Float | None = None,
        start: FittedPanelModel | None = None,
        rng: np.random.Generator,
    ) -> list[HiddenChainFit]:
        """Fits of the settings that come into question, on all customers; errors are those of the best."""
        _refuse(panel)
        weights = np.ones(panel.n_customers) if weights is None else np.asarray(weights, dtype=np.float64)
        design = ChainDesign.learn(panel, decay=self.decay, decays=self.decays, by_day=self.by_day)
        design = replace(design, billed=design.billed or (self.spend_apart and design.amounts))
        rows = None
        if panel.n_customers > self.sample:
            rows = np.sort(rng.choice(panel.n_customers, self.sample, replace=False))
            panel, stocks, weights = panel.take(rows), stocks[rows], weights[rows]
        inputs = design.inputs(panel, stocks)
        if isinstance(start, HiddenChainFit) and start.structure == self.structure:
            everybody = Search(inputs=inputs, weights=weights)
            found = [everybody.on_from(start.structure, start.theta)]
        else:
            found = self._settings(panel, stocks, design, inputs, weights, rng)
        worths = {
            follows: _worth(panel, stocks, design, weights, follows=follows)
            for follows in {candidate.problem.purchases_first for candidate in found}
        }
        fits = [
            _assemble(panel, design, candidate, rows, worth=worths[candidate.problem.purchases_first])
            for candidate in found
        ]
        for k in _ranked_by_errors(fits):
            fits[k] = _with_influence(fits[k], found[k], weights)
        best = _best(fits)
        return [
            _with_influence(fit, candidate, weights) if fit is best and fit.influence is None else fit
            for fit, candidate in zip(fits, found, strict=True)
        ]

    def _settings(
        self,
        panel: Panel,
        stocks: Single,
        design: ChainDesign,
        inputs: ChainInputs,
        weights: Float,
        rng: np.random.Generator,
    ) -> list[Candidate]:
        silence = interior_silence(panel, stocks, np.zeros(panel.n_channels))
        everybody = Search(inputs=inputs, weights=weights, regular_silence=silence.regular)
        few = np.sort(rng.permutation(panel.n_customers)[:PILOT])
        if len(few) < panel.n_customers:
            some = design.inputs(panel.take(few), stocks[few])
            pilot = replace(everybody, inputs=some, weights=weights[few], tolerance=ROUGH)
        else:
            pilot = everybody
        tried = [pilot.only(self.structure)] if self.structure is not None else pilot.compare()
        near = _within_reach(believed(tried), panel.n_customers)
        if pilot is everybody:
            return near
        climbed = believed([everybody.climb(found.structure, found) for found in near[:LOOKED_AT]])
        return climbed if self.structure is not None else believed(everybody.with_periods(climbed))


def _within_reach(tried: Sequence[Candidate], customers: int) -> list[Candidate]:
    """The best, its twin, and the others that may be best on all customers, in this order.

    What speaks for a setting grows with the customers, its charge hardly does: scores of the few are taken
    as far as all customers. A log-likelihood ahead by D comes with an error of about sqrt(2 D). Of two that
    differ in nothing but levels, shared or each channel's own, the better.
    """
    times = customers / tried[0].problem.inputs.n_customers

    def expected(candidate: Candidate) -> float:
        charge = candidate.optimum.loglik - candidate.score
        return float(
            times * candidate.optimum.loglik - charge * np.log(customers) / np.log(customers / times)
        )

    def near(candidate: Candidate) -> bool:
        apart = abs(candidate.optimum.loglik - first.optimum.loglik)
        reach = max(REACH, ERRORS * times * float(np.sqrt(2.0 * apart)))
        return expected(candidate) > expected(first) - reach

    ranked = sorted(tried, key=expected, reverse=True)
    first = ranked[0]
    twins = [c for c in ranked if c.structure.is_twin(first.structure)]
    found = [first, *twins, *(c for c in ranked if near(c))]
    return list(reversed({replace(c.structure, shared=False): c for c in reversed(found)}.values()))


def _best(fits: list[HiddenChainFit]) -> HiddenChainFit:
    """The likeliest; a level that all acts share goes before satisfaction that the likelihood hardly prefers.

    With a loading on leaving by chance every act would seem to keep customers. What moves some acts up and
    others down is no level but a mood, and without its loading on leaving their effects would seem certain:
    there the form that leaves it free goes first.
    """
    doubtful = _ranked_by_errors(fits)

    def rank(fit: HiddenChainFit) -> float:
        if not any(fit is fits[k] for k in doubtful):
            return fit.score
        return fit.score + (LEVEL_FIRST if fit.one_way else -LEVEL_FIRST)

    return max(fits, key=rank)


def _ranked_by_errors(fits: list[HiddenChainFit]) -> list[int]:
    """Which of them have a rank that depends on their errors."""
    return [
        k
        for k, fit in enumerate(fits)
        if fit.structure.acts_only and any(fit.structure.is_twin(other.structure) for other in fits)
    ]


def _assemble(
    panel: Panel,
    design: ChainDesign,
    candidate: Candidate,
    rows: NDArray[np.int64] | None,
    *,
    worth: Worth | None,
) -> HiddenChainFit:
    problem, optimum = candidate.problem, candidate.optimum
    return HiddenChainFit(
        channels=panel.channels,
        design=design,
        structure=problem.structure,
        layout=problem.layout,
        theta=optimum.theta,
        errors=np.zeros(problem.layout.size),
        loglik=optimum.loglik,
        score=candidate.score,
        n=problem.inputs.n_customers,
        elasticity=elasticity(problem, optimum.theta),
        problems=_problems(candidate, optimum),
        worth=worth,
        rows=rows,
    )


def _worth(
    panel: Panel, stocks: Single, design: ChainDesign, weights: Float, *, follows: bool
) -> Worth | None:
    """Effects on the worth of a purchase, where it is not what the first stream holds, and they show."""
    if design.amounts and not design.billed:
        return None
    found = worth_of_purchase(
        panel,
        stocks,
        weights=weights,
        follows=follows,
        decay=np.array(design.decays),
        by_day=design.by_day,
    )
    return found if found is not None and (design.billed or found.shows) else None


def _with_influence(fit: HiddenChainFit, candidate: Candidate, weights: Float) -> HiddenChainFit:
    """The fit with the influence of each customer and standard errors.

    A step of customers' weights w along their scores S varies by J^-1 S'S J^-1 only: too little where J holds
    more than the scores say. With J = L L' and M = L^-1 S'S L^-T,

        influence = S L^-T M^-1/2 L^-1,    influence' influence = J^-1

    so that what is drawn with random weights varies by as much as is left open.
    """
    problem, optimum = candidate.problem, candidate.optimum
    moving = np.flatnonzero(optimum.free)
    scores = optimum.value.scores[:, moving]
    outer = (scores * weights[:, None]).T @ scores
    root = _root(candidate, weights, outer, moving)
    shares, turned = np.linalg.eigh(root.T @ outer @ root)
    root = root @ turned
    influence = np.zeros((len(scores), problem.layout.size), dtype=np.float32)
    influence[:, moving] = scores @ (root / np.sqrt(np.maximum(shares, LEAST_SHARE))) @ root.T
    errors = np.zeros(problem.layout.size)
    errors[moving] = np.sqrt((root**2).sum(axis=1))
    return replace(fit, influence=influence, errors=errors)


def _root(candidate: Candidate, weights: Float, outer: Float, moving: NDArray[np.int64]) -> Float:
    """R with R R' the inverse information of the moving parameters, shape (m, m).

    The information is the outer product of scores, with the prior's. Along the directions of which that knows
    least, where it is mostly noise, the curvature takes its place, by differences of slopes. Directions are
    one standard error long, so that the information between them is the unit matrix but for what is replaced.
    """
    problem, optimum = candidate.problem, candidate.optimum
    precision = problem.layout.prior(problem.inputs)[0][moving]
    values, axes = np.linalg.eigh(outer + np.diag(precision))
    axes = axes / np.sqrt(np.maximum(values, LEAST_INFORMATION * values[-1]))
    between = np.eye(len(values))
    here = weights @ optimum.value.scores[:, moving]
    for k, flat in enumerate(axes.T[:FLATTEST]):
        theta = optimum.theta.copy()
        theta[moving] += STEP * flat
        ahead = weights @ evaluate(problem, theta).scores[:, moving]
        between[k] = between[:, k] = ((here - ahead) / STEP + precision * flat) @ axes
    relative, turned = np.linalg.eigh(between)
    return np.asarray(axes @ turned / np.sqrt(np.maximum(relative, LEAST_SHARE)))


def _problems(candidate: Candidate, optimum: Optimum) -> tuple[str, ...]:
    found = []
    if not optimum.converged:
        found.append(
            f"no best fit was found (the hidden chain had not converged after {optimum.passes} passes)"
        )
    loadings = optimum.theta[candidate.problem.layout.loadings].reshape(-1, FEATURES)[:, 0]
    if np.abs(loadings).max() > MAX_LOADING:
        found.append(
            "what is taken for satisfaction would decide nearly all that customers do "
            f"(a loading of {np.abs(loadings).max():.1f}, above {MAX_LOADING:g})"
        )
    if candidate.largest_effect > LARGEST_EFFECT:
        found.append(
            "one touch would decide whether a customer stays or buys "
            f"(an effect of {candidate.largest_effect:.1f}, above {LARGEST_EFFECT:g})"
        )
    if candidate.never_wakes:
        found.append("customers who pause would hardly ever come back, and could as well have left")
    return tuple(found)


def _refuse(panel: Panel) -> None:
    unsaid = [c for c, origin in zip(panel.channels, panel.origins, strict=True) if origin is None]
    if unsaid and not panel.contractual:
        raise ConfigError(
            f"{len(unsaid)} of {len(panel.channels)} channels have no origin (first: {unsaid[0]!r}). "
            'Retention needs to know who acts: set channels.<name>.origin to "customer" or "firm".'
        )
    if not panel.purchases.any() and not panel.contractual:
        raise DataError(
            "The panel holds 0 purchases; the hidden chain needs some. Check the dates of purchases."
        )
