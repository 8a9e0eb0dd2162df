"""From purchases to the customers table, in one call."""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from clv.customers import acquisition_table, historic_margin
from clv.fitting import fit_models
from clv.newcomers import NEWCOMERS_SCHEMA
from clv.outlook import Company, look_ahead
from clv.settings import ValueSettings
from clv.tables import CUSTOMERS_SCHEMA, VALIDATION_SCHEMA
from clv.valuation import CustomerValues, value_customers
from histories.errors import DataError, ModelError
from tests.clv.data import CALIBRATION_END, OBSERVATION_END, cdnow_purchases, cdnow_summary

SETTINGS = ValueSettings(
    models=("bg_nbd", "mbg_nbd"), gross_margin=0.45, posterior_draws=300, challenger=False, origins=2
)


def value_cdnow(**changes: object) -> CustomerValues:
    arguments: dict[str, object] = {
        "settings": SETTINGS,
        "observation_end": OBSERVATION_END,
        "calibration_end": CALIBRATION_END,
        "time_unit": "week",
        "currency": "USD",
        "seed": 1,
    }
    return value_customers(cdnow_purchases().lazy(), **(arguments | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def cdnow() -> CustomerValues:
    costs = cdnow_purchases().select("customer_id").unique(maintain_order=True)
    customers = costs.with_columns(
        acquisition_channel=pl.when(pl.col("customer_id") % 2 == 0)
        .then(pl.lit("search"))
        .otherwise(pl.lit("social")),
        acquisition_cost=pl.when(pl.col("customer_id") % 10 != 0).then(pl.lit(50_000, dtype=pl.Int64)),
    )
    serving = costs.filter(pl.col("customer_id") % 3 == 0).with_columns(cost=pl.lit(12.0))
    return value_cdnow(customers=customers, cost_to_serve=serving)


def test_every_customer_has_one_row_in_the_published_columns(cdnow: CustomerValues) -> None:
    table = cdnow.customers
    assert table.columns == list(CUSTOMERS_SCHEMA)
    assert table.height == table["customer_id"].n_unique() == 2357
    for name, dtype in CUSTOMERS_SCHEMA.items():
        assert table.schema[name] == (pl.Int64() if name == "customer_id" else dtype), name


def test_the_figures_of_a_row_hang_together(cdnow: CustomerValues) -> None:
    table = cdnow.customers
    assert table["probability_alive"].is_between(0.0, 1.0).all()
    assert table["churn_probability"].is_between(0.0, 1.0).all()
    assert (table["expected_purchases_low"] <= table["expected_purchases_high"]).all()
    inside = table["expected_purchases"].is_between(
        table["expected_purchases_low"] - 1e-9, table["expected_purchases_high"] + 1e-9
    )
    assert inside.mean() > 0.95  # type: ignore[operator]
    assert table.select(
        (pl.col("total_value") - pl.col("historic_value") - pl.col("customer_lifetime_value")).abs().max()
    ).item() == pytest.approx(0.0, abs=1e-9)
    known = table.filter(pl.col("acquisition_cost").is_not_null() & pl.col("cost_to_serve").is_not_null())
    net = pl.col("customer_lifetime_value") - pl.col("acquisition_cost") - pl.col("cost_to_serve")
    assert known.select((pl.col("net_lifetime_value") - net).abs().max()).item() == pytest.approx(
        0.0, abs=1e-9
    )
    assert (table["expected_next_purchase"].drop_nulls() > OBSERVATION_END).all()
    assert table.filter(pl.col("frequency") == 0)["monetary_value"].is_null().all()


def test_deciles_follow_value(cdnow: CustomerValues) -> None:
    means = cdnow.customers.group_by("decile").agg(pl.col("customer_lifetime_value").mean()).sort("decile")
    assert means["decile"].to_list() == list(range(1, 11))
    assert means["customer_lifetime_value"].is_sorted(descending=True)


def test_the_holdout_error_is_the_published_one(cdnow: CustomerValues) -> None:
    row = cdnow.validation.row(
        by_predicate=(pl.col("model") == "bg_nbd") & (pl.col("metric") == "total_predicted"), named=True
    )
    assert row["value"] == pytest.approx(1653.4, abs=0.05)
    assert row["origin"] == CALIBRATION_END
    assert row["n"] == 2357
    assert dict(cdnow.validation.schema) == VALIDATION_SCHEMA


def test_the_model_card_keeps_both_fits_with_lifetimes_likelihood(cdnow: CustomerValues) -> None:
    card = cdnow.model
    assert card["calibration"]["bg_nbd"]["log_likelihood"] == pytest.approx(-9582.429, abs=5e-4)
    assert card["calibration"]["bg_nbd"]["lifetimes_log_likelihood"] == pytest.approx(-9582.429, abs=5e-4)
    assert card["final"]["bg_nbd"]["relative_difference"] < 1e-9
    assert card["final"]["bg_nbd"]["log_likelihood"] != card["calibration"]["bg_nbd"]["log_likelihood"]
    assert card["spend"]["relative_difference"] < 1e-9
    assert card["chosen"] == "stack"
    assert card["purchase_model"] == "mbg_nbd"
    assert card["posterior"]["purchases"]["k_hat"] < 0.7


def test_unknown_costs_count_as_nothing_and_are_counted(cdnow: CustomerValues) -> None:
    assert any("acquisition cost is unknown for" in w and "of 2357" in w for w in cdnow.warnings)
    unknown = cdnow.customers.filter(pl.col("acquisition_cost").is_null() & pl.col("cost_to_serve").is_null())
    assert unknown.height > 0
    assert (unknown["net_lifetime_value"] == unknown["customer_lifetime_value"]).all()


def test_channels_have_their_cost_their_return_and_their_newcomers(cdnow: CustomerValues) -> None:
    assert set(cdnow.acquisition["acquisition_channel"]) == {"search", "social"}
    assert (cdnow.acquisition["acquisition_cost"] == 5.0).all()
    assert cdnow.acquisition["customers"].sum() == 2357
    ratio = cdnow.acquisition["lifetime_value"] / cdnow.acquisition["acquisition_cost"]
    assert cdnow.acquisition["ltv_to_cac"].to_list() == pytest.approx(ratio.to_list())
    new = cdnow.newcomers
    assert dict(new.schema) == NEWCOMERS_SCHEMA
    assert new["own_model"].all()
    assert (new["payback_months"] == 0.0).all()  # the first purchase's margin alone is above 5 dollars


def test_cohorts_show_what_happened_beside_what_the_model_expects(cdnow: CustomerValues) -> None:
    table = cdnow.cohorts
    assert table.filter(pl.col("month") == 0)["customers"].sum() == 2357
    assert table["retention_observed"].is_between(0.0, 1.0).all()
    through = table.filter(pl.col("month") < 15)
    assert through["purchases_expected"].sum() == pytest.approx(through["purchases_observed"].sum(), rel=0.1)


def test_the_same_seed_gives_the_same_table() -> None:
    settings = ValueSettings(models=("bg_nbd",), posterior_draws=100, challenger=False, origins=1)
    first, second = (value_cdnow(settings=settings).customers for _ in range(2))
    assert first.equals(second)


def test_without_draws_there_are_no_intervals_and_the_rest_stays() -> None:
    plain = value_cdnow(
        settings=ValueSettings(models=("bg_nbd",), posterior_draws=0, challenger=False, origins=1)
    )
    assert plain.customers["expected_purchases_low"].null_count() == 2357
    assert plain.customers["customer_lifetime_value"].null_count() == 0
    assert plain.model["posterior"]["reason"] == "posterior_draws = 0"


def test_a_model_that_fails_is_listed_while_another_succeeds() -> None:
    both = value_cdnow(
        settings=ValueSettings(models=("bg_bb", "bg_nbd"), posterior_draws=0, challenger=False, origins=1)
    )
    assert both.model["forecast"]["weights"] == {"bg_nbd": 1.0}
    assert "purchase opportunities" in both.model["failed"]["bg_bb"]
    assert any(w.startswith("bg_bb was left out") for w in both.warnings)


def test_when_every_model_fails_each_is_named_with_its_reason() -> None:
    with pytest.raises(ModelError, match=r"no purchase model could be fitted\. bg_bb: "):
        value_cdnow(settings=ValueSettings(models=("bg_bb",), posterior_draws=0))


def test_no_purchases_are_refused() -> None:
    with pytest.raises(DataError, match="no purchases up to 1990-01-01"):
        value_cdnow(observation_end=date(1990, 1, 1), calibration_end=None)


def test_a_forecast_asks_for_nothing_that_was_known_later_than_its_origin() -> None:
    asked: list[date] = []

    def known_at(day: date) -> pl.LazyFrame:
        asked.append(day)
        return cdnow_purchases().lazy()

    settings = ValueSettings(models=("bg_nbd", "mbg_nbd"))
    summary = cdnow_summary()
    company = Company.of(
        known_at, summary["customer_id"], settings=settings, first=date(1997, 1, 1), time_unit="week"
    )
    fits, _ = fit_models(settings.models, summary, penalizer=0.0)
    outlook = look_ahead(company, summary, fits, origin=CALIBRATION_END, days=273)
    assert outlook is not None
    assert len(outlook.stack.past) > 0
    assert max(asked) == CALIBRATION_END


def test_the_books_of_three_customers_by_hand() -> None:
    summary = pl.DataFrame(
        {
            "historic_revenue": [100.0, 50.0, 30.0],
            "historic_margin": [40.0, None, 12.0],
        }
    )
    earned, share = historic_margin(summary, gross_margin=None)
    assert share == pytest.approx(52.0 / 130.0)
    assert earned.to_list() == pytest.approx([40.0, 20.0, 12.0])
    earned, share = historic_margin(summary, gross_margin=0.5)
    assert share == 0.5
    assert earned.to_list() == pytest.approx([40.0, 25.0, 12.0])


def test_return_on_acquisition_by_hand() -> None:
    table = acquisition_table(
        pl.DataFrame(
            {
                "acquisition_channel": ["a", "a", "a"],
                "cohort": [date(2026, 1, 1)] * 3,
                "acquisition_cost": [10.0, 30.0, None],
                "total_value": [60.0, 100.0, 999.0],
                "historic_value": [12.0, 18.0, 50.0],
                "age_months": [2.0, 4.0, 1.0],
            }
        )
    )
    row = table.row(0, named=True)
    assert row["customers"] == 3
    assert row["known_costs"] == 2
    assert row["lifetime_value"] == 80.0
    assert row["ltv_to_cac"] == 4.0
    assert row["share_paid_back"] == 0.5
    assert row["payback_months"] == pytest.approx(20.0 / (30.0 / 6.0))


def test_customers_of_text_ids_and_a_short_history_are_valued_without_a_holdout() -> None:
    rng = np.random.default_rng(1)
    rows = [(f"c{c}", int(d)) for c in range(60) for d in {0, *rng.integers(0, 4, int(rng.integers(0, 3)))}]
    purchases = pl.LazyFrame(
        {
            "customer_id": [r[0] for r in rows],
            "date": [date(2026, 1, 1) + timedelta(days=r[1]) for r in rows],
            "timestamp": [datetime(2026, 1, 1) + timedelta(days=r[1]) for r in rows],
            "amount": (rng.gamma(3.0, 100_000.0, len(rows))).astype(np.int64),
            "margin": pl.Series([None] * len(rows), dtype=pl.Int64),
        },
        schema_overrides={"timestamp": pl.Datetime("us")},
    )
    values = value_customers(
        purchases,
        settings=ValueSettings(models=("mbg_nbd",), posterior_draws=0, challenger=False),
        observation_end=date(2026, 1, 4),
        calibration_end=date(2026, 1, 4),
        time_unit="day",
        currency="EUR",
        seed=1,
    )
    assert values.customers.schema["customer_id"] == pl.String
    assert values.validation.is_empty()
    assert any("no holdout" in w for w in values.warnings)


def test_company_totals_have_an_interval_that_holds_the_sum(cdnow: CustomerValues) -> None:
    totals = cdnow.model["totals"]
    for name in ("expected_purchases", "customer_lifetime_value"):
        assert totals[name] == pytest.approx(cdnow.customers[name].sum())
        assert totals[f"{name}_low"] < totals[name] < totals[f"{name}_high"]


def test_models_of_all_kinds_are_compared_on_one_likelihood() -> None:
    card = value_cdnow(
        settings=ValueSettings(models=("bg_nbd", "bg_cnbd_2"), posterior_draws=0, challenger=False, origins=1)
    ).model
    plain, regular = (card["calibration"][m]["log_likelihood"] for m in ("bg_nbd", "bg_cnbd_2"))
    assert plain == pytest.approx(-9582.429, abs=1e-3)
    assert plain - 2000.0 < regular < plain  # buyers of music are not regular


def test_a_log_without_amounts_is_counted_and_has_no_value() -> None:
    bare = cdnow_purchases().with_columns(amount=pl.lit(0, dtype=pl.Int64))
    values = value_customers(
        bare.lazy(),
        settings=SETTINGS,
        observation_end=OBSERVATION_END,
        calibration_end=CALIBRATION_END,
        time_unit="week",
        currency="",
        seed=1,
    )
    table = values.customers
    assert table["expected_purchases"].null_count() == 0
    for name in ("monetary_value", "customer_lifetime_value", "historic_value", "total_value"):
        assert table[name].null_count() == table.height, name
    assert values.model["totals"]["customer_lifetime_value"] is None
    assert values.model["totals"]["expected_purchases_low"] > 0
    assert any("have no value" in warning for warning in values.warnings)


def test_covariates_that_matter_move_the_values_of_those_who_have_them() -> None:
    """Club members buy three times as often; where little is seen of a customer yet, that is what tells."""
    rng = np.random.default_rng(8)
    rows, members = [], []
    for customer in range(1200):
        club = bool(rng.random() < 0.5)
        members.append((customer, "club" if club else "none"))
        start, rate = int(rng.integers(0, 300)), rng.gamma(2.0, (0.03 if club else 0.01) / 2.0)
        days = {start} | {int(d) for d in start + np.cumsum(rng.exponential(1.0 / rate, 80)) if d < 355}
        rows += [(customer, date(2025, 1, 1) + timedelta(days=d)) for d in days]
    purchases = pl.DataFrame(rows, schema=["customer_id", "date"], orient="row").with_columns(
        timestamp=pl.col("date").cast(pl.Datetime("us")),
        amount=pl.lit(100_000, dtype=pl.Int64),
        margin=pl.lit(None, dtype=pl.Int64),
    )
    customers = pl.DataFrame(members, schema=["customer_id", "card"], orient="row")
    settings = ValueSettings(
        models=("bg_nbd", "mbg_nbd"), challenger=False, origins=1, posterior_draws=0, covariates=("card",)
    )
    values = value_customers(
        purchases.lazy(),
        settings=settings,
        observation_end=date(2025, 12, 21),
        calibration_end=date(2025, 9, 30),
        time_unit="week",
        currency="EUR",
        seed=1,
        customers=customers,
    )
    assert values.model["forecast"]["weights"]["bg_nbd_covariates"] > 0.5
    young = values.customers.join(customers, on="customer_id").filter(
        pl.col("T") < 12, pl.col("frequency") == 0
    )
    by_card = dict(young.group_by("card").agg(pl.col("expected_purchases").mean()).iter_rows())
    assert by_card["club"] > 1.5 * by_card["none"]
