"""Referrals and audience: whom customers brought and whose words carry, for ranking and never as a sum."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import polars as pl
import pytest

from care.audience import audience_index
from care.community import members_of
from clv.referrals import ENGAGEMENT_SCHEMA, referral_values
from experiments.config import load_config
from experiments.inputs import read_inputs
from experiments.parts.care import find_cases
from experiments.parts.engagement import engagement_part
from experiments.parts.histories import Histories, build_histories
from experiments.parts.matters import AllCases
from histories.money import MONEY_SCALE
from reports.sections.engaged import engaged_ledger
from reports.settings import ReportSettings
from reports.sources import ReportSources

HALF = (0.5, 0.2, 0.8)
WORTH = pl.DataFrame(
    {
        "customer_id": [1, 2, 3, 4, 5],
        "first_purchase": [dt.date(2026, 1, day) for day in (1, 2, 3, 4, 5)],
        "total_value": [10.0, 20.0, 40.0, 80.0, 160.0],
        "customer_lifetime_value": [10.0, 20.0, 40.0, 80.0, 160.0],
    }
)


def people(*by: int | None, **more: object) -> pl.DataFrame:
    return pl.DataFrame({"customer_id": [1, 2, 3, 4, 5], "referred_by": list(by), **more})


def values(frame: pl.DataFrame, anyway: tuple[float, float, float] = HALF) -> dict[int, tuple[float, ...]]:
    found = referral_values(frame, WORTH, anyway=anyway)
    return {row[0]: row[1:] for row in found.iter_rows()}


def test_the_referred_are_worth_what_would_not_have_come_otherwise() -> None:
    assert values(people(None, 1, 1, None, 2)) == {
        1: (2, pytest.approx(30.0), pytest.approx(12.0), pytest.approx(48.0)),
        2: (1, pytest.approx(80.0), pytest.approx(32.0), pytest.approx(128.0)),
    }


def test_who_would_have_come_anyway_saved_the_cost_of_winning_them() -> None:
    cost = [6 * MONEY_SCALE, None, None, 10 * MONEY_SCALE, None]
    (told,) = values(people(None, 1, None, None, None, acquisition_cost=cost), (1.0, 1.0, 1.0)).values()
    assert told[1] == pytest.approx(8.0)


def test_of_oneself_of_nobody_in_a_circle_and_by_who_came_later_counts_for_nothing() -> None:
    assert values(people(1, 99, None, None, None)) == {}
    assert values(people(2, 1, None, None, None)) == {1: (1, 10.0, pytest.approx(4.0), 16.0)}
    assert values(people(5, None, None, None, None)) == {}
    late = [dt.date(2026, 2, 1), *(dt.date(2026, 1, day) for day in (2, 3, 4, 5))]
    assert values(people(None, 1, None, None, None, acquired_at=late)) == {}


POSTS = pl.DataFrame(
    {
        "post_id": ["a", "b", "c", "d", "e"],
        "in_reply_to": [None, "a", "a", "b", "a"],
        "at": [dt.datetime(2026, 1, 1, hour) for hour in range(5)],
        "is_customer": [True, True, False, True, True],
        "key": ["customer:1", "customer:2", "brand", "customer:1", "customer:1"],
        "customer_id": [1, 2, None, 1, 1],
        "followers": [10, 500, None, 12, 12],
        "likes": [1, 4, 9, 1, None],
    }
)


def test_answers_to_other_customers_count_and_those_to_oneself_or_of_the_brand_do_not() -> None:
    found = members_of(POSTS)
    assert found.to_dicts() == [
        {"customer_id": 1, "posts": 3, "followers": 12, "likes": 2, "shares": None, "answers": 1},
        {"customer_id": 2, "posts": 1, "followers": 500, "likes": 4, "shares": None, "answers": 1},
    ]
    assert members_of(POSTS.drop("customer_id")) is None
    private = POSTS.with_columns(visibility=pl.Series(["public", "private", None, "public", "public"]))
    assert members_of(private)["customer_id"].to_list() == [1]


def test_an_order_that_other_weights_turn_round_is_not_firm() -> None:
    alike = pl.DataFrame(
        {"customer_id": range(4), "posts": 1, "followers": [1, 2, 3, 4], "likes": [1, 2, 3, 4],
         "shares": [1, 2, 3, 4], "answers": [1, 2, 3, 4]}
    )  # fmt: skip
    found, firm = audience_index(alike)
    assert firm == 1.0
    assert found["audience_index"].to_list() == pytest.approx([25, 50, 75, 100])
    torn = alike.with_columns(followers=pl.lit(None, pl.Int64), shares=pl.lit(None, pl.Int64))
    torn = torn.with_columns(answers=pl.Series([4, 3, 2, 1]))
    _, firm = audience_index(torn)
    assert firm == 0.0  # all alike by these weights, and in order by any other


def test_a_run_ranks_by_value_and_with_referrals_and_says_what_it_assumed(tmp_path: Path) -> None:
    files = {
        "transactions": "customer_id,timestamp,amount\n1,2026-01-01,10\n2,2026-01-02,20\n",
        "customers": "customer_id,acquired_at,referred_by\n1,2026-01-01,\n2,2026-01-02,1\n3,2026-01-03,1\n",
        "assumptions": "name,value,low,high,source,owner,set_on,expires\n"
        "would_have_come_anyway,0.5,0.2,0.8,survey,cmo,2026-01-01,2027-01-01\n",
    }
    lines = ["observation_end = 2026-03-31", "[inputs]"]
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
        lines.append(f'{name} = "{name}.csv"')
    (tmp_path / "c.toml").write_text("\n".join(lines), encoding="utf-8")
    config = load_config(tmp_path / "c.toml")
    histories = build_histories(config, read_inputs(config))
    found = engagement_part(histories, WORTH.head(2), find_cases(config, histories))
    (row,) = found.tables["engagement"].to_dicts()
    assert (row["customer_id"], row["referred"], row["referral_value"]) == (1, 2, 10.0)
    assert "2 customers came by 1 others, worth 10 [4, 16] if 50% of them" in found.notes[0]
    assert not engagement_part(histories, None, None).tables


def test_answers_to_other_customers_are_worth_the_contacts_that_they_spare() -> None:
    """One answer of each at 4 a contact; a quarter to three quarters would have been answered anyway."""
    rows = {"name": ["would_have_been_answered_anyway"], "value": [0.5], "low": [0.25], "high": [0.75]}
    price = {"kpi": ["cost_per_contact"], "value": [4.0]}
    figures = pl.DataFrame(price).with_columns(
        pl.lit("(all)").alias(cut) for cut in ("channel", "team", "segment", "period")
    )

    def found(**assumed: object) -> tuple[dict[str, object], tuple[str, ...]]:
        table = pl.LazyFrame(assumed) if assumed else None
        histories = SimpleNamespace(
            customers=None,
            table=lambda name: table,
            inputs=SimpleNamespace(observation_end=dt.date(2026, 3, 31)),
        )
        made = engagement_part(
            cast("Histories", histories),
            WORTH,
            cast("AllCases", SimpleNamespace(members=members_of(POSTS))),
            figures,
        )
        return made.tables["engagement"].filter(customer_id=1).row(0, named=True), made.notes

    row, notes = found(**rows)
    assert [row[f"knowledge_value{end}"] for end in ("", "_low", "_high")] == [2.0, 1.0, 3.0]
    assert "answered others 2 times, worth 4 [2, 6] if 50%" in notes[-1]
    row, notes = found()
    assert row["knowledge_value"] is None
    assert "needs the assumption would_have_been_answered_anyway" in notes[-1]


def test_the_report_draws_what_is_worth_beside_purchases_and_who_moves_up() -> None:
    rows = {
        "customer_id": [1, 2], "customer_lifetime_value": [10.0, 90.0], "referred": [3, None],
        "referral_value": [120.0, None], "referral_value_low": [60.0, None],
        "referral_value_high": [180.0, None], "rank_by_value": [2, 1], "rank_engaged": [1, 2],
    }  # fmt: skip
    table = pl.DataFrame(rows).with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in ENGAGEMENT_SCHEMA.items() if name not in rows
    )
    made = ReportSources(
        tables={"engagement": table}, manifest={"currency": "GBP"}, model={}, settings=ReportSettings(),
        gross_margin=None,
    )  # fmt: skip
    drawn = engaged_ledger(made)
    assert drawn is not None
    assert [(row.name, row.cells[1]) for row in drawn.rows] == [
        ("Their own purchases", 100.0), ("Whom they brought", 120.0)
    ]  # fmt: skip
    assert drawn.rows[1].detail == "3 customers brought, by 1 customer"
    assert drawn.foot.startswith("Of the first 1, 100% are others than by purchases alone")
