"""Orders and contacts as they arrive: what they do to a score, and that none is lost or counts twice."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from api.keys import create_key
from api.replies import ARROW
from api.settings import Settings
from clv.settings import ValueSettings
from clv.valuation import value_customers
from experiments.arrivals import Arrivals, recent_orders
from experiments.bundle.reading import load_bundle
from experiments.bundle.writing import write_bundle
from experiments.champion import promote_bundle
from experiments.rewriting import rewrite_bundles
from experiments.scoring import score_bundle
from histories.purchases import build_purchases
from histories.tables import purchases_table
from tests.api.test_workers import serving
from tests.running import eventually, running
from tributary.client import Client

ZONE = "Europe/London"
END = dt.date(2025, 6, 30)
CUSTOMERS = 200


def transactions(seed: int = 3) -> pl.DataFrame:
    """A year of orders; customers 1 to 200, amounts in minor units."""
    rng = np.random.default_rng(seed)
    rows = []
    for customer in range(1, CUSTOMERS + 1):
        first = int(rng.integers(0, 340))
        days = [first, *(first + np.cumsum(rng.exponential(30, rng.poisson(4)))).astype(int).tolist()]
        rows += [(customer, day, int(rng.integers(1000, 90_000))) for day in days if day < 365]
    start = dt.datetime(2024, 7, 1, 9, tzinfo=dt.UTC)
    return pl.DataFrame(
        {
            "customer_id": [customer for customer, _, _ in rows],
            "timestamp": [
                start + dt.timedelta(days=day, minutes=i % 600) for i, (_, day, _) in enumerate(rows)
            ],
            "amount": [amount for _, _, amount in rows],
            "order_id": [f"run-{i}" for i in range(len(rows))],
        }
    ).with_columns(pl.col("timestamp").dt.convert_time_zone(ZONE))


def histories(rows: pl.DataFrame, end: dt.date, unit: str = "day") -> Any:
    """What `score_bundle` reads of histories."""
    seen = rows.filter(pl.col("timestamp").dt.date() <= end)
    purchases = build_purchases(seen.lazy(), purchase_unit=unit).collect()  # type: ignore[arg-type]
    return SimpleNamespace(
        purchases=purchases.lazy(),
        rows=lambda _: purchases.height,
        table=lambda _: None,
        customers=None,
        inputs=SimpleNamespace(observation_end=end),
    )


def write_run(path: Path, rows: pl.DataFrame, end: dt.date = END, unit: str = "day", **changes: Any) -> Path:
    """A bundle of these orders, as a run writes it."""
    purchases = histories(rows, end, unit).purchases
    values = value_customers(
        purchases,
        settings=ValueSettings(
            models=("mbg_nbd",),
            gross_margin=0.4,
            posterior_draws=0,
            origins=1,
            challenger=False,
            season=False,
        ),
        observation_end=end,
        calibration_end=None,
        time_unit="week",
        currency="GBP",
        seed=1,
    )
    seen = rows.filter(pl.col("timestamp").dt.date() <= end)
    return write_bundle(
        path,
        tables={
            "customers": values.customers,
            "purchases": purchases_table(purchases),
            "orders": recent_orders(seen.lazy(), end),
        },
        manifest={
            "run_id": path.name,
            "as_of": end,
            "currency": "GBP",
            "time_unit": "week",
            "configuration": {"timezone": ZONE, "purchase_unit": unit, "inputs": {"transactions": [{}]}},
        },
        model={**values.model, "forecast": {"level": 1.25}, **changes},
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "first", transactions())


@pytest.fixture
def home(run: Path, tmp_path: Path) -> Path:
    """A folder of runs of its own that serves the first."""
    promote_bundle(tmp_path, run, "test")
    return tmp_path


@pytest.fixture
def service(home: Path) -> Iterator[httpx.Client]:
    with running(Settings(runs=home, watch_seconds=0.05, access_log=False)) as client:
        yield client


def order(
    customer: int, key: str, day: int = 1, *, hour: float = 12, amount: float = 30.0, **other: Any
) -> dict[str, Any]:
    """An order so many days after the run's last."""
    moment = dt.datetime.combine(END, dt.time(), dt.UTC) + dt.timedelta(days=day, hours=hour)
    row = {"customer_id": str(customer), "timestamp": moment.isoformat(), "amount": amount, "currency": "GBP"}
    return {**row, "order_id": key, **other}


