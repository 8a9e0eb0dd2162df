"""One score from CSV row to JSON answer: three customers small enough to check by hand."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from scipy.special import hyp2f1

from api.app import create_app
from experiments.bundle.reading import load_bundle
from experiments.config import load_config
from experiments.run import run_experiment

TRANSACTIONS = """\
line,customer,when,order,amount
1,17,2026-01-01 09:30,a,10.00
2,17,2026-01-15 12:00,b,30.00
3,17,2026-01-15 18:00,c,10.00
4,17,2026-02-12 08:00,d,20.00
5,17,2026-02-12 08:05,d,-5.00
6,23,2026-01-08 10:00,e,50.00
7,31,2026-01-22 10:00,f,12.50
8,31,2026-02-05 10:00,g,12.50
9,,2026-02-06 10:00,h,99.00
8,31,2026-02-07 10:00,i,1.00
10,31,2026-04-01 10:00,j,7.00
"""
TOUCHES = """\
customer_id,timestamp,channel
17,2026-01-10 10:00,forum
17,2026-01-14 10:00,newsletter
23,2026-01-09 10:00,forum
31,2026-02-04 09:00,newsletter
"""
CONFIG = """\
name = "trace"
observation_end = 2026-03-26
calibration_end = 2026-02-20
time_unit = "week"
currency = "EUR"
[inputs]
touchpoints = "touches.csv"
[inputs.transactions]
path = "orders.csv"
columns = { line_id = "line", customer_id = "customer", timestamp = "when", order_id = "order" }
[channels]
forum = { group = "social", origin = "customer" }
newsletter = { origin = "firm" }
[value]
models = ["bg_nbd"]
penalizer = 0.1
gross_margin = 0.5
discount_rate = 0.0
posterior_draws = 0
challenger = false
origins = 1
[attribution]
outcomes = ["conversion", "spend"]
methods = ["last", "linear"]
[limits]
max_rejected_share = 0.2
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    folder = tmp_path_factory.mktemp("trace")
    shutil.copytree(empty_store, folder / "mlruns")
    (folder / "orders.csv").write_text(TRANSACTIONS)
    (folder / "touches.csv").write_text(TOUCHES)
    (folder / "trace.toml").write_text(CONFIG)
    config = load_config(folder / "trace.toml")
    return run_experiment(config, runs=folder / "runs", mlruns=folder / "mlruns").bundle


Get = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def get(bundle: Path) -> Get:
    transport = httpx.ASGITransport(app=create_app(bundle=load_bundle(bundle)))

    async def ask(path: str, params: dict[str, str] | None) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get(path, params=params)

    return lambda path, params=None: asyncio.run(ask(path, params))


@pytest.fixture(scope="module")
def scores(get: Get) -> dict[str, Any]:
    return {name: get(f"/v1/customers/{name}/value").json() for name in ("17", "23", "31")}


def test_eleven_rows_are_accounted_for(bundle: Path) -> None:
    counts = json.loads((bundle / "manifest.json").read_text())["inputs"]["transactions"]
    assert (counts["rows_read"], counts["rows_valid"]) == (11, 8)
    kept_out = counts["rejected_by_rule"] | counts["set_aside_by_rule"]
    assert sum(kept_out.values()) == 3  # a guest, a repeated line, a row after the end


def test_purchases_of_a_day_are_one_and_the_first_does_not_count(scores: dict[str, Any]) -> None:
    one = scores["17"]
    assert (one["frequency"], one["recency"], one["T"]) == (2, 6.0, 12.0)
    assert one["first_purchase"] == "2026-01-01"


def test_a_refund_lowers_its_order(scores: dict[str, Any]) -> None:
    assert scores["17"]["monetary_value"] == pytest.approx((40.0 + 15.0) / 2)
    assert scores["17"]["historic_value"] == pytest.approx((10.0 + 40.0 + 15.0) * 0.5)


def test_a_customer_who_bought_once_has_no_monetary_value(scores: dict[str, Any]) -> None:
    once = scores["23"]
    assert (once["frequency"], once["recency"], once["T"]) == (0, 0.0, 11.0)
    assert once["monetary_value"] is None


def test_expected_purchases_follow_equation_10_of_the_paper(bundle: Path, scores: dict[str, Any]) -> None:
    """Fader, Hardie & Lee (2005), equation (10), at the parameters in model.json."""
    model = json.loads((bundle / "model.json").read_text())["final"]["bg_nbd"]["parameters"]
    r, alpha, a, b = (model[name] for name in ("r", "alpha", "a", "b"))
    t = 12 * 30.4375 / 7
    for score in scores.values():
        x, t_x, T = score["frequency"], score["recency"], score["T"]
        ratio = ((alpha + T) / (alpha + T + t)) ** (r + x) * hyp2f1(
            r + x, b + x, a + b + x - 1, t / (alpha + T + t)
        )
        alive = 1 + (a / (b + x - 1) * ((alpha + T) / (alpha + t_x)) ** (r + x) if x else 0.0)
        expected = (a + b + x - 1) / (a - 1) * (1 - ratio) / alive
        assert score["expected_purchases"] == pytest.approx(expected, rel=1e-6)


def test_undiscounted_value_is_purchases_times_spend_times_margin(scores: dict[str, Any]) -> None:
    for score in scores.values():
        if score["expected_spend"] is not None:
            value = score["expected_purchases"] * score["expected_spend"] * 0.5
            assert score["customer_lifetime_value"] == pytest.approx(value, rel=1e-6)


def test_an_answer_says_as_of_when_and_in_what_units(scores: dict[str, Any]) -> None:
    one = scores["17"]
    assert (one["as_of"], one["currency"], one["time_unit"]) == ("2026-03-26", "EUR", "week")
    assert one["model_version"].startswith("trace-")


def test_credit_by_hand_reaches_the_service(get: Get) -> None:
    """Touched: 17 on 15 January (forum, newsletter; 40) and 31 on 5 February (newsletter; 12.50)."""
    answer = get("/v1/attribution", params={"outcome": "spend", "method": "linear"}).json()
    rows = {(row["level"], row["channel"]): row["credit"] for row in answer["rows"]}
    assert rows["channel", "forum"] == pytest.approx(20.0)
    assert rows["channel", "newsletter"] == pytest.approx(32.5)
    assert rows["untouched", "(untouched)"] == pytest.approx(10.0 + 15.0 + 50.0 + 12.5)
    assert rows["total", "(total)"] == pytest.approx(140.0)


def test_an_unknown_customer_is_404(get: Get) -> None:
    answer = get("/v1/customers/99/value")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
