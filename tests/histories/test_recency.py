"""A firm that sends to all who bought lately is told from one that sends whenever it sends."""

from __future__ import annotations

import numpy as np
import pytest

from histories.panel import Panel
from histories.reactions import Recent, with_order_of_events
from histories.recency import recency
from tests.silent_company import panel_of

N, P = 1_500, 18


def company(within: int | None, *, effect: float = 0.0, seed: int = 1) -> Panel:
    """Letters to six of ten who bought so many months ago at most (None: to anybody), and posts by customers.

    A letter makes purchases of its month exp(effect) times as many.
    """
    rng = np.random.default_rng(seed)
    rate = rng.gamma(2.0, 0.3, N)
    bought, letters = np.zeros((N, P)), np.zeros((N, P))
    last = np.zeros(N)
    there = np.arange(P) < rng.geometric(0.04, N)[:, None]
    for t in range(P):
        chosen = np.ones(N, dtype=bool) if within is None else t - last <= within
        letters[:, t] = chosen * (rng.random(N) < 0.6)
        bought[:, t] = rng.poisson(rate * np.exp(effect * letters[:, t])) * there[:, t]
        last = np.where(bought[:, t] > 0, t, last)
    posts = rng.poisson(0.4, (N, P)) * there
    return panel_of({"letter": "firm", "forum": "customer"}, np.stack([letters, posts], axis=2), bought)


@pytest.mark.parametrize("within", [1, 2, 3])
def test_letters_to_who_bought_lately_are_found(within: int) -> None:
    (reading,) = recency(company(within))
    assert reading.follows
    assert reading.ratios[-1] == 0.0
    assert reading.words.startswith("letter goes by the last purchase: ")


def test_letters_to_anybody_go_by_nothing_whatever_they_do() -> None:
    for seed in range(4):
        (reading,) = recency(company(None, effect=0.5, seed=seed))
        assert not reading.follows
        assert reading.ratios == pytest.approx(np.ones(4), abs=0.15)


def test_the_panel_knows_and_says_it() -> None:
    counts = dict.fromkeys(("near", "far", "soon", "later"), np.zeros(2))
    touches = np.zeros((2, 1))
    nothing = Recent(
        touches=touches, old_touches=touches, back=np.zeros((2, 5)), purchases=np.zeros(1), **counts
    )
    panel = with_order_of_events(company(2), nothing)
    assert panel.reacts == ("letter",)
    assert panel.late.tolist() == [True, False]
    assert "their effect is told from later periods" in panel.notes[0]
    assert with_order_of_events(company(None), nothing).reacts == ()
