"""Yesterday's bundle and today's rows are what a recomputation of all rows would be, with the same models."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from clv.rescoring import Rescorer
from clv.updating import Bought, merge_purchases, summarize_customer
from experiments.brands import for_brand
from experiments.bundle.reading import Bundle, load_bundle
from experiments.config import RunConfig, parse_config
from experiments.inputs import read_inputs
from experiments.parts.histories import Histories, build_histories
from experiments.renewing import Renewed, renew
from experiments.run import run_experiment
from experiments.scoring import score_bundle
from experiments.tombstones import Tombstones, add_tombstone, load_tombstones
from experiments.updating import check_same, update_bundle
from histories.errors import BundleError, ConfigError, DataError
from histories.money import MONEY_SCALE
from tests.experiments.small import TREE, merged, small_company

YESTERDAY = date(2025, 11, 30)
SETTINGS = {
    "observation_end": YESTERDAY.isoformat(),
    "value": {"models": ["bg_nbd", "mbg_nbd"], "posterior_draws": 100},
}
EXACT = ("first_purchase", "frequency", "recency", "T", "monetary_value", "historic_value")
SCORED = ("probability_alive", "churn_probability", "expected_purchases", "customer_lifetime_value")

Row = dict[str, str]


def rows_of(text: str) -> list[Row]:
    return list(csv.DictReader(io.StringIO(text)))


def text_of(rows: Sequence[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def until(rows: Iterable[Row], day: date) -> list[Row]:
    return [row for row in rows if row["timestamp"][:10] <= day.isoformat()]


def configure(folder: Path, tables: Mapping[str, str], tree: Mapping[str, Any] | None = None) -> RunConfig:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    whole = merged(merged(TREE, SETTINGS), tree or {})
    return parse_config({**whole, "inputs": {name: f"{name}.csv" for name in tables}}, base_dir=folder)


def company() -> dict[str, str]:
    tables = small_company(60)
    return {name: tables[name] for name in ("transactions", "touchpoints", "customers", "cases", "costs")}


ORDERS = rows_of(company()["transactions"])
TOUCHES = rows_of(company()["touchpoints"])


def grown(orders: Sequence[Row], touches: Sequence[Row] = TOUCHES) -> dict[str, str]:
    return company() | {"transactions": text_of(orders), "touchpoints": text_of(touches)}


@pytest.fixture(scope="module")
def yesterday(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Bundle:
    """The run of all rows up to yesterday but a few, which come late."""
    folder = tmp_path_factory.mktemp("yesterday")
    shutil.copytree(empty_store, folder / "mlruns")
    orders = [row for i, row in enumerate(until(ORDERS, YESTERDAY)) if i % 23 != 5]
    config = configure(folder, grown(orders, until(TOUCHES, YESTERDAY)))
    return load_bundle(run_experiment(config, runs=folder / "runs", mlruns=folder / "mlruns").bundle)


def known_orders() -> list[Row]:
    return [row for i, row in enumerate(until(ORDERS, YESTERDAY)) if i % 23 != 5]


def histories_of(folder: Path, tables: Mapping[str, str], end: date) -> tuple[RunConfig, Histories]:
    config = configure(folder, tables, {"observation_end": end.isoformat()})
    return config, build_histories(config, read_inputs(config))


def renewed(
    bundle: Bundle, folder: Path, tables: Mapping[str, str], end: date, *, only_changed: bool = False
) -> Renewed:
    config, histories = histories_of(folder, tables, end)
    return renew(bundle, config, histories, erased=Tombstones(), only_changed=only_changed)


def by_hand(orders: Sequence[Row], end: date) -> dict[int, Any]:
    """Summaries of customers in plain Python, by the other implementation of the same definitions."""
    bought: dict[int, list[Bought]] = {}
    for row in orders:
        amount = round(float(row["amount"]) * MONEY_SCALE)
        time = datetime.fromisoformat(row["timestamp"])
        bought.setdefault(int(row["customer_id"]), []).append(Bought(timestamp=time, amount=amount))
    merged_ = {
        customer: merge_purchases([], of, purchase_unit="day", count_zero=False)
        for customer, of in bought.items()
    }
    found = {c: summarize_customer(of, as_of=end, time_unit="week") for c, of in merged_.items()}
    return {customer: summary for customer, summary in found.items() if summary is not None}


def assert_summaries_are(customers: pl.DataFrame, expected: Mapping[int, Any]) -> None:
    found = {row["customer_id"]: row for row in customers.iter_rows(named=True)}
    assert found.keys() == expected.keys()
    for customer, summary in expected.items():
        row = found[customer]
        names = ("first_purchase", "frequency", "recency", "T", "monetary_value")
        assert [row[name] for name in names] == [getattr(summary, name) for name in names]


def test_the_rows_of_the_run_itself_on_its_own_day_give_its_own_table(
    yesterday: Bundle, tmp_path: Path
) -> None:
    tables = grown(known_orders(), until(TOUCHES, YESTERDAY))
    found = renewed(yesterday, tmp_path, tables, YESTERDAY)
    assert (found.new, found.changed, found.late, found.gone) == (0, 0, 0, 0)
    before = yesterday.table("customers")
    assert before["customer_lifetime_value_high"].null_count() == 0
    assert before["cost_to_serve"].null_count() < before.height
    ids = before["customer_id"].to_list()
    assert found.tables["customers"]["customer_id"].to_list() == ids
    assert_frame_equal(found.tables["customers"], before, rel_tol=1e-9)
    for name in ("purchases", "touchpoints"):
        assert_frame_equal(found.large[name].collect(), yesterday.table(name), rel_tol=1e-9)
    for name in ("orders", "profiles"):
        assert_frame_equal(found.tables[name], yesterday.table(name))


changes = st.lists(
    st.tuples(
        st.sampled_from(["corrected", "moved", "withdrawn", "late", "today", "newcomer"]),
        st.integers(0, 10_000),
        st.integers(1, 90_000),
    ),
    max_size=12,
)


def apply(changes: Sequence[tuple[str, int, int]], days: int) -> tuple[list[Row], set[str]]:
    """Yesterday's orders after corrections and with further rows; the customers whose rows changed."""
    orders = [dict(row) for row in known_orders()]
    touched: set[str] = set()
    for number, (kind, place, cents) in enumerate(changes):
        row = orders[place % len(orders)]
        touched.add(row["customer_id"])
        if kind == "corrected":
            row["amount"] = str(cents / 100)
        elif kind == "moved":
            row["timestamp"] = f"{date(2025, 1, 1) + timedelta(days=place % 330)} 08:00:00"
        elif kind == "withdrawn" and sum(r["customer_id"] == row["customer_id"] for r in orders) > 1:
            orders.remove(row)
        elif kind in ("late", "today", "newcomer"):
            first = date(2025, 6, 1) if kind == "late" else YESTERDAY + timedelta(days=1)
            day = first + timedelta(days=place % (days if kind != "late" else 150))
            customer = str(5000 + place % 3) if kind == "newcomer" else row["customer_id"]
            touched.add(customer)
            orders.append(
                {
                    "customer_id": customer,
                    "timestamp": f"{day} 10:00:00",
                    "amount": str(cents / 100),
                    "order_id": f"new{number}",
                }
            )
    return orders, touched


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=changes, days=st.integers(1, 30))
def test_late_corrected_withdrawn_and_new_rows_give_what_a_recomputation_gives(
    yesterday: Bundle,
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[str, int, int]],
    days: int,
) -> None:
    end = YESTERDAY + timedelta(days=days)
    orders, touched = apply(changes, days)
    touches = [row for row in TOUCHES if row["timestamp"][:10] <= end.isoformat()]
    folder = tmp_path_factory.mktemp("today")
    config, histories = histories_of(folder / "whole", grown(orders, touches), end)
    whole = renew(yesterday, config, histories, erased=Tombstones())
    assert_summaries_are(whole.tables["customers"], by_hand(orders, end))

    scored = score_bundle(yesterday, histories).customers
    moved = {str(name) for name in changed_by_hand(orders, end)}
    assert moved <= touched
    columns = ("customer_id", *EXACT[:-1], *SCORED)
    now = whole.tables["customers"].sort("customer_id").select(columns)
    assert_frame_equal(now, scored.sort("customer_id").select(columns), rel_tol=1e-9)
    assert whole.changed == len(moved & known_ids(yesterday))
    assert whole.new == len(moved - known_ids(yesterday))

    met = {row["customer_id"] for row in touches if row["timestamp"][:10] > YESTERDAY.isoformat()}
    some = (touched | met) & {row["customer_id"] for row in orders}
    if some and met <= some:
        named = [[row for row in rows if row["customer_id"] in some] for rows in (orders, touches)]
        part = grown(named[0], named[1] or [touches[0] | {"customer_id": min(some)}])
        carried = renewed(yesterday, folder / "part", part, end, only_changed=True)
        assert_frame_equal(carried.tables["customers"], whole.tables["customers"], rel_tol=1e-9)
        assert_frame_equal(carried.large["purchases"].collect(), whole.large["purchases"].collect())


