"""Figures of public data sets, where they lie beside the project."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from histories.engines.base import Tables
from histories.engines.spilled import Spilled
from histories.purchases import build_purchases, count_unmatched_refunds
from histories.reading.inputs import Inputs

DATA = Path(__file__).parents[2].parent / "shared" / "data"
Read = Callable[..., Inputs]

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the public data sets are not in ../shared/data")


def purchases_of(tables: Tables) -> dict[str, pl.LazyFrame]:
    return {"purchases": build_purchases(tables["transactions"])}


def retail(**options: Any) -> dict[str, Any]:
    columns = {
        "order_id": "invoice",
        "product": "stock_code",
        "timestamp": "invoice_ts",
        "unit_price": "unit_price_gbp",
    }
    return {
        "path": str(DATA / "online_retail" / "online_retail_2009_2010.parquet"),
        "columns": columns,
        **options,
    }


def cdnow(**options: Any) -> dict[str, Any]:
    columns = {"customer_id": 1, "timestamp": 2, "quantity": 3, "amount": 4}
    return {
        "path": str(DATA / "cdnow" / "CDNOW_master.txt.gz"),
        "separator": "whitespace",
        "timestamp_format": "%Y%m%d",
        "zero_orders": "count",
        "has_header": False,
        "columns": columns,
        **options,
    }


def test_cdnow_from_the_raw_text_equals_its_parquet_copy(read: Read) -> None:
    """69,659 rows, 23,570 customers, 167,881 CDs, $2,500,315.63; 255 equal rows, 80 of value 0."""
    columns = {"timestamp": "date", "quantity": "n_cds", "amount": "value_usd"}
    typed = {"path": str(DATA / "cdnow" / "cdnow_master.parquet"), "columns": columns, "zero_orders": "count"}
    end = {"observation_end": date(1998, 6, 30)}
    from_text, from_parquet = (read(transactions=source, **end) for source in (cdnow(), typed))
    table = from_text.tables["transactions"]
    assert (table.rows_read, table.rows_valid) == (69_660, 69_659)  # the header line is no row
    assert any("rows equal to an earlier one: 255" in note for note in table.notes)
    rows, others = (inputs["transactions"].collect() for inputs in (from_text, from_parquet))
    assert rows["amount"].to_list() == others["amount"].to_list()
    assert rows["timestamp"].to_list() == others["timestamp"].to_list()
    assert (rows["customer_id"].n_unique(), rows["quantity"].sum()) == (23_570, 167_881)
    assert rows["amount"].sum() == 25_003_156_300
    dropped = read(transactions={**typed, "zero_orders": "drop"}, **end).tables["transactions"]
    assert dropped.set_aside_by_rule == {"zero amount": 80}


def test_every_line_of_online_retail_is_accounted_for(read: Read) -> None:
    """525,461 lines, of which 107,927 without customer and 3 with a negative price."""
    inputs = read(transactions=retail(), observation_end=date(2010, 12, 9))
    table = inputs.tables["transactions"]
    assert table.rows_read == 525_461
    assert table.rejected_by_rule == {"negative unit_price": 3}
    assert table.set_aside_by_rule == {"guest": 107_924, "zero amount": 31}
    assert table.rows_valid + 3 + 107_924 + 31 == 525_461
    notes = " ".join(table.notes)
    assert "make 13.7% of the revenue" in notes
    assert "refunds among the valid rows: 9839" in notes
    assert "rows equal to an earlier one: 6771" in notes
    purchases = build_purchases(inputs["transactions"]).collect()
    assert purchases["amount"].min() > 0
    unmatched = count_unmatched_refunds(inputs["transactions"])
    net = inputs["transactions"].collect()["amount"].sum() / 10_000
    assert purchases["amount"].sum() / 10_000 - unmatched.amount == pytest.approx(net, abs=1e-6)


def test_online_retail_in_buckets_gives_the_same_purchases(read: Read, tmp_path: Path) -> None:
    rows = read(transactions=retail(), observation_end=date(2010, 12, 9))["transactions"]
    whole = build_purchases(rows).sort("customer_id", "timestamp").collect()
    buckets = Spilled(tmp_path, memory=1, buckets=3).scatter({"transactions": rows})
    parts = buckets.map(purchases_of).gather("purchases").collect()
    assert parts.sort("customer_id", "timestamp").equals(whole)
