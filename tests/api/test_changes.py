"""What changed between promotions: who moved, came, went, and entered or left a segment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest

from api.settings import Settings
from experiments.champion import promote_bundle
from experiments.segments import Segment, count_segments
from tests.running import running
from tests.sample_bundle import sample_customers, write_sample

SEGMENT = Segment(name="best", filter="gt(customer_lifetime_value,100)")
N = 40


def _frame(seed: int, *, text: bool) -> pl.DataFrame:
    """Customers 1 to 40; the second has other values for a third of them, 1 to 4 gone and 41 to 43 new."""
    frame = sample_customers(N + 3, text=text).sort("customer_id")
    value = pl.col("customer_lifetime_value")
    if seed == 1:
        return frame.head(N)
    row = pl.int_range(pl.len())
    moved = pl.when(row % 3 == 0).then(value + 10).when(row % 3 == 1).then(value + 0.5).otherwise(value)
    return frame.with_columns(customer_lifetime_value=moved).slice(4)


@pytest.fixture(scope="module", params=[False, True], ids=["integer ids", "text ids"])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool]:
    folder = tmp_path_factory.mktemp("changes")
    for seed in (1, 2):
        customers = _frame(seed, text=request.param)
        segments = count_segments((SEGMENT,), customers, None)
        write_sample(
            folder / f"v{seed}", version=f"v{seed}", tables={"customers": customers}, segments=segments
        )
        promote_bundle(folder, folder / f"v{seed}", "test")
    return folder, request.param


@pytest.fixture(scope="module")
def client(runs: tuple[Path, bool]) -> Iterator[httpx.Client]:
    with running(Settings(runs=runs[0], watch_seconds=60, access_log=False)) as found:
        yield found


def _expected(text: bool) -> pl.DataFrame:
    then, now = (
        _frame(seed, text=text).select("customer_id", value="customer_lifetime_value") for seed in (1, 2)
    )
    joined = now.join(then, on="customer_id", how="full", coalesce=True, suffix="_then")
    return joined.with_columns(pl.col("customer_id").cast(pl.String)).sort("customer_id")


def test_who_moved_came_and_went(client: httpx.Client, runs: tuple[Path, bool]) -> None:
    assert client.get("/v1/versions").json()["versions"] == ["v2", "v1"]
    expected = _expected(runs[1])
    for by, least in ((0, 0.0), (5, 5.0)):
        answer = client.get(f"/v1/customers/changes?since=v1&by={by}&limit=1000").raise_for_status().json()
        both = expected.drop_nulls()
        moved = both.filter((pl.col("value") - pl.col("value_then")).abs() > max(least - 1e-6, 1e-9))
        assert answer["counts"] == {"moved": moved.height, "entered": 3, "left": 4}
        found = {row["customer_id"]: row for row in answer["customers"] if row["status"] == "moved"}
        assert list(found) == moved["customer_id"].to_list()
        for name, value, then in moved.iter_rows():
            assert (found[name]["after"], found[name]["before"]) == (value, then)
    assert moved.height == 12


def test_pages_cover_all_changes_once(client: httpx.Client) -> None:
    whole = client.get("/v1/customers/changes?since=v1&limit=1000").json()["customers"]
    walked, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/v1/customers/changes?since=v1&limit=7{cursor and f'&cursor={cursor}'}").json()
        walked += page["customers"]
        cursor = page["next"]
    assert walked == whole


def test_who_entered_and_left_a_segment(client: httpx.Client, runs: tuple[Path, bool]) -> None:
    expected = _expected(runs[1])
    was, now = ((pl.col(name) > 100).fill_null(False) for name in ("value_then", "value"))
    answer = client.get("/v1/customers/changes?since=v1&segment=best&limit=1000").raise_for_status().json()
    rows = answer["customers"]
    found = {kind: [r["customer_id"] for r in rows if r["status"] == kind] for kind in ("entered", "left")}
    assert found["entered"] == expected.filter(now & ~was)["customer_id"].to_list()
    assert found["left"] == expected.filter(was & ~now)["customer_id"].to_list()
    assert found["entered"]


def test_what_cannot_be_compared_is_refused(client: httpx.Client) -> None:
    for question, status, name in (
        ("since=v9", 404, "unknown-version"),
        ("since=v1&segment=worst", 422, "invalid-request"),
        ("since=v1&column=regoin", 422, "invalid-request"),
        ("", 422, "invalid-request"),
        ("since=v1&cursor=abcdefghijklmnopqrstuvwx", 409, "stale-cursor"),
    ):
        answer = client.get(f"/v1/customers/changes?{question}")
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:tributary:problems#{name}"), (
            question
        )


def test_the_erased_are_counted_and_not_named(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_sample(
            tmp_path / f"v{seed}", version=f"v{seed}", tables={"customers": _frame(seed, text=False)}
        )
        promote_bundle(tmp_path, tmp_path / f"v{seed}", "test")
    with running(Settings(runs=tmp_path, watch_seconds=60, access_log=False)) as client:
        assert client.delete("/v1/customers/2").status_code == 204  # was in v1 alone
        assert client.delete("/v1/customers/7").status_code == 204
        answer = client.get("/v1/customers/changes?since=v1&limit=1000").json()
        names = {row["customer_id"] for row in answer["customers"]}
        assert not names & {"2", "7"}
        assert answer["erased"] == 2
        assert answer["counts"]["left"] == 3