def known_ids(bundle: Bundle) -> set[str]:
    return set(bundle.table("customers")["customer_id"].cast(pl.String))


def changed_by_hand(orders: Sequence[Row], end: date) -> list[int]:
    """Customers whose purchases by day differ from those that the bundle knows."""

    def days(rows: Sequence[Row]) -> dict[int, dict[str, int]]:
        found: dict[int, dict[str, int]] = {}
        for row in rows:
            of = found.setdefault(int(row["customer_id"]), {})
            day = row["timestamp"][:10]
            of[day] = of.get(day, 0) + round(float(row["amount"]) * MONEY_SCALE)
        return found

    before, now = days(known_orders()), days(until(orders, end))
    return [customer for customer in now if before.get(customer) != now[customer]]


@pytest.mark.parametrize("only_changed", [False, True])
def test_who_was_erased_and_is_in_the_tables_still_counts_nowhere(
    yesterday: Bundle, tmp_path: Path, *, only_changed: bool
) -> None:
    end, known = YESTERDAY + timedelta(days=9), int(known_orders()[0]["customer_id"])
    came = [
        {**known_orders()[0], "customer_id": str(who), "timestamp": f"{end}T10:00:00Z"}
        for who in (known, 7_777)
    ]
    config, histories = histories_of(tmp_path, grown([*known_orders(), *came]), end)
    counts = {}
    for who in ((), (known, 7_777)):
        for one in who:
            add_tombstone(tmp_path / "runs", one)
        erased = load_tombstones(tmp_path / "runs")
        found = renew(yesterday, config, histories, erased=erased, only_changed=only_changed)
        counts[len(who)] = (found.new, found.changed, found.gone, found.tables["customers"].height)
    customers = yesterday.table("customers").height
    assert counts == {0: (1, 1, 0, customers + 1), 2: (0, 0, 0, customers - 1)}


