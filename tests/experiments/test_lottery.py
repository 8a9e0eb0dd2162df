"""A lottery of priority: its arms, what it finds, how it slows the others, the table that is read after."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import tomllib

import polars as pl
import pytest

from attribution.effects.design import EffectDesign
from care.evidence import CareEffect
from experiments.lottery import arm_of, effect_entry, lottery_assignments, plan_lottery
from histories.errors import ConfigError, DataError
from tests.care.facts import effect_row, facts

NAIVE = effect_row("spend", 3.0, 1.5, estimator="naive", estimand="ATE", n_treated=800, n_control=800)


def test_the_rule_is_one_that_any_desk_can_work_out() -> None:
    digest = hmac.new(b"a key", b"case 7", hashlib.sha256).hexdigest()
    number = int(digest[:8], 16) / 2**32
    assert arm_of("case 7", "a key", number + 1e-6) == "priority"
    assert arm_of("case 7", "a key", number - 1e-6) == "usual"
    assert (
        arm_of("case 7", "another", number + 1e-6) != arm_of("case 7", "a key", number + 1e-6) or number > 0.5
    )


def test_what_is_found_follows_from_spread_share_and_customers() -> None:
    """44 % in time today: of a fifth first all are, of the others .24 / .8 = 30 %."""
    plan = plan_lottery(facts([NAIVE]), share=0.2)
    assert (plan.in_time_now, plan.in_time_priority) == (0.44, 1.0)
    assert plan.in_time_usual == pytest.approx(0.30)
    assert plan.spread == pytest.approx(
        CareEffect(name="x", outcome="spend", std_error=1.5, sizes=(800, 800)).spread
    )
    rows = {row["weeks"]: row for row in plan.by_weeks.iter_rows(named=True)}
    assert list(rows) == [2]  # twenty-six days were seen
    n = rows[2]["customers"]
    expected = (1.959964 + 0.841621) * plan.spread * (1 / (0.2 * n) + 1 / (0.8 * n)) ** 0.5
    assert rows[2]["difference"] == pytest.approx(expected, rel=0.01)  # Welch's t is a little wider
    assert rows[2]["effect"] == pytest.approx(rows[2]["difference"] / 0.7)


def test_each_customer_has_the_arm_of_the_first_case_since_the_start() -> None:
    cases = facts().cases.with_columns(customer_id=pl.int_range(pl.len()) % 50)
    day = dt.date(2026, 3, 9)
    table = lottery_assignments(cases, name="first", key="a long key", share=0.5, since=day)
    assert table.height == table["customer_id"].n_unique() == 50
    assert table["assigned_at"].min() == day
    first = cases.filter(pl.col("waiting_since").dt.date() >= day).sort("waiting_since", "case_id")
    for customer, arm in table.select("customer_id", "arm").iter_rows():
        case = first.filter(pl.col("customer_id") == customer)["case_id"][0]
        assert arm == arm_of(case, "a long key", 0.5)


def test_what_cannot_be_planned_is_said() -> None:
    with pytest.raises(ConfigError, match=r"share 1; allowed: between 0 and 1"):
        plan_lottery(facts([NAIVE]), share=1.0)
    with pytest.raises(ConfigError, match=r"nothing says how margin varies|no effect on .margin."):
        plan_lottery(facts([NAIVE]), share=0.2, outcome="margin")
    with pytest.raises(DataError, match="no case of a known customer"):
        plan_lottery(facts([NAIVE], known=0.0), share=0.2)
    with pytest.raises(ConfigError, match="the key has 5 characters"):
        lottery_assignments(facts().cases, name="x", key="short", share=0.5, since=dt.date(2026, 3, 9))
    with pytest.raises(DataError, match="was opened since 2030-01-01"):
        lottery_assignments(facts().cases, name="x", key="long enough", share=0.5, since=dt.date(2030, 1, 1))


def test_the_entry_that_reads_a_lottery_is_a_configuration() -> None:
    entry = effect_entry(facts([NAIVE]), path="runs/arms.csv", name='the "first"', share=0.2, outcome="spend")
    told = tomllib.loads(entry)
    assert told["inputs"] == {"assignments": "runs/arms.csv"}
    (design,) = (EffectDesign(**one) for one in told["effects"])
    assert design.name == design.treatment.experiment == 'the "first"'
    assert design.treatment.shares == {"priority": 0.2, "usual": 0.8}
    assert (design.clock, design.treatment.first_response_minutes) == ("business", 60.0)
