"""Who leaves in the middle of a month has part of its touches: they must not be credited with keeping him."""

from dataclasses import replace

import numpy as np
import pytest

from attribution.incremental.chain import HiddenChain, Structure
from attribution.incremental.checks.last_period import last_periods, with_moments_of_leaving
from attribution.incremental.stocks import kept_stocks, new_stocks, panel_stocks
from histories.panel import Panel
from tests.silent_company import panel_of

N, P = 700, 18
FEW = 600
"""Customers of whom a chain is fitted."""


def company(*, anywhere: bool, seed: int = 1, often: float = 1.0) -> Panel:
    """Customers with three acts a month who leave with chance .06 a month, at its end or at any moment."""
    rng = np.random.default_rng(seed)
    left = rng.geometric(0.06, N) - 1
    share = rng.random(N) if anywhere else np.ones(N)
    months = np.arange(P)
    lived = np.where(months < left[:, None], 1.0, np.where(months == left[:, None], share[:, None], 0.0))
    acts, purchases = rng.poisson(3.0 * often * lived), rng.poisson(0.5 * often * lived)
    events = acts + purchases
    latest = lived * rng.random((N, P)) ** (1.0 / np.maximum(events, 1))
    return panel_of(
        {"forum": "customer"},
        acts[:, :, None],
        purchases,
        last_moment=np.where(events > 0, latest, 0.0).astype(np.float32),
    )


@pytest.mark.parametrize("anywhere", [False, True])
@pytest.mark.parametrize("timed", [True, False])
def test_the_last_period_tells_when_customers_leave(anywhere: bool, timed: bool) -> None:
    made = [company(anywhere=anywhere, seed=seed) for seed in range(10)]
    found = [last_periods(panel if timed else replace(panel, last_moment=None)) for panel in made]
    assert {reading.whole for reading in found if reading is not None} == {not anywhere}


@pytest.mark.parametrize("anywhere", [False, True])
def test_moments_tell_it_of_customers_who_seldom_act(anywhere: bool) -> None:
    made = [company(anywhere=anywhere, seed=seed, often=0.3) for seed in range(4)]
    assert all(last_periods(replace(panel, last_moment=None)) is None for panel in made)
    found = [last_periods(panel) for panel in made]
    assert {reading.whole for reading in found if reading is not None} == {not anywhere}


@pytest.mark.parametrize("timed", [True, False])
def test_a_touch_without_effect_seems_to_keep_customers_unless_their_moments_count(timed: bool) -> None:
    chain = HiddenChain(structure=Structure())
    seen: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(4):
        made = with_moments_of_leaving(company(anywhere=True, seed=seed).take(slice(0, FEW)))
        assert "customers leave in the middle of periods" in made.notes[0]
        made = made if timed else replace(made, last_moment=None)
        for counts, panel in ((True, made), (False, replace(made, at_any_moment=False))):
            fit = chain.fit(panel, panel_stocks(panel), rng=np.random.default_rng(1))
            seen[counts].append(float(fit.beta[0] / fit.beta_sd[0]))
    assert np.mean(seen[False]) < -4.0
    assert abs(np.mean(seen[True])) < 1.2


def test_stocks_are_those_of_a_moment_within_the_period_where_customers_leave_at_any() -> None:
    panel = with_moments_of_leaving(company(anywhere=True))
    stocks = panel_stocks(panel, decay=0.6)
    first, second = panel.touches[:, 0], panel.touches[:, 1]
    assert stocks[:, 0] == pytest.approx(new_stocks(panel, first, 0), abs=1e-6)
    carried = kept_stocks(panel, np.log1p(first), decay=0.6)
    assert stocks[:, 1] == pytest.approx(carried + new_stocks(panel, second, 1), abs=1e-6)
    assert (new_stocks(panel, first, 0) < np.log1p(first))[first > 0].all()


@pytest.mark.parametrize("again", [0.0, 0.5])
def test_acts_that_lead_to_others_are_told_from_acts_that_do_not(again: float) -> None:
    rng = np.random.default_rng(1)
    acts, level = np.zeros((FEW, P)), rng.gamma(2.0, 0.5, FEW)
    for month in range(P):
        before = np.log1p(acts[:, month - 1]) if month else np.zeros(FEW)
        acts[:, month] = rng.poisson(level * np.exp(again * before))
    panel = company(anywhere=False).take(slice(0, FEW))
    bought = rng.poisson(0.5, (FEW, P)).astype(np.float64)
    panel = replace(panel, touches=acts[:, :, None].astype(np.float32), own_acts=acts, purchases=bought)
    fit = HiddenChain(structure=Structure()).fit(panel, panel_stocks(panel), rng=rng)
    place = fit.layout.cells(2).start
    assert fit.theta[place] == pytest.approx(again, abs=3.0 * fit.errors[place])
    assert fit.errors[place] < 0.05


def test_nothing_changes_where_customers_leave_at_the_end_of_periods() -> None:
    panel = company(anywhere=False)
    assert with_moments_of_leaving(panel) is panel


def test_few_who_act_often_say_nothing() -> None:
    assert last_periods(company(anywhere=True).take(slice(0, 20))) is None
