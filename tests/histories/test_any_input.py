"""Whatever a file holds, it is read with every row accounted for, or refused with a message."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from histories import Limits, TableSource, TributaryError, ingest

values = st.one_of(
    st.sampled_from(
        ["", " ", "1", "-7", "007", "1e3", "inf", "nan", "2026-01-05", "2026-02-30", "2026-01-05T10:00Z"]
    ),
    st.sampled_from(["0.0", "1,5", "true", "NULL", '"', '"a,b"', "x" * 40, "é", "9" * 30, "1e300", "@Ann"]),
    st.text(max_size=6),
)
tables = st.sampled_from(["transactions", "touchpoints", "customers", "cases", "costs", "identities"])
HEADERS = {
    "transactions": "customer_id,timestamp,amount,line_id",
    "touchpoints": "customer_id,timestamp,channel,cost",
    "customers": "customer_id,acquired_at,region,consent",
    "cases": "case_id,opened_at,channel,csat",
    "costs": "channel,period_start,period_end,amount",
    "identities": "platform,handle,customer_id,probability",
}


@settings(max_examples=60, deadline=None)
@given(
    name=tables,
    rows=st.lists(st.lists(values, min_size=1, max_size=5), max_size=6),
    separator=st.sampled_from([",", "whitespace"]),
    with_header=st.booleans(),
)
def test_rows_add_up_or_the_file_is_refused(
    name: str, rows: list[list[str]], separator: str, with_header: bool
) -> None:
    between = "," if separator == "," else " "
    lines = [between.join(row) for row in rows]
    if with_header:
        lines.insert(0, HEADERS[name].replace(",", between))
    with TemporaryDirectory() as folder:
        (Path(folder) / "table.csv").write_text("\n".join(lines), encoding="utf-8", errors="replace")
        sources = {name: TableSource(path="table.csv", separator=separator)}
        try:
            inputs = ingest(
                sources,
                base_dir=Path(folder),
                observation_end=date(2026, 12, 31),
                limits=Limits(max_rejected_share=1.0),
            )
        except TributaryError:
            return
        table = inputs.tables[name]
        assert table.valid.collect().height == table.rows_valid
        assert table.rows_valid + table.rejected.height == table.rows_read
