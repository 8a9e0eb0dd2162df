"""Who comes later is another kind of customer: here he leaves sooner and posts less."""

from __future__ import annotations

import numpy as np
import pytest

from attribution.incremental.chain import HiddenChain, Structure
from attribution.incremental.chain import design as chain_design
from attribution.incremental.stocks import panel_stocks
from histories.panel import Panel
from tests.silent_company import panel_of

N, P = 1500, 16
LATE = 8


def company(*, seed: int) -> tuple[Panel, float]:
    """Customers of a growing company in which posts do nothing, and how many of the later ones stay."""
    rng = np.random.default_rng(seed)
    entry = rng.integers(0, P - 3, N)
    t = np.arange(P)
    chance = 0.02 * np.exp(2.5 * entry / P)
    leaves = (rng.random((N, P)) < chance[:, None]) & (t >= entry[:, None])
    exit_ = np.where(leaves, t, P).min(axis=1)
    there = (t >= entry[:, None]) & (t <= exit_[:, None])
    bought = rng.poisson(rng.gamma(2.0, 0.5, (N, 1)), (N, P)) * there
    bought[np.arange(N), entry] += 1
    posts = rng.poisson(rng.gamma(2.0, 0.4, (N, 1)) * np.exp(-entry[:, None] / P), (N, P)) * there
    panel = panel_of({"forum": "customer"}, posts[:, :, None], bought, entry=entry)
    return panel, float((exit_[entry >= LATE] == P).sum())


def later_survivors(panel: Panel) -> float:
    stocks, rng = panel_stocks(panel), np.random.default_rng(1)
    fit = HiddenChain(structure=Structure(shared=False)).fit(panel, stocks, rng=rng)
    return float(fit.predict(panel, stocks, rng=rng).survival[panel.entry >= LATE].sum())


def test_as_many_later_customers_are_there_still_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    panel, there = company(seed=1)
    assert later_survivors(panel) == pytest.approx(there, rel=0.04)
    monkeypatch.setattr(chain_design, "_lasting", lambda panel: panel.covariates)
    assert later_survivors(panel) > 1.1 * there
