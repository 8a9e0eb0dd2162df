"""Which estimators credit a company: the default, and the companions that span the range with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.chain import HiddenChain, HiddenChainFit
from attribution.incremental.checks.complaints import perhaps_complaints
from attribution.incremental.checks.future_touches import future_touches
from attribution.incremental.checks.holdout import run_holdout
from attribution.incremental.checks.lapse import check_lapse, lapse_window
from attribution.incremental.checks.placebo import run_placebo
from attribution.incremental.checks.proof_of_life import fading_channels
from attribution.incremental.checks.receivers import chosen_receivers
from attribution.incremental.checks.silence import InteriorSilence, interior_silence
from attribution.incremental.checks.tried import Tried
from attribution.incremental.decay import faint
from attribution.incremental.regression import OWN_MEANS, POISSON_SPEND
from attribution.incremental.setfunction import Chosen, PanelEstimator
from attribution.incremental.stocks import Timing
from histories.panel import Panel

MIN_PERIODS = 6
"""Periods below which stocks and levels of customers cannot be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What the checks of a fit speak against."""

    problems: tuple[str, ...] = ()
    """Against every credit of the fit."""
    by_channel: Mapping[str, str] = field(default_factory=dict)
    """Against single channels."""
    of_spend: Mapping[str, str] = field(default_factory=dict)
    """Against their credit of spend and lifetime value alone."""
    notes: tuple[str, ...] = ()
    """Checks that could not be done, and why."""


WINDOWS = 2
"""Lapse windows that a panel has to span for silence to say who left."""
STOPS = "the firm stops with customers who leave: who gets these touches is there still, whatever they do"
"""Against channels that are signs of life: an effect cannot be told from knowing who is there."""
DUE = "its touches follow purchases, which come by a clock of their own: the next one is due, touched or not"
"""Against touches that follow a customer's purchases, sent or his own, where these are regular: who asks
after an order needs nothing for a while, and who looks around is about to buy."""
MOVED_ALONE = (
    "satisfaction that drifts moves who acts here, and acts alone show it: a proxy or experiment would"
)
"""Against channels whose effect cannot be told from what moves their use."""
STAYS = (
    "what a purchase is worth after these touches stays so; a stock that decays holds a part of that alone"
)
"""Against channels after which a purchase stays worth more or less."""
Choose = Callable[[Any, Panel, NDArray[np.float32], np.random.Generator], Chosen]
"""Takes the plan's own estimator, of whatever kind."""
Check = Callable[[Any, Panel, NDArray[np.float32], np.random.Generator], Checked]
"""Takes a fit of the plan's own estimator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Estimators for one panel."""

    default: PanelEstimator
    """What credits, unless `choose` finds another."""
    choose: Choose | None = None
    """Fits the default and compares it with others; None: the default it is."""
    companions: tuple[PanelEstimator, ...] = ()
    """Estimators that fail differently from the default."""
    problems: tuple[str, ...] = ()
    """Why no credit of this panel is supported whatever the fit; empty when nothing speaks against it."""
    check: Check | None = None
    """Checks of the chosen fit beyond its own `problems`."""

    def fit(self, panel: Panel, stocks: NDArray[np.float32], rng: np.random.Generator) -> Chosen:
        """Fit what credits the company."""
        if self.choose is not None:
            return self.choose(self.default, panel, stocks, rng)
        return Chosen(estimator=self.default, fit=self.default.fit(panel, stocks, rng=rng))

    def at_decay(self, decay: float, decays: tuple[float, ...] = (), *, by_day: Timing = False) -> Plan:
        """The same plan, whose estimators make stocks of their own with this decay (see `at_decay` there)."""
        return replace(
            self,
            default=self.default.at_decay(decay, decays, by_day=by_day),
            companions=tuple(
                companion.at_decay(decay, decays, by_day=by_day) for companion in self.companions
            ),
        )