def test_who_did_not_change_ages_under_the_forecast_of_the_run(yesterday: Bundle, tmp_path: Path) -> None:
    end = YESTERDAY + timedelta(days=9)
    found = renewed(yesterday, tmp_path, grown(known_orders(), until(TOUCHES, YESTERDAY)), end)
    assert (found.new, found.changed, found.gone) == (0, 0, 0)
    now, before = (
        table.sort("customer_id") for table in (found.tables["customers"], yesterday.table("customers"))
    )
    assert (now["T"] - before["T"]).to_list() == pytest.approx([9 / 7] * now.height)
    assert_frame_equal(
        now.select("frequency", "recency", "historic_value"),
        before.select("frequency", "recency", "historic_value"),
    )
    rescorer = Rescorer.from_card(yesterday.model)
    level = np.full(now.height, rescorer.level)
    today = rescorer.values(now.drop("monetary_value"), factor=level, as_of=end)
    seen = now["expected_purchases"].to_numpy() / today["expected_purchases"]
    assert np.ptp(seen) > 0.01  # customer by customer, not at one level
    assert now["probability_alive"].sum() < before["probability_alive"].sum()


def test_an_update_is_a_bundle_that_stands_beside_the_run_and_can_be_updated_again(
    yesterday: Bundle, tmp_path: Path, mlruns: Path
) -> None:
    days = [YESTERDAY + timedelta(days=n) for n in (10, 31)]
    made = yesterday.path
    for number, day in enumerate(days):
        tables = grown(until(ORDERS, day), until(TOUCHES, day))
        config = configure(tmp_path / str(number), tables, {"observation_end": day.isoformat()})
        found = update_bundle(made, config, runs=tmp_path / "runs", mlruns=mlruns)
        made = found.bundle
    bundle = load_bundle(made)
    assert (found.since, found.as_of, bundle.manifest["as_of"]) == (days[0], days[1], days[1].isoformat())
    assert_summaries_are(bundle.table("customers"), by_hand(until(ORDERS, days[1]), days[1]))
    assert bundle.table("purchases")["date"].max() > YESTERDAY
    for name in ("credits", "paths", "customer_credits", "validation", "care"):
        assert_frame_equal(bundle.table(name), yesterday.table(name))
    assert bundle.file("report.html") == yesterday.file("report.html")
    assert bundle.model["final"] == yesterday.model["final"]
    total = bundle.table("customers")["customer_lifetime_value"].sum()
    assert bundle.model["totals"]["customer_lifetime_value"] == pytest.approx(total)
    told = [note for note in bundle.manifest["notes"] if note.startswith("An update")]
    assert told == [
        f"An update: customers, purchases and touchpoints are of {days[1]}; models, credit, effects, "
        f"service figures and the report are those of the run of {YESTERDAY}."
    ]
    assert bundle.manifest["model_version"] != yesterday.manifest["model_version"]


