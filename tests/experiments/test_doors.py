"""The same customer has the same value through every door: run, score, arrival of an order, MLflow's copy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from api.settings import Settings
from clv.rescoring import Rescorer, scoring_card
from clv.settings import ValueSettings
from clv.valuation import CustomerValues, value_customers
from experiments.bundle.reading import Bundle, load_bundle
from experiments.bundle.writing import write_bundle
from experiments.champion import promote_bundle
from experiments.registering import save_scoring_model
from experiments.scoring import score_bundle
from histories.tables import purchases_table
from tests.running import running

FIRST, END = date(2023, 1, 1), date(2024, 12, 31)
SHUT, REOPENED = date(2023, 11, 1), date(2024, 1, 15)
FIGURES = (
    "probability_alive",
    "churn_probability",
    "expected_purchases",
    "expected_spend",
    "customer_lifetime_value",
)


def company(customers: int = 800) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Customers of a shop with a busy spring and two closed months; those in the north buy twice as often."""
    rng = np.random.default_rng(3)
    span = (END - FIRST).days + 1
    days = [FIRST + timedelta(days=day) for day in range(span)]
    open_ = np.array([not SHUT <= day < REOPENED for day in days])
    pace = np.array([1.8 if day.month in (4, 5) else 0.85 for day in days]) * open_
    rows, north = [], rng.random(customers) < 0.5
    for customer in range(customers):
        start = int(rng.choice(np.flatnonzero(open_[: span - 30])))
        rate, dropout = rng.gamma(0.9, 1.0 / 15.0) * (2.0 if north[customer] else 1.0), rng.beta(0.8, 6.0)
        mean = rng.gamma(5.0, 8.0)
        keen = np.repeat(rng.gamma(0.6, 1.0 / 0.6, span // 200 + 1), 200)[:span]  # for 200 days at a time
        daily = rate * (pace * keen)[start + 1 :]
        later = start + 1 + np.flatnonzero(rng.random(span - start - 1) < daily)
        for day in (start, *later):
            rows.append((customer + 1, days[day], round(10_000 * mean * rng.gamma(4.0, 0.25))))
            if day != start and rng.random() < dropout:
                break
    purchases = pl.DataFrame(rows, schema=["customer_id", "date", "amount"], orient="row").with_columns(
        pl.col("date").cast(pl.Datetime("us")).alias("timestamp"),
        pl.lit(None, dtype=pl.Int64).alias("margin"),
        pl.lit(1, dtype=pl.Int64).alias("orders"),
    )
    traits = pl.DataFrame(
        {"customer_id": range(1, customers + 1), "region": np.where(north, "north", "south")}
    )
    return purchases, traits


@pytest.fixture(scope="module")
def made() -> tuple[pl.DataFrame, pl.DataFrame]:
    return company()


def run(
    folder: Path, purchases: pl.DataFrame, traits: pl.DataFrame, covariates: tuple[str, ...] = ()
) -> tuple[Bundle, CustomerValues]:
    values = value_customers(
        purchases.lazy(),
        settings=ValueSettings(
            models=("mbg_nbd", "bg_nbd"),
            covariates=covariates,
            gross_margin=0.4,
            horizon_months=3,
            posterior_draws=0,
            origins=1,
        ),
        observation_end=END,
        calibration_end=None,
        time_unit="week",
        currency="EUR",
        seed=1,
        customers=traits,
    )
    inputs = {"transactions": [{}]}
    write_bundle(
        folder,
        tables={
            "customers": values.customers,
            "purchases": purchases_table(purchases.lazy()),
            "profiles": traits,
        },
        manifest={
            "run_id": folder.name,
            "as_of": END,
            "currency": "EUR",
            "time_unit": "week",
            "configuration": {"timezone": "UTC", "inputs": inputs, "value": {"gross_margin": 0.4}},
        },
        model=dict(values.model),
    )
    return load_bundle(folder), values


@pytest.fixture(scope="module")
def served(
    made: tuple[pl.DataFrame, pl.DataFrame], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[httpx.Client, Bundle, pl.DataFrame]]:
    home = tmp_path_factory.mktemp("doors")
    bundle, values = run(home / "first", *made)
    promote_bundle(home, bundle.path, "test")
    with running(Settings(runs=home, access_log=False)) as client:
        yield client, bundle, values.customers.sort("customer_id")


def agree(found: pl.DataFrame, table: pl.DataFrame) -> None:
    for name in FIGURES:
        expected = table[name].fill_null(np.nan).to_numpy()
        assert found[name].fill_null(np.nan).to_numpy() == pytest.approx(
            expected, rel=1e-9, abs=1e-12, nan_ok=True
        ), name


def contact(customer: int, day: date = END) -> dict[str, Any]:
    time = datetime(day.year, day.month, day.day, 12).isoformat()
    return {
        "customer_id": str(customer),
        "timestamp": time,
        "channel": "chat",
        "touchpoint_id": f"{customer}-{day}",
    }


def histories(purchases: pl.DataFrame, traits: pl.DataFrame, end: date) -> Any:
    return SimpleNamespace(
        purchases=purchases.lazy(),
        rows=lambda _: purchases.height,
        table=lambda _: None,
        customers=traits,
        inputs=SimpleNamespace(observation_end=end),
    )


def orders_of(purchases: pl.DataFrame, customer: int) -> list[dict[str, Any]]:
    rows = purchases.filter(pl.col("customer_id") == customer)
    return [{"date": str(day), "amount": amount / 10_000} for day, amount in rows["date", "amount"].rows()]


def test_the_forecast_of_this_company_is_more_than_one_model_at_a_level(
    served: tuple[httpx.Client, Bundle, pl.DataFrame],
) -> None:
    _, bundle, table = served
    card = bundle.model
    assert "gradient_boosting" in card["kept"]["factors"]
    assert card["closed"] == [[(SHUT - FIRST).days, (REOPENED - FIRST).days - 1]]
    rescorer = Rescorer.from_card(scoring_card(card, bundle.manifest))
    summary = [table[name].cast(pl.Float64).to_numpy() for name in ("frequency", "recency", "T")]
    level = np.full(table.height, rescorer.level)
    frame = table.with_columns(
        last_purchase=pl.col("first_purchase")
        + pl.duration(days=(pl.col("recency") * 7).round().cast(pl.Int64))
    )
    at_a_level = rescorer.values(frame, factor=level)["expected_purchases"]
    assert np.abs(at_a_level / table["expected_purchases"].to_numpy() - 1.0).mean() > 0.05
    assert rescorer.value_rows(*summary).notes == (
        "gradient_boosting takes no part: it reads whole histories, and a summary was given",
    )


def test_new_data_of_the_run_s_day_and_the_service_say_what_the_run_said(
    made: tuple[pl.DataFrame, pl.DataFrame], served: tuple[httpx.Client, Bundle, pl.DataFrame]
) -> None:
    purchases, traits = made
    client, bundle, table = served
    scored = score_bundle(bundle, histories(purchases, traits, END)).customers.sort("customer_id")
    agree(scored, table)

    ids = table["customer_id"].to_list()
    body: dict[str, Any] = {name: table[name].to_list() for name in ("frequency", "recency", "T")}
    body |= {"monetary_value": table["monetary_value"].to_list()}
    body |= {"purchases": [orders_of(purchases, customer) for customer in ids]}
    answer = client.post("/v1/values/predict", json=body).raise_for_status().json()
    assert (answer["model"], answer["invalid"], answer["notes"]) == ("stack", [], [])
    agree(pl.DataFrame(answer["columns"]), table)

    later = END + timedelta(days=40)
    scored = score_bundle(bundle, histories(purchases, traits, later)).customers.sort("customer_id")
    body |= {"T": scored["T"].to_list(), "as_of": str(later)}
    answer = client.post("/v1/values/predict", json=body).raise_for_status().json()
    agree(pl.DataFrame(answer["columns"]), scored)

    other = body | {"purchases": [[], *body["purchases"][1:]]}
    assert client.post("/v1/values/predict", json=other).json()["invalid"] == [0]
    refused = client.post("/v1/values/predict", json=body | {"as_of": "2024-12-30"})
    assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "$.as_of")


def test_what_arrives_is_valued_by_the_whole_forecast(
    made: tuple[pl.DataFrame, pl.DataFrame], served: tuple[httpx.Client, Bundle, pl.DataFrame]
) -> None:
    purchases, traits = made
    client, bundle, _ = served
    later = END + timedelta(days=9)
    scored = score_bundle(bundle, histories(purchases, traits, later)).customers.sort("customer_id")
    some = scored.gather_every(8)
    contacts = [contact(customer, later) for customer in some["customer_id"]]
    assert client.post("/v1/touchpoints", json=contacts).json()["accepted"] == some.height
    body = {"ids": [str(customer) for customer in some["customer_id"]]}
    found = client.post("/v1/customers/values", json=body).raise_for_status().json()
    assert found["updated"]
    agree(pl.DataFrame(found["columns"]), some)
    assert set(found["columns"]["model"]) == {"stack"}


def test_traits_of_known_customers_count_for_what_arrives(
    made: tuple[pl.DataFrame, pl.DataFrame], tmp_path: Path
) -> None:
    bundle, _ = run(tmp_path / "first", *made, covariates=("region",))
    assert bundle.model["kept"]["explained"]
    promote_bundle(tmp_path, bundle.path, "test")
    later = END + timedelta(days=9)
    scored = score_bundle(bundle, histories(*made, later)).customers.sort("customer_id")
    with running(Settings(runs=tmp_path, access_log=False)) as client:
        some = scored.gather_every(40)
        for customer in some["customer_id"]:
            client.post("/v1/touchpoints", json=contact(customer, later)).raise_for_status()
        body = {"ids": [str(customer) for customer in some["customer_id"]]}
        found = client.post("/v1/customers/values", json=body).raise_for_status().json()
    agree(pl.DataFrame(found["columns"]), some)


def test_mlflow_s_copy_says_it_in_a_clean_process_without_a_warning(
    made: tuple[pl.DataFrame, pl.DataFrame],
    served: tuple[httpx.Client, Bundle, pl.DataFrame],
    tmp_path: Path,
) -> None:
    _, bundle, table = served
    card = scoring_card(bundle.model, bundle.manifest)
    (tmp_path / "scoring.json").write_text(json.dumps(card))
    save_scoring_model(tmp_path / "scoring.json", card, tmp_path / "model")
    some = table.gather_every(20)
    columns: dict[str, Any] = {name: some[name].to_list() for name in ("frequency", "recency", "T")}
    columns["monetary_value"] = some["monetary_value"].to_list()
    columns["purchases"] = [orders_of(made[0], customer) for customer in some["customer_id"]]
    (tmp_path / "asked.json").write_text(json.dumps(columns))
    code = (
        "import json, mlflow, pandas as pd\n"
        f"model = mlflow.pyfunc.load_model({str(tmp_path / 'model')!r})\n"
        f"frame = pd.DataFrame(json.load(open({str(tmp_path / 'asked.json')!r})))\n"
        "frame['frequency'] = frame['frequency'].astype(float)\n"
        "frame['monetary_value'] = frame['monetary_value'].astype(float)\n"
        "print(model.predict(frame).to_json(double_precision=15))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout.splitlines()[-1])
    agree(pl.DataFrame({name: list(values.values()) for name, values in found.items()}), some)
