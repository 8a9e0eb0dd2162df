"""Whatever a file holds, it is read with every row accounted for, or refused with a message."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from histories.errors import TributaryError
from histories.reading.ingest import ingest
from histories.reading.sources import Limits, TableSource

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

GOOD = {
    "transactions": "17,2026-01-05,9.50,l1",
    "touchpoints": "17,2026-01-05,forum,0",
    "customers": "17,2026-01-05,north,",
    "cases": "c1,2026-01-05,chat,5",
    "costs": "chat,2026-01-01,2026-01-31,100",
    "identities": "twitter,ann,17,0.99",
}


def is_plain(rows: list[list[str]], separator: str) -> bool:
    """Whether nothing in the rows can spoil another row: no quotes, breaks or further separators."""
    text = "".join(value for row in rows for value in row)
    return separator == "," and text.isprintable() and text.isascii() and not set(text) & set('",')


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
        lines.append(GOOD[name].replace(",", between))
    with TemporaryDirectory() as folder:
        (Path(folder) / "table.csv").write_text("\n".join(lines), encoding="utf-8", errors="replace")
        sources = {name: TableSource(path="table.csv", separator=separator)}
        refusal: TributaryError | None = None
        try:
            inputs = ingest(
                sources,
                base_dir=Path(folder),
                observation_end=date(2026, 12, 31),
                limits=Limits(max_rejected_share=1.0),
            )
        except TributaryError as error:
            refusal = error
        if refusal is not None:
            assert not (with_header and is_plain(rows, separator)), f"a good row was refused: {refusal}"
            return
        table = inputs.tables[name]
        assert table.valid.collect().height == table.rows_valid
        assert table.rows_valid + table.rejected.height == table.rows_read