def test_an_update_by_buckets_is_the_one_in_memory(yesterday: Bundle, tmp_path: Path, mlruns: Path) -> None:
    end = YESTERDAY + timedelta(days=20)
    config = configure(
        tmp_path, grown(until(ORDERS, end), until(TOUCHES, end)), {"observation_end": end.isoformat()}
    )
    whole, parts = (
        load_bundle(
            update_bundle(yesterday.path, config, runs=tmp_path / "runs", mlruns=mlruns, memory=memory).bundle
        )
        for memory in (None, "320KB")
    )
    for name in ("customers", "purchases", "touchpoints"):
        assert_frame_equal(parts.table(name), whole.table(name), rel_tol=1e-9)


def test_an_update_of_one_brands_bundle_is_of_that_brand(tmp_path: Path, mlruns: Path) -> None:
    cases = [row | {"brand": "AB"[i % 2]} for i, row in enumerate(rows_of(company()["cases"]))]
    wrote = [{"post_id": f"p{n}", "platform": "x", "author": f"u{n}", "brand": "A"} for n in range(1, 30)]
    posts = [row | {"timestamp": "2025-11-01 10:00", "is_brand": "false"} for row in wrote]
    posts.append(posts[0] | {"post_id": "answer", "author": "desk", "is_brand": "true"})
    links = [{"platform": "x", "handle": f"u{n}", "customer_id": str(n)} for n in range(1, 30)]
    told = {"cases": text_of(cases), "posts": text_of(posts), "identities": text_of(links)}
    config = configure(tmp_path / "a", grown(until(ORDERS, YESTERDAY)) | told)
    run = run_experiment(for_brand(config, "A"), runs=tmp_path / "runs", mlruns=mlruns)
    today = configure(tmp_path / "b", grown(ORDERS) | told, {"observation_end": "2025-12-05"})
    found = update_bundle(run.bundle, today, runs=tmp_path / "runs", mlruns=mlruns)
    assert (found.name, found.gone) == ("small, A", 0)
    before, now = (load_bundle(path).table("customers") for path in (run.bundle, found.bundle))
    assert set(before["customer_id"]) <= set(now["customer_id"])
    assert now.height < 60


