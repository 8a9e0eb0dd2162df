"""A firm that reaches only the living tells who is there; that is no effect of its touches."""

from dataclasses import replace

import numpy as np
import pytest

from attribution.incremental.chain import HiddenChain, Structure
from attribution.incremental.checks.proof_of_life import (
    fading_channels,
    reach_after_leaving,
    with_proof_of_life,
)
from attribution.incremental.plan import plan_for
from attribution.incremental.stocks import panel_stocks
from histories.panel import Panel
from tests.silent_company import panel_of

N, P = 1500, 18


def company(share_after_leaving: float, *, seed: int = 1, n: int = N) -> Panel:
    """Customers who act in half of their months, leave with chance .06 a month, and get a letter a month.

    After leaving they get `share_after_leaving` as many letters.
    """
    rng = np.random.default_rng(seed)
    left = rng.geometric(0.06, n)
    there = np.arange(P) < left[:, None]
    acts = (rng.random((n, P)) < 0.5) & there
    letters = rng.poisson(np.where(there, 1.0, share_after_leaving))
    touches = np.stack([acts, letters], axis=2).astype(np.float32)
    return panel_of({"forum": "customer", "letter": "firm"}, touches, np.zeros((n, P)))


@pytest.mark.parametrize(
    ("share", "verdict"), [(1.0, "goes on"), (1.5, "goes on"), (0.4, "fades"), (0.0, "stops")]
)
def test_what_happens_to_the_firms_touches_when_customers_leave_is_told(share: float, verdict: str) -> None:
    (reach,) = reach_after_leaving(company(share))
    assert reach.verdict == verdict
    assert reach.ratio == pytest.approx(share, abs=0.12)


def test_a_firm_that_knows_no_more_is_never_accused() -> None:
    verdicts = [reach_after_leaving(company(1.0, seed=seed))[0].verdict for seed in range(30)]
    assert set(verdicts) == {"goes on"}


def by_recency(*, seed: int = 1) -> Panel:
    """Letters to whoever has acted within the last five months, there or not."""
    panel = company(1.0, seed=seed)
    acted = np.asarray(panel.own_acts) > 0
    recent = np.stack([acted[:, max(0, t - 5) : t + 1].any(axis=1) for t in range(P)], axis=1)
    touches = np.array(panel.touches)
    touches[:, :, 1] *= recent
    return replace(panel, touches=touches)


def test_a_firm_that_writes_to_those_who_acted_lately_knows_no_more() -> None:
    for seed in range(6):
        (reach,) = reach_after_leaving(by_recency(seed=seed))
        assert reach.verdict == "goes on"
        assert 0.8 < reach.ratio < 1.5


def with_signs(stops: tuple[str, ...]) -> Panel:
    return replace(company(0.0), stops=stops)


def test_touches_that_stop_become_signs_of_life() -> None:
    made = with_proof_of_life(company(0.0), with_signs)
    assert made.stops == ("letter",)
    assert made.tells_life.all()
    assert made.notes[0].startswith("letter stops when customers fall silent for good")


def test_touches_that_become_fewer_speak_against_every_credit() -> None:
    (reason,) = fading_channels(company(0.4))
    assert reason.startswith("letter reaches customers who seem to have left")
    assert fading_channels(company(1.0)) == ()
    on_the_way = replace(company(0.4), announces={"letter": "on the way to a purchase"})
    assert fading_channels(on_the_way) == ()  # no cause of anything, it matters to nothing
    assert not with_proof_of_life(company(0.4), with_signs).stops


def test_touches_that_stop_with_the_customer_have_no_supported_credit() -> None:
    silent = company(0.0, n=500)
    panel = replace(silent, stops=("letter",), purchases=silent.own_acts, spend=20.0 * silent.own_acts)
    stocks = panel_stocks(panel)
    fit = HiddenChain(structure=Structure()).fit(panel, stocks, rng=np.random.default_rng(1))
    check = plan_for(panel).check
    assert check is not None
    against = check(fit, panel, stocks, np.random.default_rng(1)).by_channel
    assert against["letter"].startswith("the firm stops with customers who leave")
    assert "forum" not in against or "lapse" in against["forum"]
