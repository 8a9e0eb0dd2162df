"""Values predicted over HTTP equal those of the run, to 1e-9."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest

from clv.settings import ValueSettings
from clv.valuation import CustomerValues, value_customers
from clv.value import predict_values
from experiments.bundle.writing import write_bundle
from histories.tables import purchases_table
from tests.clv.data import cdnow_purchases
from tests.running import running
from tributary.client import Client

END = dt.date(1998, 6, 30)
SUMMARY = ("frequency", "recency", "T", "monetary_value")
SAME = (
    "probability_alive",
    "churn_probability",
    "expected_purchases",
    "expected_spend",
    "customer_lifetime_value",
)


@pytest.fixture(scope="module")
def valued() -> CustomerValues:
    settings = ValueSettings(
        models=("bg_nbd",), gross_margin=0.4, posterior_draws=0, origins=1, challenger=False, season=False
    )
    return value_customers(
        cdnow_purchases().lazy(),
        settings=settings,
        observation_end=END,
        calibration_end=dt.date(1997, 9, 30),
        time_unit="week",
        currency="USD",
        seed=1,
    )


@pytest.fixture(scope="module")
def service(valued: CustomerValues, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    path: Path = tmp_path_factory.mktemp("predict") / "cdnow"
    write_bundle(
        path,
        tables={
            "customers": valued.customers,
            "validation": valued.validation,
            "purchases": purchases_table(cdnow_purchases().lazy()),
        },
        manifest={"run_id": "cdnow", "as_of": END, "currency": "USD", "time_unit": "week"},
        model=valued.model,
    )
    with running(bundle=path) as client:
        yield client


def test_every_customer_of_cdnow_is_predicted_as_the_run_valued_them(
    service: httpx.Client, valued: CustomerValues
) -> None:
    stored = valued.customers
    with Client(str(service.base_url)) as client:
        predicted = client.predict(stored.select("customer_id", *SUMMARY))
        served = client.values(stored["customer_id"])
    for name in SAME:
        difference = (predicted[name] - stored[name]).abs() / stored[name].abs().clip(1e-12)
        assert difference.max() < 1e-9, name  # type: ignore[operator]
        assert served[name].equals(stored[name]), name


def test_another_horizon_is_the_functions_own_answer(service: httpx.Client, valued: CustomerValues) -> None:
    from clv.purchases.fits import fit_from_dict
    from clv.spend import GammaGammaFit

    body = {"frequency": [2, 0], "recency": [30.43, 0.0], "T": [38.86, 10.0], "monetary_value": [22.35, None]}
    answer = service.post("/v1/values/predict", json={**body, "horizon_months": 24}).json()
    assert (answer["horizon_months"], answer["model"], answer["invalid"]) == (24, "bg_nbd", [])
    expected = predict_values(
        fit_from_dict(valued.model["final"]["bg_nbd"]),
        GammaGammaFit.from_dict(valued.model["spend"]),
        body["frequency"],
        body["recency"],
        body["T"],
        [22.35, float("nan")],
        horizon_months=24,
        discount_rate=valued.model["discount_rate"],
        gross_margin=0.4,
        time_unit="week",
    )
    for name, values in expected.items():
        found = pl.Series(answer["columns"][name], dtype=pl.Float64).fill_null(float("nan"))
        assert found.to_list() == pytest.approx(values.tolist(), rel=1e-12, nan_ok=True), name


def test_impossible_summaries_are_named_and_do_not_hold_up_the_others(service: httpx.Client) -> None:
    body = {"frequency": [1, 1, 0, 2], "recency": [5.0, 9.0, 3.0, 4.0], "T": [8.0, 8.0, 8.0, 8.0]}
    answer = service.post("/v1/values/predict", json=body).json()
    assert answer["invalid"] == [1, 2]
    known = [value is not None for value in answer["columns"]["expected_purchases"]]
    assert known == [True, False, False, True]
    assert answer["columns"]["customer_lifetime_value"] == [None] * 4


def test_purchases_are_those_of_the_customer_and_the_history_ends_in_the_score(
    service: httpx.Client, valued: CustomerValues
) -> None:
    bought = cdnow_purchases()
    for customer in (4, 18, 21, *valued.customers.sort("frequency")["customer_id"].tail(3)):
        rows = bought.filter(customer_id=customer).sort("date")
        answer = service.get(f"/v1/customers/{customer}/purchases?limit=1000").raise_for_status().json()
        assert answer["total"] == rows.height
        assert [row["date"] for row in answer["purchases"]] == rows["date"].dt.to_string().to_list()
        assert [row["amount"] for row in answer["purchases"]] == pytest.approx(
            (rows["amount"] / 10_000).to_list()
        )
        history = service.get(f"/v1/customers/{customer}/history").raise_for_status().json()["history"]
        assert history[0] == {
            "date": str(rows["date"][0]),
            "probability_alive": 1.0,
            "purchased": True,
        }
        assert history[-1]["date"] == str(END)
        score = valued.customers.filter(customer_id=customer)["probability_alive"].item()
        assert history[-1]["probability_alive"] == pytest.approx(score, rel=1e-9)
        assert sum(point["purchased"] for point in history) == rows["date"].n_unique()


def test_pages_of_purchases_follow_each_other(service: httpx.Client, valued: CustomerValues) -> None:
    customer = valued.customers.sort("frequency")["customer_id"][-1]
    whole = service.get(f"/v1/customers/{customer}/purchases?limit=1000").json()
    walked, after = [], 0
    while after is not None:
        page = service.get(f"/v1/customers/{customer}/purchases?limit=7&after={after}").json()
        walked += page["purchases"]
        after = page["next"]
    assert walked == whole["purchases"]
    for path in ("purchases", "history", "touchpoints"):
        assert service.get(f"/v1/customers/nobody/{path}").status_code == 404


def _tensors(**columns: list[float | None]) -> list[dict[str, object]]:
    return [
        {"name": name, "shape": [len(data)], "datatype": "FP64", "data": data}
        for name, data in columns.items()
    ]


def test_the_inference_protocol_says_what_the_own_address_says(service: httpx.Client) -> None:
    (name,) = service.get("/v2").json()["models"]
    columns: dict[str, list[float | None]] = {
        "frequency": [2, 0, 1],
        "recency": [30.43, 0.0, 9.0],
        "T": [38.86, 10.0, 8.0],
        "monetary_value": [22.35, None, 5.0],
    }
    inputs = _tensors(**columns)
    inputs[1] |= {"shape": [3, 1], "data": [[30.43], [0.0], [9.0]]}
    body = {"id": "42", "inputs": inputs, "parameters": {"horizon_months": 24}}
    answer = service.post(f"/v2/models/{name}/infer", json=body).raise_for_status().json()
    own = service.post("/v1/values/predict", json={**columns, "horizon_months": 24}).json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("42", name, "cdnow")
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs.pop("invalid")["data"] == [False, False, True]
    assert {output: found["data"] for output, found in outputs.items()} == own["columns"]
    assert all(found["shape"] == [3] for found in outputs.values())
    described = service.get(f"/v2/models/{name}").json()
    assert {tensor["name"] for tensor in described["outputs"]} == {*outputs, "invalid"}
    assert service.get(f"/v2/models/{name}/ready").json() == {"name": name, "ready": True}
    assert service.get("/v2/health/ready").json() == {"ready": True}
    one = {
        "inputs": _tensors(frequency=[1], recency=[2.0], T=[5.0]),
        "outputs": [{"name": "probability_alive"}],
    }
    found = service.post(f"/v2/models/{name}/infer", json=one).json()["outputs"]
    assert [output["name"] for output in found] == ["probability_alive"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"inputs": []}, "length >= 1"),
        ({"inputs": _tensors(frequency=[1], recency=[1.0])}, "missing required field `T`"),
        ({"inputs": _tensors(frequency=[1], recency=[1.0, 2.0], T=[5.0])}, "one length"),
        ({"inputs": _tensors(frequency=[1.5], recency=[1.0], T=[5.0])}, "int"),
        ({"inputs": _tensors(frequency=[1], recency=[-1.0], T=[5.0])}, ">= 0"),
        ({"inputs": _tensors(frequency=[1], recency=[1.0], T=[5.0], x=[1.0])}, "inputs are frequency"),
        ({"inputs": _tensors(frequency=[10**6], recency=[1.0], T=[5.0])}, "20 times"),
        ({"parameters": {"horizon_months": 0}}, ">= 1"),
        ({"outputs": [{"name": "x"}]}, "outputs are unknown"),
    ],
)
def test_the_inference_protocol_refuses_with_its_own_member(
    service: httpx.Client, change: dict[str, object], word: str
) -> None:
    body = {"inputs": _tensors(frequency=[1], recency=[1.0], T=[5.0]), **change}
    answer = service.post("/v2/models/tributary/infer", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"] == answer.json()["detail"]
    assert word in answer.text
    assert service.post("/v2/models/other/infer", json=body).status_code == 404
