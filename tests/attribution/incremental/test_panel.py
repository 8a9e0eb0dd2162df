"""Histories to panel: every touch, act, problem and purchase in its customer's period, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from histories.errors import ConfigError, DataError
from histories.exits import exit_shares
from histories.panel import Panel
from histories.panel_building import build_panel
from histories.period_index import period_of
from histories.purchases import build_purchases
from histories.reading.sources import Channel
from histories.renewals import Renewal
from histories.simulation.company import simulate_company
from histories.terms import Term
from histories.touchpoints import build_touchpoints

END = date(2026, 3, 31)
CHANNELS = {
    "chat": Channel(group="care", origin="customer"),
    "newsletter": Channel(origin="firm"),
}


def at(text: str) -> pl.Expr:
    return pl.lit(text).str.to_datetime("%Y-%m-%d %H:%M", time_unit="us")


def touches(*rows: tuple[int, str, str, str, str | None]) -> pl.LazyFrame:
    """Touchpoints of (customer, time, channel, kind, case)."""
    names = ["customer_id", "timestamp", "channel", "kind", "case_id"]
    frame = pl.LazyFrame(rows, schema=names, orient="row").with_columns(pl.col("case_id").cast(pl.String))
    return frame.with_columns(pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M", time_unit="us"))


def purchases(*rows: tuple[int, str, int]) -> pl.LazyFrame:
    frame = pl.LazyFrame(rows, schema=["customer_id", "timestamp", "amount"], orient="row")
    frame = frame.with_columns(
        pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M", time_unit="us"),
        (pl.col("amount") * 10_000).cast(pl.Int64),
    )
    return build_purchases(frame)


CASES = pl.LazyFrame(
    {
        "case_id": ["a", "b"],
        "customer_id": [1, 1],
        "opened_at": ["2026-01-05 10:00", "2026-02-05 10:00"],
        "first_response_at": ["2026-01-05 11:00", None],
        "csat": [4.0, 2.0],
    }
).with_columns(pl.col("opened_at", "first_response_at").str.to_datetime("%Y-%m-%d %H:%M", time_unit="us"))

TOUCHES = touches(
    (1, "2026-01-05 10:00", "chat", "care", "a"),
    (1, "2026-02-05 10:00", "chat", "care", "b"),
    (1, "2026-02-06 10:00", "newsletter", "marketing", None),
    (2, "2026-03-31 23:00", "newsletter", "marketing", None),
    (2, "2026-03-31 23:30", "newsletter", "marketing", None),
)
PURCHASES = purchases((1, "2026-01-01 09:00", 30), (1, "2026-03-02 09:00", 12), (2, "2026-02-10 09:00", 5))


def made(**changes: Any) -> Panel:
    arguments: dict[str, Any] = {
        "observation_end": END,
        "channels": ["chat", "newsletter"],
        "origins": {name: channel.origin for name, channel in CHANNELS.items()},
        "groups": {"chat": "care"},
        "contractual": False,
        "cases": CASES,
        **changes,
    }
    customers = arguments.pop("customers", None)
    touchpoints = build_touchpoints(TOUCHES, channels=CHANNELS, cases=CASES)
    return build_panel(touchpoints, PURCHASES, customers, **arguments)


def test_only_the_answered_contact_is_a_treatment_and_both_are_problems() -> None:
    panel = made()
    assert panel.touches[:, :, 0].tolist() == [[1, 0, 0], [0, 0, 0]]
    assert panel.problems.tolist() == [[1, 1, 0], [0, 0, 0]]
    assert panel.own_acts.tolist() == [[1, 1, 0], [0, 0, 0]]
    assert panel.answered == (0.5, None)


def test_what_the_firm_sends_is_a_touch_and_no_act_of_the_customer() -> None:
    panel = made()
    assert panel.touches[:, :, 1].tolist() == [[0, 1, 0], [0, 0, 1]]
    assert panel.own_acts[1].sum() == 0


def test_messages_of_a_day_are_one_touch_one_act_and_one_problem() -> None:
    talk = [(1, f"2026-02-10 10:{minute}", "chat", "community", None) for minute in (10, 12, 15)]
    later = (1, "2026-02-11 09:00", "chat", "community", None)
    complaint = [(1, f"2026-03-10 10:{minute}", "chat", "care", None) for minute in (10, 12, 15)]
    panel = build_panel(
        build_touchpoints(touches(*talk, later, *complaint), channels=CHANNELS),
        PURCHASES,
        observation_end=END,
        channels=["chat", "newsletter"],
        origins={name: channel.origin for name, channel in CHANNELS.items()},
        groups={},
        contractual=False,
    )
    assert panel.touches[0, :, 0].tolist() == [0, 2, 0]
    assert panel.own_acts[0].tolist() == [0, 2, 1]
    assert panel.problems[0].tolist() == [0, 0, 1]


def test_the_channel_through_which_customers_came_is_a_covariate() -> None:
    came = [date(2026, 1, 5)] * 40
    customers = pl.LazyFrame({"customer_id": list(range(40)), "acquired_at": came})
    written = build_touchpoints(
        touches(
            *((k, "2026-01-05 10:00", "chat", "community", None) for k in range(10)),
            *((k, "2026-01-04 10:00", "newsletter", "marketing", None) for k in range(39)),
            (20, "2026-01-06 10:00", "chat", "community", None),
            (21, "2025-11-30 10:00", "chat", "community", None),
        ),
        channels=CHANNELS,
    )
    known, unknown = (
        build_panel(
            written,
            PURCHASES,
            people,
            observation_end=END,
            channels=["chat", "newsletter"],
            origins={name: channel.origin for name, channel in CHANNELS.items()},
            groups={},
            contractual=False,
        )
        for people in (customers, customers.drop("acquired_at"))
    )
    assert known.covariate_names == ("came through chat",)
    assert known.covariates[:, 0].tolist() == [1.0] * 10 + [0.0] * 30
    assert unknown.covariates.shape == (40, 0)


def test_the_last_sign_of_each_period_keeps_its_moment() -> None:
    panel = made()
    assert panel.last_moment is not None
    day = 24 * 60
    january, march = (4 * day + 10 * 60) / (31 * day), (1 * day + 9 * 60) / (31 * day)
    february = (4 * day + 10 * 60) / (28 * day)
    assert panel.last_moment[0] == pytest.approx([january, february, march], abs=1e-6)
    assert panel.last_moment[1] == pytest.approx([0, (9 * day + 9 * 60) / (28 * day), 0], abs=1e-6)


def test_moments_of_touches_are_counted_over_those_who_were_there_for_the_whole_period() -> None:
    customers = pl.LazyFrame(
        {
            "customer_id": [1, 2],
            "acquired_at": [date(2025, 1, 1), date(2026, 3, 12)],
            "ended_at": [date(2026, 2, 20), None],
        }
    )
    silent, contractual = made(), made(customers=customers, contractual=True)
    assert silent.touch_moments is not None
    assert silent.touch_moments.sum(axis=2).tolist() == [[1, 0], [0, 1], [0, 2]]
    assert silent.touch_moments[0, 0, int(64 * (4 + 10 / 24) / 31)] == 1
    assert silent.touch_moments[2, 1, 63] == 2
    assert contractual.touch_moments is not None
    assert contractual.touch_moments.sum(axis=2).tolist() == [[1, 0], [0, 0], [0, 0]]


def test_each_customers_touches_of_a_period_keep_their_mean_moment() -> None:
    panel = made()
    assert panel.touch_share is not None
    day = 24 * 60
    expected = [
        [[(4 * day + 600) / (31 * day), 0], [0, (5 * day + 600) / (28 * day)], [0, 0]],
        [[0, 0], [0, 0], [0, 1 - 45 / (31 * day)]],
    ]
    np.testing.assert_allclose(panel.touch_share / 255, expected, atol=0.5 / 255)
    late = replace(panel, entry=np.array([0, 2])).take(np.array([1]))
    assert late.touch_share is not None
    assert late.touch_share[0, 2, 1] == 255


def test_touches_until_the_renewal_of_each_customer_are_counted_apart() -> None:
    customers = pl.LazyFrame(
        {"customer_id": [1, 2], "acquired_at": [date(2025, 5, 5), None], "ended_at": [date(2026, 3, 5), None]}
    )
    panel = made(customers=customers, contractual=True, renewal=Renewal(cycle=0, offset=0))
    assert panel.renewal_share is not None
    assert panel.before_renewal is not None
    assert panel.renewal_share[0] == pytest.approx([5 / 31, 5 / 28, 5 / 31])
    assert panel.renewal_share[1].tolist() == [0, 0, 0]
    assert panel.touches[0].tolist() == [[1, 0], [0, 1], [0, 0]]
    assert panel.before_renewal[0].tolist() == [[1, 0], [0, 0], [0, 0]]
    assert made(customers=customers, contractual=True).before_renewal is None


def test_the_panel_knows_how_far_the_end_of_each_customers_term_is() -> None:
    customers = pl.LazyFrame(
        {"customer_id": [1, 2], "acquired_at": [date(2025, 9, 5), None], "ended_at": [date(2026, 3, 4), None]}
    )
    panel = made(customers=customers, contractual=True, term=Term(months=6, offset=-1))
    assert panel.time_covariates is not None
    assert panel.time_covariates[0].tolist() == [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    assert not panel.time_covariates[1].any()
    assert panel.time_covariate_names[0] == "term ends"
    assert "a term of 6 months ends" in panel.notes[0]
    assert made(customers=customers, contractual=True).time_covariates is None


def test_touches_that_stop_with_the_customer_are_signs_of_life() -> None:
    panel = made(stops=("newsletter",))
    assert panel.own_acts.tolist() == [[1, 2, 0], [0, 0, 1]]
    assert panel.tells_life.tolist() == [True, True]
    assert panel.last_moment is not None
    assert panel.last_moment[1, 2] == pytest.approx((30 + 23.5 / 24) / 31, abs=1e-6)


def test_spend_is_in_currency_and_rows_start_with_the_first_sign() -> None:
    panel = made()
    assert panel.spend.tolist() == [[30, 0, 12], [0, 5, 0]]
    assert panel.purchases.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert panel.entry.tolist() == [0, 1]
    assert panel.at_risk.tolist() == [[True, True, True], [False, True, True]]
    assert panel.exit is None
    assert panel.acquisition is not None
    assert panel.acquisition.tolist() == [30, 5]


def test_a_customer_who_came_earlier_has_no_purchase_of_arrival() -> None:
    customers = pl.LazyFrame({"customer_id": [1, 2], "acquired_at": [date(2024, 5, 1), date(2026, 2, 10)]})
    panel = made(customers=customers)
    assert panel.acquisition is not None
    assert panel.acquisition.tolist() == [0, 5]


def test_contractual_customers_leave_in_the_period_of_their_end() -> None:
    customers = pl.LazyFrame(
        {
            "customer_id": [1, 2, 3],
            "acquired_at": [date(2025, 6, 1), date(2026, 2, 1), date(2026, 4, 2)],
            "ended_at": [date(2026, 2, 20), None, None],
        }
    )
    panel = made(contractual=True, customers=customers)
    assert panel.exit is not None
    assert panel.exit.tolist() == [1, 3]  # customer 3 arrives after the end
    assert panel.entry.tolist() == [0, 1]
    assert panel.leaves.tolist() == [[False, True, False], [False, False, False]]
    assert panel.spend[0].tolist() == [30, 0, 0]  # nothing after the end of the relation


@pytest.mark.parametrize(
    ("ended", "share"), [(date(2026, 2, 14), [0.5, 1.0]), (date(2026, 2, 28), None), (date(2026, 4, 9), None)]
)
def test_the_share_of_the_last_period_comes_from_the_day(ended: date, share: list[float] | None) -> None:
    customers = pl.LazyFrame({"customer_id": [1, 2], "ended_at": [ended, None]})
    found = made(contractual=True, customers=customers).exit_share
    assert (None if found is None else found.tolist()) == share


def test_simulated_companies_leave_at_the_end_of_the_month() -> None:
    company = simulate_company(scenario="contractual", customers=80, months=8, seed=3)
    ended = company.books.customers["ended_at"]
    found = exit_shares(ended, period="month", observation_end=company.calendar.last_day)
    assert set(found.drop_nulls()) == {1.0}


def test_text_becomes_indicators_and_satisfaction_becomes_a_proxy() -> None:
    customers = pl.LazyFrame({"customer_id": [1, 2], "region": ["north", "south"], "income": [1.5, None]})
    panel = made(customers=customers, confounders=["region", "income", "csat"])
    assert panel.covariate_names[0].startswith("region=")
    assert panel.covariates[:, 0].sum() == 1
    assert np.isnan(panel.covariates[1, 1])
    assert panel.proxy_names == ("csat",)
    assert panel.proxies[0, 0] == 3.0  # mean of 4 and 2
    assert np.isnan(panel.proxies[1, 0])


@pytest.mark.parametrize(("period", "periods"), [("week", 13), ("month", 3), ("quarter", 1)])
def test_periods_end_with_the_observation(period: str, periods: int) -> None:
    panel = made(period=period)
    assert panel.n_periods == periods
    assert panel.touches[1, -1, 1] == 1
    assert panel.spend.sum() == 47


def test_an_unknown_confounder_names_the_nearest_column() -> None:
    customers = pl.LazyFrame({"customer_id": [1], "region": ["north"]})
    with pytest.raises(ConfigError, match='did you mean "region"'):
        made(customers=customers, confounders=["regoin"])


def test_a_contractual_company_needs_dates_of_leaving() -> None:
    with pytest.raises(ConfigError, match="ended_at"):
        made(contractual=True)


def test_an_empty_history_is_refused() -> None:
    nothing = build_touchpoints(TOUCHES, channels=CHANNELS, cases=CASES).filter(pl.lit(value=False))
    with pytest.raises(DataError, match="no purchase and no touchpoint"):
        build_panel(
            nothing,
            PURCHASES.filter(pl.lit(value=False)),
            observation_end=END,
            channels=["chat"],
            origins={},
            groups={},
            contractual=False,
        )


def test_the_order_of_rows_does_not_matter() -> None:
    company = simulate_company(customers=80, months=8, seed=3)
    sources = {name: Channel(origin="customer") for name in company.truth.channels}
    books = company.books
    minor = books.transactions.drop_nulls("customer_id").with_columns(
        (pl.col("amount", "margin") * 10_000).round().cast(pl.Int64)
    )

    def panel_of(seed: int) -> Panel:
        touched, bought = (
            table.sample(fraction=1.0, shuffle=True, seed=seed) for table in (books.touchpoints, minor)
        )
        return build_panel(
            build_touchpoints(touched.lazy(), channels=sources, cases=books.cases.lazy()),
            build_purchases(bought.lazy()),
            books.customers.lazy(),
            observation_end=company.calendar.last_day,
            channels=company.truth.channels,
            origins={},
            groups={},
            contractual=False,
        )

    first, second = panel_of(1), panel_of(2)
    for name in ("touches", "own_acts", "problems", "spend", "purchases", "margin", "entry"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.touches.sum() > 0
    bought = build_purchases(minor.lazy()).select(pl.col("amount").sum()).collect().item()
    assert first.spend.sum() == pytest.approx(bought / 10_000, rel=1e-9)


def on(*days: str) -> pl.Series:
    return pl.Series(days).str.to_datetime("%Y-%m-%d %H:%M", time_unit="us")


def test_cases_are_problems_and_acts_of_those_whom_no_contact_shows() -> None:
    alone = pl.LazyFrame(
        {
            "case_id": ["x", "y"],
            "customer_id": [2, 2],
            "opened_at": on("2026-02-01 08:00", "2026-03-09 08:00"),
        }
    )
    panel = made(cases=pl.concat([CASES, alone], how="diagonal"))
    assert panel.problems.tolist() == [[1, 1, 0], [0, 1, 1]]
    assert panel.own_acts[1].tolist() == [0, 1, 1]


def test_a_case_is_one_problem_however_it_is_linked_to_its_contact() -> None:
    same_day = pl.LazyFrame({"case_id": ["z"], "customer_id": [1], "opened_at": on("2026-01-05 18:00")})
    unnamed = touches((1, "2026-01-05 10:00", "chat", "care", None))
    touchpoints = build_touchpoints(unnamed, channels=CHANNELS, cases=same_day)
    panel = build_panel(
        touchpoints,
        PURCHASES,
        observation_end=END,
        channels=["chat"],
        origins={"chat": "customer"},
        groups={},
        contractual=False,
        cases=same_day,
    )
    assert panel.problems.sum() == 1
    assert made().problems.tolist() == [[1, 1, 0], [0, 0, 0]]  # linked by id


def test_nothing_counts_after_the_end_of_a_contract() -> None:
    ended = pl.LazyFrame({"customer_id": [1, 2], "ended_at": [date(2026, 3, 1), date(2026, 3, 31)]})
    panel = made(customers=ended, contractual=True)
    assert panel.purchases[0].tolist() == [1, 0, 0]
    assert panel.touches[1, 2].tolist() == [0, 1]  # on the last day, late in the evening
    assert panel.notes == (
        "0 touches and 1 purchases after the end of their contract do not count in incremental credit",
    )


def test_a_month_cut_short_is_left_out_with_a_note() -> None:
    panel = made(observation_end=date(2026, 3, 3))
    assert panel.n_periods == 2
    assert panel.purchases.sum() == 2
    assert panel.notes == (
        "the month of 2026-03-03 is observed in part only: incremental credit is of the months up to "
        "2026-02-28",
    )
    assert made(observation_end=date(2026, 3, 30)).n_periods == 3  # all but a day is a month
    assert period_of(date(2026, 2, 1), period="month", observation_end=date(2026, 3, 3)) == -1


def test_who_comes_within_a_month_is_exposed_to_the_rest_of_it() -> None:
    arrived = pl.LazyFrame({"customer_id": [1, 2], "acquired_at": [date(2025, 12, 9), date(2026, 2, 15)]})
    panel = made(customers=arrived)
    assert panel.entry_share is not None
    assert panel.entry_share.tolist() == [1.0, 0.5]
    assert panel.exposure.tolist() == [[1, 1, 1], [0, 0.5, 1]]


def test_who_comes_and_goes_within_a_month_is_exposed_to_the_days_between() -> None:
    here = pl.LazyFrame(
        {"customer_id": [2], "acquired_at": [date(2026, 2, 8)], "ended_at": [date(2026, 2, 21)]}
    )
    panel = made(customers=here, contractual=True)
    row = list(panel.customer_ids).index(2)  # type: ignore[arg-type]
    assert panel.exposure[row, 1] == pytest.approx(0.5)
