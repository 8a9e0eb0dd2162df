"""Effects that level off: the bend is found where there is one, and lines stay lines."""

from dataclasses import replace

import numpy as np
import pytest

from attribution.incremental.aumann_shapley import panel_credit
from attribution.incremental.bend import choose_bend
from attribution.incremental.chain import HiddenChain, HiddenChainFit, Structure
from attribution.incremental.decay import Decay, Making
from attribution.incremental.stocks import panel_stocks
from benchmarks.panels.simulate import simulate_panel
from histories.panel import Panel

PLAIN = HiddenChain(structure=Structure(shared=False))


def bend_of(fit: HiddenChainFit, panel: Panel) -> Making:
    """What is chosen from the customary decay."""
    decay = Decay.asked(None)
    return choose_bend(fit.with_stocks(panel, decay.stocks(panel)), panel, decay)


def test_a_bend_is_found_where_effects_level_off_and_linear_credit_misses() -> None:
    made = simulate_panel("saturation", n=6_000, periods=18, seed=1)
    satisfaction = made.latent["u"][:, :, None]  # in sight: no climb over what is hidden
    panel = replace(made.panel, time_covariates=satisfaction, time_covariate_names=("u",))
    stocks = panel_stocks(panel)
    straight = PLAIN.fit(panel, stocks, rng=np.random.default_rng(1))
    bent = bend_of(straight, panel)
    bend, found = bent.decay.bend, bent.fit[0]
    assert bend.value > 0.5
    assert bend.gain > 0.5 * np.log(6_000)
    assert "effects level off" in bend.words
    own = panel_stocks(panel, bend=bend.value)
    levels = []
    for fit, carried in ((straight, stocks), (found, own)):
        credit = panel_credit(fit, panel, carried, rng=np.random.default_rng(2))
        levels.append(
            [
                credit.require(outcome).credit.sum() / made.truth.outcomes[outcome].credit.sum()
                for outcome in ("retention", "spend")
            ]
        )
    linear, levelled = levels
    assert max(linear) < 0.75
    assert levelled == pytest.approx([1.0, 1.0], abs=0.12)


def test_effects_that_are_linear_stay_so() -> None:
    made = simulate_panel("none", n=2_000, periods=12, seed=2)
    stocks = panel_stocks(made.panel)
    fit = PLAIN.fit(made.panel, stocks, rng=np.random.default_rng(1))
    assert bend_of(fit, made.panel).decay.bend.value == 0.0


def test_silent_companies_are_not_asked() -> None:
    made = simulate_panel("hidden30", n=200, periods=8, seed=1)
    stocks = panel_stocks(made.panel)
    fit = HiddenChain(structure=Structure()).fit(made.panel, stocks, rng=np.random.default_rng(1))
    assert bend_of(fit, made.panel).decay.bend.words == ""
