"""A customer's first month is one of its own: many buy once and are never seen again."""

import numpy as np

from attribution.incremental.chain import HiddenChain, Structure
from attribution.incremental.stocks import panel_stocks
from histories.panel import Panel
from tests.silent_company import panel_of

N, P = 1500, 18


def company(*, seed: int) -> Panel:
    """A quarter leave in the month of arrival, 5 % in any other; neither posts nor mail do anything."""
    rng = np.random.default_rng(seed)
    entry = rng.integers(0, P - 4, N)
    t = np.arange(P)
    leaves = rng.random((N, P)) < np.where(t == entry[:, None], 0.25, 0.05)
    exit_ = np.where(leaves & (t >= entry[:, None]), t, P).min(axis=1)
    there = (t >= entry[:, None]) & (t <= exit_[:, None])
    bought = rng.poisson(rng.gamma(2.0, 0.5, (N, 1)), (N, P)) * there
    bought[np.arange(N), entry] += 1
    posts = rng.poisson(0.5 * rng.gamma(2.0, 0.5, (N, 1)), (N, P)) * there
    mail = rng.poisson(1.0, (N, P)) * (t >= entry[:, None])
    return panel_of(
        {"forum": "customer", "mail": "firm"}, np.stack([posts, mail], axis=2), bought, entry=entry
    )


def test_touches_have_no_credit_for_customers_who_outlived_their_first_month() -> None:
    found = []
    for seed in range(3):
        panel = company(seed=seed)
        fit = HiddenChain(structure=Structure()).fit(panel, panel_stocks(panel), rng=np.random.default_rng(1))
        found.append(fit.beta / fit.beta_sd)
    assert np.abs(np.mean(found, axis=0)).max() < 1.2
