"""Filters, counts, grids and segments: the same customers whichever way they are asked for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.filtering import compile_filter
from api.store import Store
from experiments.bundle.reading import load_bundle
from experiments.filters import (
    DEEPEST,
    FilterError,
    bind_filter,
    filter_expression,
    parse_filter,
)
from experiments.sampling import sample_ids
from experiments.segments import Segment, count_segments, unique_names
from experiments.tombstones import add_tombstone
from histories.errors import ConfigError
from tests.running import running
from tests.sample_bundle import sample_customers, write_sample

N = 120
SEGMENTS = (
    Segment(name="north, loyal", filter='and(eq(region, "north"), ge(frequency, 1))'),
    Segment(name="half of them", filter='and(segment("north, loyal"), sample(.5, "spring"))'),
)


def _profiles(customers: pl.DataFrame) -> pl.DataFrame:
    ids = customers["customer_id"].sort()
    return pl.DataFrame(
        {
            "customer_id": ids,
            "region": [("north", "south", None)[n % 3] for n in range(len(ids))],
            "consent": [(True, False, None, True)[n % 4] for n in range(len(ids))],
            "acquired_at": [dt.date(2025, 1, 1) + dt.timedelta(days=n) for n in range(len(ids))],
        }
    ).filter(pl.col("customer_id").cast(pl.String).str.ends_with("7").not_())


@pytest.fixture(scope="module", params=[False, True], ids=["integer ids", "text ids"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    customers = sample_customers(N, text=request.param)
    profiles = _profiles(customers)
    return write_sample(
        tmp_path_factory.mktemp("audience") / "b",
        tables={"customers": customers, "profiles": profiles},
        segments=count_segments(SEGMENTS, customers, profiles),
    )


@pytest.fixture(scope="module")
def frame(bundle: Path) -> pl.DataFrame:
    found = load_bundle(bundle)
    customers = found.table("customers").sort("customer_id")
    return customers.join(found.table("profiles"), on="customer_id", how="left", maintain_order="left")


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[httpx.Client]:
    with running(bundle=bundle) as found:
        yield found


CASES = {
    "gt(customer_lifetime_value, 100)": pl.col("customer_lifetime_value") > 100,
    "and(ge(frequency,1),lt(churn_probability,.5))": (pl.col("frequency") >= 1)
    & (pl.col("churn_probability") < 0.5),
    'or(eq(region,"north"),eq(consent,false))': (pl.col("region") == "north") | ~pl.col("consent"),
    'not(eq(region,"north"))': pl.col("region").ne_missing("north"),
    'ne(region,"north")': pl.col("region") != "north",
    'gt(region,"o")': pl.col("region") > "o",
    'le(region,"north")': pl.col("region") <= "north",
    'lt(region,"north")': pl.col("region") < "north",
    'in(region,"south","west")': pl.col("region") == "south",
    'eq(region,"west")': pl.lit(False),
    "unknown(monetary_value)": pl.col("monetary_value").is_null(),
    "known(expected_next_purchase)": pl.col("expected_next_purchase").is_not_null(),
    "ne(monetary_value, 3)": pl.col("monetary_value").is_not_null(),
    'between(acquired_at,"2025-02-01","2025-03-01")': pl.col("acquired_at").is_between(
        dt.date(2025, 2, 1), dt.date(2025, 3, 1)
    ),
    "in(decile,1,2,10)": pl.col("decile").is_in([1, 2, 10]),
    'eq("region","north")': pl.col("region") == "north",
}


@pytest.mark.parametrize("text", CASES, ids=list(CASES))
def test_a_filter_keeps_whom_it_says(client: httpx.Client, frame: pl.DataFrame, text: str) -> None:
    expected = frame.filter(CASES[text].fill_null(False))
    names = expected["customer_id"].cast(pl.String).to_list()
    listed = client.get("/v1/customers", params={"filter": text, "limit": 1000}).raise_for_status().json()
    assert [row["customer_id"] for row in listed["customers"]] == names
    counted = client.get("/v1/customers/count", params={"filter": text}).raise_for_status().json()
    assert (counted["customers"], counted["of"]) == (len(names), N)
    assert counted["customer_lifetime_value"] == pytest.approx(
        float(expected["customer_lifetime_value"].sum()), rel=1e-12
    )


def _filters() -> st.SearchStrategy[str]:
    numbers = st.sampled_from(["0", "1", "2", ".5", "50", "-3"])
    leaves = st.one_of(
        st.builds(
            "{}({},{})".format,
            st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]),
            st.sampled_from(["frequency", "decile", "monetary_value", "customer_lifetime_value"]),
            numbers,
        ),
        st.builds(
            '{}(region,"{}")'.format,
            st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge", "in"]),
            st.sampled_from(["", "north", "o", "south", "z"]),
        ),
        st.builds(
            "{}({})".format, st.sampled_from(["known", "unknown"]), st.sampled_from(["consent", "region"])
        ),
        st.builds('sample({},"{}")'.format, st.sampled_from(["0", ".3", "1"]), st.sampled_from("ab")),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            inner.map("not({})".format),
            st.builds("{}({},{})".format, st.sampled_from(["and", "or"]), inner, inner),
        ),
        max_leaves=6,
    )


@given(text=_filters())
@settings(max_examples=60, deadline=None)
def test_columns_and_frames_understand_a_filter_alike(text: str) -> None:
    store, frame = _small()
    bound = bind_filter(parse_filter(text), store.types)
    from experiments.segments import _samples

    samples = {
        s: pl.lit(pl.Series(sample_ids(frame["customer_id"], s.name) < s.share)) for s in _samples(bound)
    }
    mask = compile_filter(store, bound)(slice(0, len(store)))
    rows = np.flatnonzero(mask).tolist()
    assert frame.with_row_index().filter(filter_expression(bound, samples))["index"].to_list() == rows


_cache: dict[str, Any] = {}


def _small() -> tuple[Store, pl.DataFrame]:
    if not _cache:
        import tempfile

        customers = sample_customers(60, text=True)
        path = Path(tempfile.mkdtemp()) / "b"
        write_sample(path, tables={"customers": customers, "profiles": _profiles(customers)})
        bundle = load_bundle(path)
        frame = bundle.table("customers").sort("customer_id")
        joined = frame.join(bundle.table("profiles"), on="customer_id", how="left", maintain_order="left")
        _cache["found"] = Store(bundle), joined
    found: tuple[Store, pl.DataFrame] = _cache["found"]
    return found


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "character 1: expected one of"),
        ("gt(frequency)", "a column and 1 values"),
        ("gt(frequency,1", 'character 15: expected ")"'),
        ("gt(frequency,1))", "the end of the filter"),
        ("gt(frequenzy,1)", 'did you mean "frequency"'),
        ("get(frequency,1)", 'did you mean "g'),
        ('gt(frequency,"1")', "is compared with a number"),
        ("eq(region,1)", "a text in double quotes"),
        ("eq(region,'north')", "character 11"),
        (
            "churn_probability > 0.5",
            'character 19: ">" is no part of the language. It is written in words: and(',
        ),
        ("eq(acquired_at,20250101)", "a date such as"),
        ('eq(acquired_at,"2025-13-01")', "a date such as"),
        ("eq(consent,1)", "true or false"),
        ("in(region)", "1 to 100"),
        ("not(known(region),known(region))", 'expected ")"'),
        ('segment("south")', "no such segment"),
        ('sample(2,"x")', "from 0 to 1"),
        ("eq(customer_id,7)", "no such column"),
        ("gt(frequency,1e999)", "character"),
        ("and(" * 40 + "known(region)" + ")" * 40, f"{DEEPEST} are allowed"),
        (f"or({','.join(['known(region)'] * 101)})", "100 are allowed"),
        ("known(region) or 1=1", "the end of the filter"),
        ('eq(region,"\\ud800")', "as JSON writes it"),
    ],
)
def test_a_wrong_filter_is_refused_with_its_place(client: httpx.Client, text: str, word: str) -> None:
    for path in ("/v1/customers", "/v1/customers/count"):
        answer = client.get(path, params={"filter": text})
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert error["at"] == "query.filter"
        assert word in error["detail"]


def test_segments_are_named_counted_and_usable_in_filters(client: httpx.Client, frame: pl.DataFrame) -> None:
    north = frame.filter((pl.col("region") == "north") & (pl.col("frequency") >= 1))
    listed = client.get("/v1/segments").json()["segments"]
    assert [segment["name"] for segment in listed] == ["north, loyal", "half of them"]
    assert listed[0]["customers"] == north.height
    assert 0 < listed[1]["customers"] < north.height
    question = {"filter": 'segment("north, loyal")'}
    assert client.get("/v1/customers/count", params=question).json()["customers"] == north.height
    rest = 'and(segment("north, loyal"),not(sample(.5,"spring")))'
    others = client.get("/v1/customers/count", params={"filter": rest}).json()["customers"]
    assert others + listed[1]["customers"] == north.height


def test_any_column_sorts_and_any_columns_are_answered(client: httpx.Client, frame: pl.DataFrame) -> None:
    for column in ("T", "region", "first_purchase", "decile", "consent", "monetary_value"):
        for descending in (False, True):
            sort = f"{'-' if descending else ''}{column}"
            question = {"sort": sort, "fields": f"{column},region", "limit": 1000}
            rows = client.get("/v1/customers", params=question).raise_for_status().json()["customers"]
            assert set(rows[0]) == {"customer_id", column, "region"}
            values = [row[column] for row in rows]
            known = [value for value in values if value is not None]
            assert known == sorted(known, reverse=descending)
            assert values[len(known) :] == [None] * (N - len(known))
            assert len({row["customer_id"] for row in rows}) == N
    refused = client.get("/v1/customers", params={"fields": "regoin"})
    assert 'did you mean "region"' in refused.json()["errors"][0]["detail"]
    assert client.get("/v1/customers", params={"sort": "-regoin"}).status_code == 422


def test_a_grid_counts_everybody_once(client: httpx.Client, frame: pl.DataFrame) -> None:
    question = {
        "x": "recency",
        "y": "monetary_value",
        "x_parts": 7,
        "y_parts": 5,
        "filter": "ge(frequency,1)",
    }
    grid = client.get("/v1/customers/grid", params=question).raise_for_status().json()
    counts = np.array(grid["counts"])
    kept = frame.filter(pl.col("frequency") >= 1)
    assert counts.shape == (7, 5)
    assert counts.sum() + grid["without_value"] == kept.height
    edges = grid["x"]["edges"]
    third = kept.drop_nulls("monetary_value").filter(
        (pl.col("recency") >= edges[2]) & (pl.col("recency") < edges[3])
    )
    assert counts[2].sum() == third.height
    days = client.get("/v1/customers/grid", params={"x": "acquired_at", "y": "frequency"}).json()
    assert days["x"]["edges"][0] == "2025-01-01"
    assert client.get("/v1/customers/grid", params={"x": "region", "y": "T"}).status_code == 422


def test_columns_are_listed_with_their_types_and_texts(client: httpx.Client) -> None:
    columns = {row["column"]: row for row in client.get("/v1/customers/columns").json()["columns"]}
    assert columns["region"]["type"] == "text"
    assert columns["region"]["texts"] == ["north", "south"]
    assert columns["total_value"]["unit"] == "currency"
    assert all(row["words"] for row in columns.values())
    assert columns["acquired_at"]["type"] == "date"
    assert columns["frequency"]["type"] == "number"


def test_the_erased_are_not_counted(tmp_path: Path) -> None:
    bundle = write_sample(tmp_path / "b", n=20)
    with running(bundle=bundle) as client:
        add_tombstone(tmp_path, 7)
        counted = client.get("/v1/customers/count").json()
        assert (counted["customers"], counted["of"]) == (19, 19)


def test_segments_with_one_name_or_a_wrong_filter_are_refused_by_the_configuration() -> None:
    with pytest.raises(ConfigError, match='two are called "a"'):
        unique_names((Segment(name="a", filter="known(x)"), Segment(name="a", filter="known(y)")))
    with pytest.raises(ValueError, match="character 1"):
        Segment(name="a", filter="x")
    customers = sample_customers(5)
    with pytest.raises(FilterError, match="no such column"):
        count_segments((Segment(name="a", filter="known(region)"),), customers, None)
    loop = (
        Segment(name="a", filter='segment("b")'),
        Segment(name="b", filter='segment("a")'),
    )
    with pytest.raises(FilterError, match="name each other"):
        count_segments(loop, customers, None)
