"""Who leaves in the middle of a month has part of its touches: they must not be credited with keeping him."""

import numpy as np
import pytest

from attribution.incremental.checks.last_period import last_periods, with_touches_before
from attribution.incremental.stocks import panel_stocks
from histories.panel import Panel

N, P = 1200, 18


def company(*, anywhere: bool, seed: int = 1) -> Panel:
    """Customers with three acts a month who leave with chance .06 a month, at its end or at any moment."""
    rng = np.random.default_rng(seed)
    left = rng.geometric(0.06, N) - 1
    share = rng.random(N) if anywhere else np.ones(N)
    months = np.arange(P)
    lived = np.where(months < left[:, None], 1.0, np.where(months == left[:, None], share[:, None], 0.0))
    acts = rng.poisson(3.0 * lived)
    return Panel(
        channels=("forum",),
        groups=("forum",),
        origins=("customer",),
        touches=acts[:, :, None].astype(np.float32),
        own_acts=acts.astype(np.float64),
        problems=np.zeros((N, P)),
        spend=np.zeros((N, P)),
        purchases=np.zeros((N, P)),
        entry=np.zeros(N, dtype=np.int64),
        exit=None,
        covariates=np.zeros((N, 0)),
        covariate_names=(),
        proxies=np.zeros((N, 0)),
        proxy_names=(),
    )


@pytest.mark.parametrize("anywhere", [False, True])
def test_the_last_period_tells_when_customers_leave(anywhere: bool) -> None:
    found = [last_periods(company(anywhere=anywhere, seed=seed)) for seed in range(10)]
    assert {reading.whole for reading in found if reading is not None} == {not anywhere}


def test_touches_work_from_the_next_period_on_where_customers_leave_within_one() -> None:
    panel = with_touches_before(company(anywhere=True))
    assert not panel.own_period
    assert "customers leave in the middle of periods" in panel.notes[0]
    stocks = panel_stocks(panel, decay=0.6)
    assert not stocks[:, 0].any()
    assert stocks[:, 1] == pytest.approx(0.6 * np.log1p(panel.touches[:, 0]), abs=1e-6)


def test_nothing_changes_where_customers_leave_at_the_end_of_periods() -> None:
    panel = company(anywhere=False)
    assert with_touches_before(panel) is panel


def test_few_who_act_often_say_nothing() -> None:
    assert last_periods(company(anywhere=True).take(slice(0, 20))) is None
