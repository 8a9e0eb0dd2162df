"""Arrow streams from strangers: what is damaged or made to burst is refused, whatever it is."""

from __future__ import annotations

import contextlib
import datetime as dt
import io

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import ipc

from api.streams import DamagedStreamError, StreamError, rows_of_stream

ROWS = pl.DataFrame(
    {
        "customer_id": ["7", "a customer with a long name", "9"],
        "timestamp": [dt.datetime(2026, 7, day, tzinfo=dt.UTC) for day in (1, 2, 3)],
        "amount": [1.5, 2.0, 3.25],
    }
)


def stream(frame: pl.DataFrame, **how: object) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, **how)  # type: ignore[arg-type]
    return buffer.getvalue()


def arrow(table: pa.Table, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


FORMS = [
    stream(ROWS),
    stream(ROWS, compat_level=pl.CompatLevel.oldest()),
    stream(ROWS.with_columns(pl.col("customer_id").cast(pl.Categorical))),
    stream(ROWS.with_columns(pl.col("timestamp").dt.cast_time_unit("ns"))),
    stream(ROWS.with_columns(pl.col("timestamp").dt.convert_time_zone("America/New_York"))),
    stream(ROWS.slice(0, 1)),
    arrow(pa.concat_tables([ROWS.slice(0, 2).to_arrow(), ROWS.slice(2).to_arrow()])),
]


@pytest.mark.parametrize("data", FORMS)
def test_a_stream_is_read_in_whatever_form_its_writer_chose(data: bytes) -> None:
    found = rows_of_stream(data, most=3)
    assert found == ROWS.to_dicts()[: len(found)]


def test_ids_that_are_numbers_are_read_as_texts() -> None:
    found = rows_of_stream(stream(pl.DataFrame({"customer_id": [7]})), most=1)
    assert found == [{"customer_id": "7"}]


@given(
    data=st.sampled_from(FORMS),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=5
    ),
    end=st.floats(0, 1),
)
@settings(max_examples=400, deadline=None, database=None)
def test_no_damage_does_more_than_be_refused(
    data: bytes, changes: list[tuple[float, int]], end: float
) -> None:
    damaged = bytearray(data)
    for place, value in changes:
        damaged[int(place * len(data))] = value
    with contextlib.suppress(StreamError):
        rows_of_stream(bytes(damaged[: int(end * 4 * len(data))]), most=10)


def test_a_claim_of_much_memory_is_refused_and_ends_nothing() -> None:
    data = bytearray(stream(ROWS))
    for place in range(len(data) - 8):
        damaged = bytes(data[:place]) + b"\xff\xff\xff\x7f\x00\x00\x00\x3a" + bytes(data[place + 8 :])
        with contextlib.suppress(StreamError):
            rows_of_stream(damaged, most=10)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_what_would_unpack_to_much_more_is_refused_unread(codec: str) -> None:
    table = pa.table({"amount": pa.array(np.zeros(3))})
    with pytest.raises(StreamError, match="compressed"):
        rows_of_stream(arrow(table, compression=codec), most=10)
    words = pa.table({"currency": pa.array(["GBP"] * 3).dictionary_encode()})
    with pytest.raises(StreamError, match="compressed"):
        rows_of_stream(arrow(words, compression=codec), most=10)


def test_more_rows_than_allowed_are_refused_before_they_are_made() -> None:
    table = pa.table({"amount": pa.nulls(10**7)})
    with pytest.raises(StreamError, match="10000000 rows"):
        rows_of_stream(arrow(table), most=10_000)


def test_many_rows_that_point_to_one_long_text_are_refused() -> None:
    text = pa.py_buffer(b"x" * 1_000_000)
    view = np.array([1_000_000, int.from_bytes(b"xxxx", "little"), 0, 0], dtype=np.int32)
    views = pa.py_buffer(np.tile(view, 10_000).tobytes())
    column = pa.Array.from_buffers(pa.string_view(), 10_000, [None, views, text])
    words = pa.array(["x" * 1_000_000]).dictionary_encode().take(pa.array([0] * 10_000))
    for long in (column, words):
        with pytest.raises(StreamError, match="1000000 bytes"):
            rows_of_stream(arrow(pa.table({"order_id": long})), most=10_000)


@pytest.mark.parametrize(
    "column", [pa.array([[1], [2]]), pa.nulls(2), pa.array([{"a": 1}] * 2), pa.array([b"x", b"y"])]
)
def test_columns_within_columns_are_refused(column: pa.Array) -> None:
    with pytest.raises(StreamError, match="has the type"):
        rows_of_stream(arrow(pa.table({"amount": column})), most=10)


@pytest.mark.parametrize(("moment", "year"), [(2**62, 9998), (-(2**62), 2)])
def test_times_beyond_any_calendar_are_read_as_its_ends(moment: int, year: int) -> None:
    column = pa.array([moment], pa.timestamp("us", "Asia/Tokyo"))
    (row,) = rows_of_stream(arrow(pa.table({"timestamp": column})), most=1)
    assert row["timestamp"].astimezone(dt.UTC).year in (year, year + 1)


@pytest.mark.parametrize("data", [b"", b"ARROW1", FORMS[0][:-80], FORMS[0][:40]])
def test_what_is_no_whole_stream_says_so(data: bytes) -> None:
    with pytest.raises(DamagedStreamError, match="damaged"):
        rows_of_stream(data, most=10)
