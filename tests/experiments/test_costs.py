"""Costs count for the days observed, for the customers contacted, and in the month they fell."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from attribution.credits.table import incremental_credits
from care.returns import Timing, returns_of_credit
from experiments.config import parse_config
from experiments.inputs import read_inputs
from experiments.parts.costs import ChannelCosts, channel_costs, returns_part
from experiments.parts.histories import Histories, build_histories

ORDERS = "customer_id,timestamp,amount\n1,2025-01-01,10\n2,2025-02-10,20\n"
TOUCHES = (
    "customer_id,timestamp,channel,cost\n"
    "1,2025-01-05 10:00,chat,9\n1,2025-02-05 10:00,chat,9\n"
    "2,2025-02-06 10:00,chat,9\n3,2025-02-07 10:00,chat,9\n"
    "2,2025-01-08 10:00,forum,1.5\n"
)
COSTS = "channel,period_start,period_end,amount\n"


def histories(folder: Path, costs: str | None, end: str = "2025-02-10") -> Histories:
    tables = {"transactions": ORDERS, "touchpoints": TOUCHES} | ({"costs": costs} if costs else {})
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text)
    inputs: dict[str, Any] = {name: f"{name}.csv" for name in tables}
    config = parse_config({"observation_end": end, "inputs": inputs}, base_dir=folder)
    return build_histories(config, read_inputs(config))


def by_month(costs: ChannelCosts, channel: str) -> list[tuple[int, float]]:
    return list(costs.by_month.filter(pl.col("channel") == channel).select("month", "cost").iter_rows())


def test_a_row_of_costs_counts_for_its_observed_days_only(tmp_path: Path) -> None:
    rows = "chat,2025-02-01,2025-02-28,280\nchat,2025-01-01,2025-01-31,62\nchat,2027-01-01,2027-12-31,9000\n"
    found = channel_costs(histories(tmp_path, COSTS + rows))
    assert found.by_channel["chat"] == pytest.approx(62 + 100)
    assert by_month(found, "chat") == [(0, pytest.approx(62)), (1, pytest.approx(100))]
    assert found.months == 2
    assert found.notes == ("costs: 162.00 of 9,342.00 fall on observed days; the rest is not counted.",)


def test_costs_that_lie_within_the_observation_need_no_note(tmp_path: Path) -> None:
    assert channel_costs(histories(tmp_path, f"{COSTS}chat,2025-01-01,2025-01-31,62\n")).notes == ()


def test_touches_tell_the_cost_of_channels_that_the_table_does_not_name(tmp_path: Path) -> None:
    found = channel_costs(histories(tmp_path, f"{COSTS}chat,2025-01-01,2025-01-31,62\n"))
    assert found.by_channel == {"chat": pytest.approx(62), "forum": 1.5}
    assert channel_costs(histories(tmp_path, None)).by_channel == {"chat": 36.0, "forum": 1.5}


def test_serving_a_customer_costs_a_share_of_the_costs_table_for_each_touch(tmp_path: Path) -> None:
    made = histories(tmp_path, f"{COSTS}chat,2025-01-01,2025-01-31,62\nchat,2025-02-01,2025-02-10,38\n")
    assert made.touchpoints is not None
    served = channel_costs(made).allocated(None, made.touchpoints)
    assert served is not None
    shares = served.by_customer()
    assert shares is not None
    assert dict(shares.iter_rows()) == pytest.approx({1: 50.0, 2: 25.0 + 1.5, 3: 25.0})


def test_margin_comes_with_the_credited_spend_and_is_discounted_at_month_ends() -> None:
    credits = incremental_credits(
        {"chat": 300.0}, outcome="spend", baseline=700.0, total=1000.0, groups={"chat": "care"}
    ).frame
    timing = Timing(
        costs={"chat": np.array([100.0, 0.0])},
        credited={"chat": np.array([100.0, 200.0])},
        discount_rate=0.10,
    )
    about: dict[str, Any] = {"gross_margin": 0.5, "costs": {"chat": 100.0}, "groups": {"chat": "care"}}
    row = returns_of_credit(credits, timing=timing, **about).row(0, named=True)
    month = 1.10 ** (1 / 12)
    assert row["npv"] == pytest.approx(-50 / month + 100 / month**2)
    assert row["payback_period"] == pytest.approx(1 + 50 / 100)
    unknown = returns_of_credit(credits, **about).row(0, named=True)
    assert (unknown["npv"], unknown["payback_period"]) == (None, None)


def test_credit_of_a_period_is_earned_in_the_month_that_it_ends_in(tmp_path: Path) -> None:
    """Margin of 50 in January and 100 in February against a cost of 100 in January."""
    made = histories(tmp_path, f"{COSTS}chat,2025-01-01,2025-01-31,100\n")
    inputs: dict[str, Any] = {name: f"{name}.csv" for name in ("transactions", "touchpoints", "costs")}
    about = {"gross_margin": 0.5, "discount_rate": 0.0}
    config = parse_config(
        {"observation_end": "2025-02-10", "inputs": inputs, "value": about}, base_dir=tmp_path
    )
    credits = incremental_credits(
        {"chat": 300.0}, outcome="spend", baseline=700.0, total=1000.0, groups={}
    ).frame
    ends = [dt.date(2025, 1, 7), dt.date(2025, 1, 31), dt.date(2025, 2, 7)]
    periods = pl.DataFrame(
        {
            "outcome": "spend",
            "level": "channel",
            "channel": "chat",
            "period_end": ends,
            "credit": [60.0, 40.0, 200.0],
        }
    )
    both = {"credits": credits, "credit_periods": periods}
    table = returns_part(config, made, channel_costs(made), both).tables["roi"]
    assert table.select("npv", "payback_period").row(0) == pytest.approx((50.0, 1.5))
    bare = returns_part(config, made, channel_costs(made), {"credits": credits}).tables["roi"]
    assert bare.select("npv", "payback_period").row(0) == (None, None)


def test_what_does_not_pay_back_within_the_observation_has_no_payback() -> None:
    timing = Timing(
        costs={"chat": np.array([0.0, 200.0])}, credited={"chat": np.full(2, 150.0)}, discount_rate=0.0
    )
    credits = incremental_credits(
        {"chat": 300.0}, outcome="spend", baseline=700.0, total=1000.0, groups={}
    ).frame
    row = returns_of_credit(credits, gross_margin=0.5, costs={"chat": 200.0}, groups={}, timing=timing).row(
        0, named=True
    )
    assert row["npv"] == pytest.approx(-50.0)
    assert row["payback_period"] is None
