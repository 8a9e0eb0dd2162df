"""The memory-mapped columns answer what the tables say, for any ids and any nulls."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.store import Store
from experiments.bundle.columns import open_column, write_column
from experiments.bundle.reading import load_bundle
from tests.sample_bundle import sample_customers, write_sample

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
COLUMNS = {
    pl.Float64(): st.floats(allow_nan=False),
    pl.Int64(): st.integers(-(2**63) + 1, 2**63 - 1),
    pl.Boolean(): st.booleans(),
    pl.String(): TEXTS,
    pl.Date(): st.dates(),
    pl.Datetime("us"): st.datetimes().map(lambda time: time.replace(microsecond=0)),
}


@pytest.mark.parametrize("dtype", COLUMNS, ids=str)
@settings(max_examples=30, deadline=None, database=None)
@given(data=st.data(), part=st.integers(1, 25))
def test_a_stored_column_gives_every_value_back(dtype: pl.DataType, data: st.DataObject, part: int) -> None:
    values = data.draw(st.lists(st.one_of(st.none(), COLUMNS[dtype]), min_size=1, max_size=20))
    rows = pl.LazyFrame({"x": pl.Series("x", values, dtype=dtype)})
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.bundle.columns._PART", part)
        write_column(Path(folder), rows, len(values))
        column = open_column(Path(folder), "x", dtype)
        plain = [value.isoformat() if hasattr(value, "isoformat") else value for value in values]
        assert [column.item(row) for row in range(len(values))] == plain
        assert column.series(np.arange(len(values))).to_list() == values


@settings(max_examples=40, deadline=None, database=None)
@given(ids=st.sets(TEXTS, min_size=1, max_size=30), asked=st.lists(TEXTS, max_size=10))
def test_text_ids_are_found_and_others_are_not(ids: set[str], asked: list[str]) -> None:
    store = _store(pl.Series("customer_id", sorted(ids), dtype=pl.String))
    _assert_found(store, sorted(ids), asked)


INTEGERS = st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=40, deadline=None, database=None)
@given(
    ids=st.sets(INTEGERS, min_size=1, max_size=30),
    asked=st.lists(st.one_of(INTEGERS.map(str), TEXTS), max_size=10),
)
def test_integer_ids_are_found_by_their_decimal_and_others_are_not(ids: set[int], asked: list[str]) -> None:
    store = _store(pl.Series("customer_id", sorted(ids), dtype=pl.Int64))
    _assert_found(store, [str(value) for value in ids], asked)


def _store(ids: pl.Series) -> Any:
    """A store of ids alone."""
    with tempfile.TemporaryDirectory() as folder:
        from experiments.bundle.columns import open_key, write_key

        write_key(Path(folder), ids)
        return open_key(Path(folder))


def _assert_found(key: Any, ids: list[str], asked: list[str]) -> None:
    from api.store import find_row, find_rows

    order = {text: row for row, text in enumerate(key_texts(key))}
    assert set(order) == set(ids)
    every = [*ids, *asked, "", "07", "no such id"]
    expected = [order.get(text, -1) for text in every]
    assert [find_row(key, text) for text in every] == expected
    assert find_rows(key, every).tolist() == expected


def key_texts(key: Any) -> list[str]:
    return [str(value) if key.dtype.kind == "i" else value.decode() for value in key.tolist()]


def test_a_store_of_nobody_knows_nobody(tmp_path: Path) -> None:
    store = Store(
        load_bundle(write_sample(tmp_path / "b", tables={"customers": sample_customers(3).clear()}))
    )
    assert store.find("1") == -1
    assert store.find_many(["1", "2"]).tolist() == [-1, -1]


def test_customers_with_touchpoints_but_no_score_keep_their_touchpoints(tmp_path: Path) -> None:
    store = Store(
        load_bundle(write_sample(tmp_path / "b", tables={"customers": sample_customers(3).clear()}))
    )
    found = store.records_of(store.touchpoints, "1", limit=10)
    assert found is not None
    assert found[1] == 3


def test_a_worker_imports_neither_mlflow_nor_the_estimators(tmp_path: Path) -> None:
    bundle = write_sample(tmp_path / "b")
    script = """
import sys
from pathlib import Path
from api.app import create_app
from api.settings import Settings
from experiments.bundle.reading import load_bundle
create_app(Settings(), load_bundle(Path(sys.argv[1])))
import experiments.rewriting
print({"mlflow", "lifetimes", "scipy", "sklearn", "pandas", "numba"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script, bundle], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