def test_ids_that_become_texts_take_the_bundle_along(yesterday: Bundle, tmp_path: Path, mlruns: Path) -> None:
    day = YESTERDAY + timedelta(days=3)
    order = {"customer_id": "A1", "timestamp": f"{day} 10:00:00", "amount": "9.5", "order_id": "z"}
    tables = grown([*known_orders(), order], until(TOUCHES, YESTERDAY))
    config = configure(tmp_path, tables, {"observation_end": day.isoformat()})
    bundle = load_bundle(update_bundle(yesterday.path, config, runs=tmp_path / "runs", mlruns=mlruns).bundle)
    for name in ("customers", "purchases", "touchpoints", "customer_credits", "cases", "profiles"):
        assert bundle.table(name).schema["customer_id"] == pl.String(), name
    assert bundle.table("purchases")["customer_id"].is_sorted()
    assert "A1" in bundle.table("customers")["customer_id"]


def test_refusals_say_what_is_wrong_and_what_to_do(yesterday: Bundle, tmp_path: Path) -> None:
    whole = grown(known_orders(), until(TOUCHES, YESTERDAY))
    with pytest.raises(DataError, match=r"the tables end on 2025-11-29, and small-.* up to 2025-11-30"):
        renewed(yesterday, tmp_path / "old", whole, YESTERDAY - timedelta(days=1))
    later = YESTERDAY + timedelta(days=5)
    today = grown([row for row in ORDERS if YESTERDAY.isoformat() < row["timestamp"] < f"{later} 24"])
    with pytest.raises(DataError, match=r"\d+ of 60 customers of the bundle have no transactions"):
        renewed(yesterday, tmp_path / "today", today, later)
    with pytest.raises(DataError, match=r"have touchpoints but no transactions in the tables"):
        renewed(yesterday, tmp_path / "named", today, later, only_changed=True)
    alone = [{**ORDERS[0], "customer_id": row["customer_id"], "timestamp": f"{later}"} for row in TOUCHES]
    with pytest.raises(DataError, match=r"have fewer purchases up to 2025-11-30 .* not today's alone"):
        renewed(yesterday, tmp_path / "alone", grown(alone), later, only_changed=True)


@pytest.mark.parametrize(
    ("tree", "tables", "message"),
    [
        ({"value": {"horizon_months": 24}}, (), "value.horizon_months = 12, and the configuration says 24"),
        ({"currency": "USD"}, (), "currency = 'EUR'"),
        ({"attribution": {"lookback_days": 60}}, (), "attribution.lookback_days = 30"),
        ({}, ("touchpoints",), r"made with \[inputs.touchpoints\], and the configuration does not name it"),
    ],
)
def test_another_configuration_is_refused_by_its_first_key(
    yesterday: Bundle, tmp_path: Path, tree: dict[str, Any], tables: tuple[str, ...], message: str
) -> None:
    kept = {name: text for name, text in company().items() if name not in tables}
    with pytest.raises(ConfigError, match=message):
        check_same(yesterday, configure(tmp_path, kept, tree))


def test_what_cannot_be_updated_says_so(
    yesterday: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(tmp_path, company(), {"observation_end": "2026-01-31", "report": {}})
    check_same(yesterday, config)
    with pytest.raises(BundleError, match="fitted no purchase model"):
        check_same(replace(yesterday, model={}), config)
    with pytest.raises(BundleError, match="values follow from contracts"):
        check_same(replace(yesterday, model={**yesterday.model, "contract": {"a": 1}}), config)
    monkeypatch.setenv("TRIBUTARY_ID_KEY", "k" * 40)
    with pytest.raises(ConfigError, match="holds ids as they are: set, or unset, TRIBUTARY_ID_KEY"):
        check_same(yesterday, config)
    monkeypatch.delenv("TRIBUTARY_ID_KEY")
    keyed = replace(yesterday, manifest={**yesterday.manifest, "identities_check": "00"})
    with pytest.raises(ConfigError, match="holds handles under another key"):
        check_same(keyed, config)
