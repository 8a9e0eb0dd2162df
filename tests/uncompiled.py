"""Every compiled loop on a few customers, as figures: the same with machine code and without.

``NUMBA_DISABLE_JIT=1 python -m tests.uncompiled`` prints them; there an index out of range is an error.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import numpy as np
import polars as pl

from attribution.incremental.aumann_shapley import panel_credit
from attribution.incremental.chain import HiddenChain
from attribution.incremental.chain.design import ChainDesign
from attribution.incremental.chain.likelihood import Likelihood, draw_paths, evaluate
from attribution.incremental.chain.start import crude_rates
from attribution.incremental.chain.states import Structure
from attribution.incremental.stocks import panel_stocks
from attribution.paths.encoded import encode_paths
from attribution.paths.transitions import count_transitions
from benchmarks.panels.simulate import simulate_panel
from care.threads import link_posts
from clv.tally import UNKNOWN, code_ids, tally_purchases
from histories.journeys import walk_journeys
from histories.reactions import recent_purchases
from histories.timeline import JourneyWindow
from tests.care.desks import posts

FEW, PERIODS = 16, 4


def journeys() -> list[float]:
    days = [dt.datetime(2026, 3, day) for day in (1, 4, 9, 20)]
    touches = pl.LazyFrame(
        {
            "customer_id": [1, 1, 2, 2],
            "timestamp": days,
            "channel": ["a", "b", "a", "b"],
            "date_only": False,
            "view": False,
        }
    )
    bought = pl.LazyFrame(
        {"customer_id": [1, 2], "timestamp": [days[2], days[3]], "amount": [70_000, 50_000]}
    )
    window = JourneyWindow(lookback_days=10, observation_end=dt.date(2026, 12, 31))
    made = walk_journeys(touches, bought, window).journeys.collect()
    return [float(made["n_touches"].sum()), float(made["converted"].sum())]


def around_touches() -> list[float]:
    days = [dt.datetime(2026, month, 4) for month in (1, 3, 5, 6, 7)]
    bought = pl.LazyFrame({"customer_id": [1] * 5, "timestamp": days})
    touched = pl.LazyFrame({"customer_id": [1, 1], "timestamp": [days[2], days[4]], "channel": ["a", "b"]})
    counted = recent_purchases(touched, bought, channels=("a", "b"), observation_end=dt.date(2026, 12, 31))
    return [*counted.near.tolist(), *counted.far.tolist(), *counted.back.ravel().tolist()]


def transitions() -> list[float]:
    paths = {"path": ["a > b > a", "b", "", "a > a"], "conversions": [1, 2, 1, 0], "nulls": [0, 3, 2, 1]}
    counts = count_transitions(encode_paths(pl.DataFrame(paths)), order=2)
    return [float(counts.moves.sum()), float(counts.conversions.sum()), float(len(counts.states))]


def threads() -> list[float]:
    linked = link_posts(posts())
    return [float(linked["conversation"].n_unique()), float(linked["is_customer"].sum())]


def chain() -> list[float]:
    panel = simulate_panel("hidden_staggered", n=FEW, periods=PERIODS, seed=1).panel
    inputs = ChainDesign.learn(panel, decay=0.6).inputs(panel, panel_stocks(panel))
    found: list[float] = []
    for structure in (Structure(nodes=2, drift=True, quiet=True), Structure(nodes=2, regular=True)):
        problem = Likelihood.of(inputs, structure)
        theta = crude_rates(problem, np.ones(FEW))
        value = evaluate(problem, theta)
        found += [float(value.loglik.sum()), float(value.scores.sum())]
        path, *_ = draw_paths(problem, theta, uniform=np.full((2, FEW, PERIODS + 1), 0.37))
        found.append(float(path.sum()))
    return found


def credit() -> list[float]:
    panel = simulate_panel("r7", n=6, periods=PERIODS, seed=1).panel
    stocks = panel_stocks(panel)
    structure = Structure(nodes=3)
    fit = HiddenChain(structure=structure).fit(panel, stocks, rng=np.random.default_rng(1))
    # where a climb on so few ends depends on the order of adding: both take parameters without one
    inputs = ChainDesign.learn(panel, decay=0.6).inputs(panel, stocks)
    start = crude_rates(Likelihood.of(inputs, structure), np.ones(panel.n_customers))
    fit = replace(fit, theta=start + 0.1)
    divided = panel_credit(fit, panel, stocks, rng=np.random.default_rng(1))
    return [float(divided.retention.total), float(divided.retention.credit.sum())]


def purchases() -> list[float]:
    rng = np.random.default_rng(1)
    found: list[float] = []
    for factor, customers in ((1, 90), (10**15, 90), (1, 3_000)):
        ids = (rng.integers(-customers, customers, 4_000) * factor).astype(np.int64)
        codes, rows = code_ids(ids)
        day = rng.integers(0, 300, ids.size).astype(np.int32)
        margin = np.where(ids % 3 == 0, UNKNOWN, ids)
        tally = tally_purchases(codes, rows.size, day, ids, margin)
        found += [float(rows.sum()), *tally.sum(axis=0).astype(float).tolist()]
    return found


def figures() -> dict[str, list[float]]:
    """All of them."""
    return {
        make.__name__: make()
        for make in (journeys, around_touches, transitions, threads, chain, credit, purchases)
    }


if __name__ == "__main__":
    print(json.dumps(figures()))
