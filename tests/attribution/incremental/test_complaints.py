"""Who calls because something is wrong leaves because something is wrong: the call has not done it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from attribution.incremental.chain import HiddenChain, HiddenChainFit, Structure
from attribution.incremental.checks.complaints import perhaps_complaints
from attribution.incremental.stocks import panel_stocks
from histories.panel import Panel
from tests.silent_company import panel_of

N, P = 1500, 16


def company(seed: int = 1) -> Panel:
    """Problems make customers call, and four times as many leave; neither calls nor posts do anything."""
    rng = np.random.default_rng(seed)
    level = rng.gamma(2.0, 0.5, (N, 1))
    problems = rng.poisson(0.15 * level, (N, P))
    calls = rng.binomial(problems, 0.7) + rng.poisson(0.05, (N, P))
    leaves = rng.random((N, P)) < 0.03 * (1.0 + 3.0 * (problems > 0))
    exit_ = np.where(leaves, np.arange(P), P).min(axis=1)
    there = np.arange(P) <= exit_[:, None]
    posts = rng.poisson(0.5 * level, (N, P))
    bought = rng.poisson(rng.gamma(2.0, 0.5, (N, 1)), (N, P))
    touches = np.stack([calls, posts], axis=2) * there[:, :, None]
    channels = {"hotline": "customer", "forum": "customer"}
    return panel_of(channels, touches, bought * there, problems=(problems * there).astype(np.float64))


def fitted(panel: Panel) -> HiddenChainFit:
    chain = HiddenChain(structure=Structure())
    return chain.fit(panel, panel_stocks(panel), rng=np.random.default_rng(1))


def test_contacts_that_seem_to_do_harm_are_not_credited_with_it_unless_problems_are_recorded() -> None:
    told = company()
    untold = replace(told, problems=np.zeros((N, P)))
    seems, is_ = fitted(untold), fitted(told)
    assert seems.beta[0] > 4.0 * seems.beta_sd[0]
    assert list(perhaps_complaints(seems, untold)) == ["hotline"]
    assert abs(is_.beta[0]) < 2.5 * is_.beta_sd[0]
    assert perhaps_complaints(seems, told) == {}
    by_firm = replace(untold, origins=("firm", "customer"))
    assert perhaps_complaints(seems, by_firm) == {}