def as_transactions(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Posted orders as rows of the input."""
    return pl.DataFrame(
        {
            "customer_id": [int(row["customer_id"]) for row in rows],
            "timestamp": [dt.datetime.fromisoformat(row["timestamp"]) for row in rows],
            "amount": [round(row["amount"] * 10_000) for row in rows],
            "order_id": [row["order_id"] for row in rows],
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    ).with_columns(pl.col("timestamp").dt.convert_time_zone(ZONE))


SCORES = (
    "frequency",
    "recency",
    "T",
    "monetary_value",
    "probability_alive",
    "churn_probability",
    "expected_purchases",
    "expected_spend",
    "customer_lifetime_value",
)


@pytest.mark.parametrize("unit", ["day", "week"])
def test_a_score_after_updates_is_that_of_scoring_the_whole_history_again(unit: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    rows = transactions()
    promote_bundle(tmp_path, write_run(tmp_path / "v1", rows, unit=unit), "test")
    posted = [
        order(
            int(rng.integers(1, CUSTOMERS + 20)),
            f"n-{i}",
            day=int(rng.integers(1, 20)),
            hour=float(rng.uniform(0, 24)),
        )
        for i in range(150)
    ]  # several on one day, customers the run does not know, hours either side of midnight in London
    with running(Settings(runs=tmp_path, access_log=False)) as client:
        assert client.post("/v1/purchases", json=posted[:1]).json()["accepted"] == 1
        assert client.post("/v1/purchases", json=posted[1]).json()["accepted"] == 1
        assert client.post("/v1/purchases", json=posted[2:]).json()["accepted"] == 148
        ids = sorted({row["customer_id"] for row in posted}, key=int)
        single = {name: client.get(f"/v1/customers/{name}/value").json() for name in ids}
        batch = client.post("/v1/customers/values", json={"ids": ids}).json()
        arrow = client.post("/v1/customers/values", json={"ids": ids}, headers={"accept": ARROW})
    assert batch["unknown"] == []
    assert len(batch["updated"]) == len(ids) == int(arrow.headers["x-updated-count"])
    stream = pl.read_ipc_stream(io.BytesIO(arrow.content))
    bundle = load_bundle(tmp_path / "champion")
    whole = pl.concat([rows, as_transactions(posted)])
    fresh = {
        day: score_bundle(bundle, histories(whole, dt.date.fromisoformat(day), unit)).customers
        for day in {score["as_of"] for score in single.values()}
    }
    for position, name in enumerate(ids):
        score = single[name]
        expected = fresh[score["as_of"]].row(by_predicate=pl.col("customer_id") == int(name), named=True)
        assert score["updates"] == sum(row["customer_id"] == name for row in posted)
        for column in SCORES:
            if expected[column] is None:
                assert score[column] is None
            else:
                assert score[column] == pytest.approx(expected[column], rel=1e-9), (name, column)
            assert batch["columns"][column][position] == score[column]
            assert stream[column][position] == score[column]
        assert score["model"] == "mbg_nbd"
        assert score["customer_lifetime_value_low"] is None
        assert score["total_value"] == pytest.approx(
            score["historic_value"] + score["customer_lifetime_value"]
        )


def test_who_has_no_updates_is_scored_as_the_run_did(service: httpx.Client, run: Path) -> None:
    service.post("/v1/purchases", json=order(1, "a")).raise_for_status()
    other = service.get("/v1/customers/2/value").json()
    stored = load_bundle(run).table("customers").row(by_predicate=pl.col("customer_id") == 2, named=True)
    assert other["updates"] == 0
    assert other["as_of"] == END.isoformat()
    assert other["customer_lifetime_value"] == stored["customer_lifetime_value"]


def test_a_copy_of_a_score_is_no_longer_good_after_an_update(service: httpx.Client) -> None:
    before = service.get("/v1/customers/1/value")
    held = {"if-none-match": before.headers["etag"]}
    assert service.get("/v1/customers/1/value", headers=held).status_code == 304
    service.post("/v1/purchases", json=order(1, "a")).raise_for_status()
    after = service.get("/v1/customers/1/value", headers=held)
    assert after.status_code == 200
    assert after.json()["frequency"] == before.json()["frequency"] + 1
    service.post("/v1/touchpoints", json=contact(1, "t", day=9)).raise_for_status()
    later = service.get("/v1/customers/1/value", headers={"if-none-match": after.headers["etag"]})
    assert later.status_code == 200
    assert later.json()["as_of"] == "2025-07-09"


def test_a_list_stays_the_runs_and_names_whose_score_is_newer(service: httpx.Client) -> None:
    before = service.get("/v1/customers?limit=20")
    assert before.json()["updated"] == []
    service.post("/v1/purchases", json=[order(3, "a"), order(3, "b", day=4), order(99, "c")])
    after = service.get("/v1/customers?limit=20", headers={"if-none-match": before.headers["etag"]})
    assert after.status_code == 200  # the copy of before does not say whose score is newer
    assert after.json()["customers"] == before.json()["customers"]
    position = [row["customer_id"] for row in after.json()["customers"]].index("3")
    assert after.json()["updated"] == [{"position": position, "as_of": "2025-07-04", "updates": 2}]
    again = service.get("/v1/customers?limit=20", headers={"if-none-match": after.headers["etag"]})
    assert again.status_code == 304


def contact(customer: int, key: str, day: int = 1) -> dict[str, Any]:
    row = order(customer, key, day)
    return {name: row[name] for name in ("customer_id", "timestamp")} | {
        "channel": "chat",
        "touchpoint_id": key,
    }


def test_a_contact_moves_the_day_of_the_score_and_is_no_purchase(service: httpx.Client) -> None:
    before = service.get("/v1/customers/1/value").json()
    assert service.post("/v1/touchpoints", json=[contact(1, "t", day=14)]).json()["accepted"] == 1
    after = service.get("/v1/customers/1/value").json()
    assert after["T"] == pytest.approx(before["T"] + 2)
    assert after["frequency"] == before["frequency"]
    assert after["probability_alive"] < before["probability_alive"]
    shown = service.get("/v1/customers/1/touchpoints").json()
    assert shown["total"] == 1
    assert shown["touchpoints"][0]["channel"] == "chat"
    assert service.post("/v1/touchpoints", json=contact(999, "u")).status_code == 200
    assert service.get("/v1/customers/999/value").status_code == 404  # who bought nothing has no score


def test_what_lies_behind_a_score_holds_what_arrived(service: httpx.Client) -> None:
    before = service.get("/v1/customers/1/purchases").json()
    twice = [order(1, "a", day=3, hour=8), order(1, "b", day=3, hour=18), order(1, "c", day=5)]
    service.post("/v1/purchases", json=twice).raise_for_status()
    after = service.get("/v1/customers/1/purchases").json()
    assert after["total"] == before["total"] + 2
    assert after["purchases"][: before["total"]] == before["purchases"]
    assert [row["orders"] for row in after["purchases"][-2:]] == [2, 1]
    assert after["purchases"][-2]["amount"] == 60.0
    assert service.get("/v1/customers/1/history").json()["history"][-1]["date"] == "2025-07-05"


def test_reasons_add_up_to_the_difference_from_the_mean_before_and_after_an_order(
    service: httpx.Client, run: Path
) -> None:
    stored = load_bundle(run).table("customers")
    mean = stored["customer_lifetime_value"].mean()
    for updates in (0, 1):
        value = service.get("/v1/customers/5/value").json()
        assert value["updates"] == updates
        found = service.get("/v1/customers/5/reasons").json()
        assert found["company_mean"] == pytest.approx(mean, rel=1e-12)
        total = sum(factor["contribution"] for factor in found["factors"])
        assert value["customer_lifetime_value"] - mean == pytest.approx(total, rel=1e-9)  # type: ignore[operator]
        product = np.prod([factor["value"] for factor in found["factors"]])
        assert product == pytest.approx(value["customer_lifetime_value"], rel=1e-9)
        assert found["as_of"] == value["as_of"]
        service.post("/v1/purchases", json=order(5, "a")).raise_for_status()
    assert service.get("/v1/customers/nobody/reasons").status_code == 404


def test_the_same_order_twice_counts_once_and_with_other_content_is_refused(service: httpx.Client) -> None:
    row = order(1, "a")
    assert service.post("/v1/purchases", json=row).json()["accepted"] == 1
    again = service.post("/v1/purchases", json=[row, row]).json()
    assert (again["accepted"], again["duplicates"]) == (0, 2)
    assert service.get("/v1/customers/1/value").json()["updates"] == 1
    for changed in ({"amount": 31.0}, {"customer_id": "2"}, {"timestamp": "2025-07-02T12:00:00Z"}):
        refused = service.post("/v1/purchases", json=[order(3, "new"), {**row, **changed}])
        assert refused.status_code == 409
        assert refused.json()["type"].endswith("#reused-key")
        assert refused.json()["errors"] == [
            {"at": "$[1].order_id", "detail": "It names something else already"}
        ]
    assert service.get("/v1/customers/3/value").json()["updates"] == 0  # all of a request, or none


WRONG = {
    "in the future": ({"timestamp": "2099-01-01T00:00:00Z"}, 422, "in-the-future"),
    "before the first purchase": ({"customer_id": "EARLY", "timestamp": "DAY"}, 422, "before-first-purchase"),
    "at the end of all calendars": ({"timestamp": "9999-12-31T23:59:59-14:00"}, 422, "in-the-future"),
    "at the beginning of them": ({"timestamp": "0001-01-01T00:00:00+14:00"}, 422, "too-old"),
    "long before the run": ({"timestamp": "2023-01-01T00:00:00Z"}, 422, "too-old"),
    "another currency": ({"currency": "EUR"}, 422, "other-currency"),
    "no currency's code": ({"currency": "pounds"}, 422, "invalid-request"),
    "an unknown field": ({"coupon": "x"}, 422, "invalid-request"),
    "a refund": ({"amount": -5}, 422, "invalid-request"),
    "no number": ({"amount": "5"}, 422, "invalid-request"),
    "a day without a time": ({"timestamp": "2025-07-01"}, 422, "invalid-request"),
    "an id of another kind": ({"customer_id": "ada@example.com"}, 422, "invalid-request"),
    "no key": ({"order_id": ""}, 422, "invalid-request"),
}


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_what_is_wrong_is_one_clear_problem_without_personal_data(case: str, service: httpx.Client) -> None:
    changes, status, name = WRONG[case]
    row = {**order(1, "SECRET-KEY"), **changes}
    if row["timestamp"] == "DAY":
        page = service.get("/v1/customers", params={"sort": "-first_purchase", "limit": 1}).json()
        latest = page["customers"][0]
        before = dt.date.fromisoformat(latest["first_purchase"]) - dt.timedelta(days=1)
        row |= {
            "customer_id": latest["customer_id"],
            "timestamp": f"{max(before, END - dt.timedelta(days=90))}T12:00:00Z",
        }
        assert before > END - dt.timedelta(days=90)
    for body in ([row], [order(2, "good"), row]):
        answer = service.post("/v1/purchases", json=body)
        assert (answer.status_code, answer.json()["type"].rpartition("#")[2]) == (status, name), answer.text
        told = answer.text
        for personal in ("SECRET-KEY", "ada@example.com", row["timestamp"], '"17"'):
            assert personal not in told
        assert len(answer.json()["errors"]) == 1
        assert answer.json()["errors"][0]["at"].startswith(f"$[{len(body) - 1}]")
    assert service.get("/v1/customers/2/value").json()["updates"] == 0


def test_a_stream_of_arrow_is_taken_in_and_checked_alike(service: httpx.Client) -> None:
    rows = pl.DataFrame([order(1, "a"), order(2, "b")]).with_columns(
        pl.col("timestamp").str.to_datetime(time_zone="UTC"), pl.col("customer_id").cast(pl.Int64)
    )

    def post(frame: pl.DataFrame) -> httpx.Response:
        stream = io.BytesIO()
        frame.write_ipc_stream(stream)
        return service.post("/v1/purchases", content=stream.getvalue(), headers={"content-type": ARROW})

    assert post(rows).json()["accepted"] == 2
    assert post(rows).json()["duplicates"] == 2
    assert post(rows.with_columns(coupon=pl.lit("x"))).json()["errors"][0]["at"] == "$[0]"
    assert post(rows.with_columns(currency=pl.lit("EUR"))).json()["type"].endswith("#other-currency")
    assert post(rows.clear()).status_code == 422
    broken = service.post("/v1/purchases", content=b"ARROW1??", headers={"content-type": ARROW})
    assert broken.json()["type"].endswith("#bad-request")


def test_the_client_sends_frames(service: httpx.Client) -> None:
    rows = pl.DataFrame([order(i % CUSTOMERS + 1, f"k-{i}") for i in range(12_000)])
    rows = rows.with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC"))
    with Client(str(service.base_url)) as client:
        assert client.add_purchases(rows) == {"accepted": 12_000, "duplicates": 0}
        assert client.add_purchases(rows.head(3)) == {"accepted": 0, "duplicates": 3}
        assert client.value(7)["updates"] == 60


def test_a_clock_set_back_refuses_nothing_that_came_after(
    service: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = dt.datetime.combine(END, dt.time(12), dt.UTC) + dt.timedelta(days=5)
    clock = [now]
    monkeypatch.setattr(
        "api.routes.arrivals.time", SimpleNamespace(time_ns=lambda: int(clock[0].timestamp() * 1e9))
    )
    assert service.post("/v1/purchases", json=order(1, "a", day=5)).status_code == 200
    ahead = service.post("/v1/purchases", json=order(1, "b", day=6))
    assert ahead.json()["type"].endswith("#in-the-future")
    clock[0] = now - dt.timedelta(days=30)
    assert service.post("/v1/purchases", json=order(2, "c", day=5)).status_code == 200
    assert service.get("/v1/customers/2/value").json()["as_of"] == "2025-07-05"


def test_what_a_run_has_read_counts_there_and_what_it_has_not_stays(
    home: Path, service: httpx.Client
) -> None:
    posted = [order(1, "a", day=1), order(1, "b", day=2), order(1, "late", day=-3), order(500, "c", day=2)]
    assert service.post("/v1/purchases", json=posted).json()["accepted"] == 4
    before = service.get("/v1/customers/1/value").json()
    assert before["updates"] == 3
    end = END + dt.timedelta(days=4)
    rows = pl.concat([transactions(), as_transactions([posted[0], posted[3]])])  # "b" and "late" are missing
    promote_bundle(home, write_run(home / "second", rows, end), "test")
    assert eventually(lambda: service.get("/health/ready").json()["model_version"] == "second")
    after = service.get("/v1/customers/1/value").json()
    assert (after["updates"], after["frequency"]) == (2, before["frequency"])
    assert after["as_of"] == end.isoformat()
    assert service.get("/v1/customers/500/value").json()["updates"] == 0
    again = service.post("/v1/purchases", json=posted).json()
    assert (again["accepted"], again["duplicates"]) == (0, 4)
    late = {"order_id": "later", "customer_id": "1", "timestamp": "2025-07-03T12:00:00Z"}
    service.post(
        "/v1/purchases", json=order(1, "x") | late
    ).raise_for_status()  # within the run's days, unread
    assert service.get("/v1/customers/1/value").json()["frequency"] == before["frequency"] + 1
    assert service.post("/v1/admin/rollback").status_code == 200
    back = service.get("/v1/customers/1/value").json()
    assert (back["updates"], back["frequency"]) == (4, before["frequency"] + 1)


def test_without_order_ids_what_happened_up_to_the_runs_last_day_is_the_runs(tmp_path: Path) -> None:
    rows = transactions().drop("order_id")
    promote_bundle(tmp_path, write_run(tmp_path / "v1", rows), "test")
    with running(Settings(runs=tmp_path, access_log=False)) as client:
        refused = client.post("/v1/purchases", json=order(1, "a", day=0))
        assert refused.json()["type"].endswith("#too-old")
        assert client.post("/v1/purchases", json=order(1, "a", day=1)).status_code == 200


def test_an_erasure_reaches_what_arrived_and_keeps_the_customer_out(
    home: Path, service: httpx.Client
) -> None:
    service.post("/v1/purchases", json=[order(1, "a"), order(77777, "of-a-stranger")]).raise_for_status()
    assert service.get("/v1/customers/77777/value").json()["frequency"] == 0
    assert service.delete("/v1/customers/77777").status_code == 204
    assert service.get("/v1/customers/77777/value").status_code == 404
    refused = service.post("/v1/purchases", json=[order(2, "b"), order(77777, "c")])
    assert (refused.status_code, refused.json()["errors"][0]["at"]) == (410, "$[1].customer_id")

    def gone() -> bool:
        files = [path.read_bytes() for path in home.glob("arrivals.sqlite*")]
        return not any(b"of-a-stranger" in data or b"77777" in data for data in files)

    assert eventually(gone, seconds=60)
    assert service.get("/v1/customers/1/value").json()["updates"] == 1
    assert rewrite_bundles(home) == []


def test_workers_know_of_each_others_arrivals_at_once(home: Path, service: httpx.Client) -> None:
    with running(Settings(runs=home, access_log=False)) as other:
        for i in range(20):
            asked, told = (service, other) if i % 2 else (other, service)
            told.post("/v1/purchases", json=order(1, f"o-{i}", day=1 + i)).raise_for_status()
            assert asked.get("/v1/customers/1/value").json()["updates"] == i + 1
        assert service.post("/v1/purchases", json=order(1, "o-0")).json()["duplicates"] == 1


def test_a_bundle_without_a_model_takes_in_nothing_and_says_why(sample: Path) -> None:
    with running(bundle=sample) as client:
        answer = client.post("/v1/purchases", json=order(1, "a"))
        assert answer.status_code == 409
        assert "no purchase model" in answer.json()["detail"]


def test_writing_needs_its_own_scope(home: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    key = {scope: create_key(keys, scopes=[scope], name=scope)[0] for scope in ("read", "write")}
    with running(Settings(runs=home, keys=keys, access_log=False)) as client:
        for scope, status in (("read", 403), ("write", 200)):
            headers = {"authorization": f"Bearer {key[scope]}"}
            assert client.post("/v1/purchases", json=order(1, "a"), headers=headers).status_code == status


def test_what_is_acknowledged_is_forced_to_the_disk(home: Path) -> None:
    database = Arrivals(home).open()
    full, log = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode"))
    database.close()
    assert (full, log) == (2, "wal")  # FULL: SQLite forces its log before a commit returns


def test_a_full_disk_refuses_and_counts_nothing(service: httpx.Client) -> None:
    service.post("/v1/purchases", json=order(1, "a")).raise_for_status()
    database = service.app.state.intake._database  # type: ignore[attr-defined]
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages}")
    rows = [order(2, f"b-{i}") for i in range(2000)]
    full = service.post("/v1/purchases", json=rows)
    assert (full.status_code, full.json()["type"].rpartition("#")[2]) == (507, "disk-full")
    assert service.get("/v1/customers/2/value").json()["updates"] == 0
    database.execute("PRAGMA max_page_count = 1000000")
    assert service.post("/v1/purchases", json=rows).json()["accepted"] == 2000


def test_a_damaged_file_of_arrivals_costs_no_score(home: Path, service: httpx.Client) -> None:
    service.post("/v1/purchases", json=order(1, "a")).raise_for_status()
    assert Arrivals(home).holds("1")
    with running(Settings(runs=home, access_log=False)) as fresh:
        assert fresh.get("/v1/customers/1/value").json()["updates"] == 1
    for path in home.glob("arrivals.sqlite*"):
        path.unlink()
    (home / "arrivals.sqlite").write_bytes(b"no database at all" * 300)
    with running(Settings(runs=home, access_log=False)) as fresh:
        assert fresh.get("/v1/customers/1/value").json()["updates"] == 0
        assert fresh.post("/v1/purchases", json=order(1, "a")).status_code == 503


def test_a_killed_service_has_lost_nothing_that_it_acknowledged(home: Path) -> None:
    acknowledged: list[str] = []
    with serving(home, "--no-access-log") as (process, url):
        stop = threading.Event()

        def send(sender: int) -> None:
            with httpx.Client(base_url=url) as client:
                for i in range(100_000):
                    key = f"{sender}-{i}"
                    try:
                        row = order(1 + sender, key, day=1 + i % 30)
                        client.post("/v1/purchases", content=json.dumps(row), headers=JSON).raise_for_status()
                    except httpx.HTTPError:
                        return
                    acknowledged.append(key)
                    if stop.is_set():
                        return

        senders = [threading.Thread(target=send, args=(i,)) for i in range(4)]
        for sender in senders:
            sender.start()
        assert eventually(lambda: len(acknowledged) > 100, seconds=60)
        os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.1)
        stop.set()
        for sender in senders:
            sender.join()
    kept = Arrivals(home)
    database = kept.open()
    found = {arrival.key for arrival in kept.read(database)}
    database.close()
    assert len(acknowledged) > 100
    assert set(acknowledged) <= found
    with running(Settings(runs=home, access_log=False)) as client:
        told = sum(client.get(f"/v1/customers/{1 + i}/value").json()["updates"] for i in range(4))
        assert told == len(found)


JSON = {"content-type": "application/json"}