def plan_for(panel: Panel) -> Plan:
    """The hidden chain with the settings that are called for.

    Where leaving is recorded, own means stand beside it.

    Without the origin of every channel nothing can be said of leaving; then spend alone is credited by a
    Poisson regression, and not as supported.
    """
    short = (
        (f"{panel.n_periods} periods; at least {MIN_PERIODS} are needed",)
        if panel.n_periods < MIN_PERIODS
        else ()
    )
    if panel.contractual:
        return Plan(
            default=HiddenChain(),
            choose=_choose_settings,
            companions=(OWN_MEANS,),
            problems=short,
            check=_check_recorded,
        )
    if None in panel.origins or not panel.purchases.any():
        return Plan(default=POISSON_SPEND, problems=(*short, POISSON_SPEND.limits))
    return Plan(
        default=HiddenChain(),
        choose=_choose_settings,
        problems=(*short, *fading_channels(panel)),
        check=_check_silent,
    )


def _choose_settings(
    chain: HiddenChain, panel: Panel, stocks: NDArray[np.float32], rng: np.random.Generator
) -> Chosen:
    """The hidden chain with the settings that the likelihood calls for."""
    to_come = future_touches(panel, stocks)
    told = to_come is not None and to_come.verdict == "satisfaction"
    return chain.choose(panel, stocks, rng, hidden=to_come.words if to_come and told else "")


def _check_recorded(
    fit: HiddenChainFit, panel: Panel, stocks: NDArray[np.float32], rng: np.random.Generator
) -> Checked:
    """Satisfaction that acts alone show, touches that announce leaving or a purchase, worth that stays."""
    del stocks, rng
    moved = dict.fromkeys(fit.moved_alone, MOVED_ALONE)
    against = {**moved, **perhaps_complaints(fit, panel), **chosen_receivers(panel), **panel.announces}
    return Checked(by_channel=against, of_spend=_staying(fit, panel))


def _staying(fit: HiddenChainFit, panel: Panel) -> dict[str, str]:
    """Channels after which a purchase stays worth more or less, with what that speaks against."""
    lasts = () if fit.worth is None else np.flatnonzero(fit.worth.lasts)
    return {panel.channels[k]: STAYS for k in lasts}


def _check_silent(
    fit: HiddenChainFit, panel: Panel, stocks: NDArray[np.float32], rng: np.random.Generator
) -> Checked:
    """Silence, placebo and holdout speak against all channels, a contrary lapse window against its own."""
    tried = Tried()
    placebo = tried("zero-effect placebo", lambda: run_placebo(fit, panel, stocks, rng=rng))
    holdout = tried("holdout check", lambda: run_holdout(fit, panel, stocks, rng=rng))
    lapse = tried("lapse check", lambda: check_lapse(fit, panel, stocks))
    contrary = {} if lapse is None else lapse.contrary
    contrary |= perhaps_complaints(fit, panel)
    contrary |= dict.fromkeys(panel.stops, STOPS) | dict.fromkeys(fit.moved_alone, MOVED_ALONE)
    if fit.structure.regular:
        contrary |= {name: DUE for name, late in zip(panel.channels, panel.late, strict=True) if late}
    contrary |= panel.announces
    silence = _odd_silence(fit, panel, stocks)
    problems = [*_too_short(panel), *(silence.problems if silence else ())]
    refused = {*contrary, *faint(panel, np.array(fit.design.decays))}
    problems += placebo.leaving_out(refused).problems if placebo else ()
    problems += holdout.problems if holdout else ()
    cautions = silence.cautions if silence else ()
    return Checked(
        problems=tuple(problems),
        by_channel=contrary,
        of_spend=_staying(fit, panel),
        notes=(*cautions, *tried.notes),
    )


def _too_short(panel: Panel) -> list[str]:
    window = lapse_window(panel)
    if panel.n_periods >= WINDOWS * window:
        return []
    return [f"too few periods: {panel.n_periods}, needed are two lapse windows of {window} periods"]


def _odd_silence(fit: HiddenChainFit, panel: Panel, stocks: NDArray[np.float32]) -> InteriorSilence | None:
    """Silence between purchases, unless the settings account for what is odd in it."""
    if fit.structure.regular or fit.structure.asleep:
        return None
    return interior_silence(panel, stocks, fit.buying)
