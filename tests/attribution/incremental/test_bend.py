"""Effects that level off: the bend is found where there is one, and lines stay lines."""

import numpy as np
import pytest

from attribution.incremental.aumann_shapley import panel_credit
from attribution.incremental.bend import choose_bend
from attribution.incremental.chain import HiddenChain, Structure
from attribution.incremental.stocks import DECAY, panel_stocks
from benchmarks.panels.simulate import simulate_panel

LASTING = HiddenChain(structure=Structure(nodes=9, shared=False))


def test_a_bend_is_found_where_effects_level_off_and_linear_credit_misses() -> None:
    made = simulate_panel("saturation", n=4_000, periods=18, seed=1)
    stocks = panel_stocks(made.panel)
    straight = LASTING.fit(made.panel, stocks, rng=np.random.default_rng(1))
    bend = choose_bend(straight, made.panel, decay=DECAY)
    assert bend.value > 0.5
    assert bend.gain > 0.5 * np.log(4_000)
    assert "effects level off" in bend.words
    own = panel_stocks(made.panel, bend=bend.value)
    found = straight.with_stocks(made.panel, own)[0]
    levels = []
    for fit, carried in ((straight, stocks), (found, own)):
        credit = panel_credit(fit, made.panel, carried, rng=np.random.default_rng(2))
        levels.append(
            [
                credit.require(outcome).credit.sum() / made.truth.outcomes[outcome].credit.sum()
                for outcome in ("retention", "spend")
            ]
        )
    linear, bent = levels
    assert max(linear) < 0.6
    assert min(bent) > 0.65
    assert bent[1] == pytest.approx(1.0, abs=0.12)


def test_effects_that_are_linear_stay_so() -> None:
    made = simulate_panel("none", n=2_000, periods=12, seed=2)
    stocks = panel_stocks(made.panel)
    plain = HiddenChain(structure=Structure(shared=False))
    fit = plain.fit(made.panel, stocks, rng=np.random.default_rng(1))
    assert choose_bend(fit, made.panel, decay=DECAY).value == 0.0


def test_silent_companies_are_not_asked() -> None:
    made = simulate_panel("hidden30", n=200, periods=8, seed=1)
    stocks = panel_stocks(made.panel)
    fit = HiddenChain(structure=Structure()).fit(made.panel, stocks, rng=np.random.default_rng(1))
    assert choose_bend(fit, made.panel, decay=DECAY).words == ""
