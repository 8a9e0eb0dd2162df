"""`import tributary as tb`: the whole of it in a notebook, in a few lines each."""

import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import tributary as tb
from histories.errors import DataError

CDNOW = "package:lifetimes/datasets/CDNOW_sample.txt"
LAYOUT = {
    "separator": "whitespace",
    "has_header": False,
    "timestamp_format": "%Y%m%d",
    "columns": {"customer_id": 1, "timestamp": 3, "quantity": 4, "amount": 5},
    "zero_orders": "count",
}
PATHS = {
    "path": ["forum > chat", "chat", "forum"],
    "conversions": [3, 1, 2],
    "value": [30.0, 5.0, 10.0],
    "nulls": [2, 4, 0],
}
METHODS = ["last", "linear", "time_decay", "markov", "shapley"]


def test_cdnow_from_file_to_a_frequency_recency_picture_is_five_lines(tmp_path: Path) -> None:
    orders = tb.read(CDNOW, **LAYOUT)
    summary = tb.summarize(orders, observation_end="1997-09-30", zero_orders="count")
    fit = tb.BgNbd().fit(summary)
    picture = tb.plot(fit)
    written = picture.save(tmp_path / "cdnow.svg")

    assert fit.vector() == pytest.approx(
        [0.2426, 4.4136, 0.7929, 2.4259], rel=1e-3
    )  # Fader, Hardie & Lee 2005
    assert written.read_text(encoding="utf-8").startswith("<svg")


def test_counted_paths_to_five_methods_is_two_lines() -> None:
    found = tb.credit_paths(PATHS, methods=["first", "last", "linear", "markov", "shapley"])
    side_by_side = found.shown

    assert side_by_side is not None
    assert {"first", "last", "linear", "markov", "shapley"} <= set(side_by_side.columns)
    last = dict(side_by_side.filter(pl.col("level") == "channel").select("channel", "last").iter_rows())
    assert last == {"chat": 4.0, "forum": 2.0}


def test_a_randomised_table_is_four_lines() -> None:
    rows = [
        {"id": i, "arm": "mail" if i % 2 else "none", "spend": 2.0 * (i % 2) + i % 5} for i in range(1000)
    ]
    mailing = pl.DataFrame(rows)
    found = tb.effect(mailing, unit="id", arm="arm", control="none", outcomes=["spend"])
    row = found.frame.row(0, named=True)

    assert row["estimate"] == pytest.approx(2.0)
    assert row["supported"]


def test_incremental_credit_of_three_frames_is_four_lines() -> None:
    company = tb.simulate(400, 8, seed=2)
    orders, touches, customers = (company[name] for name in ("transactions", "touchpoints", "customers"))
    origins = dict.fromkeys(touches["channel"].unique(), "customer") | {"newsletter": "firm", "ads": "firm"}
    found = tb.credit(
        orders, touches, customers, channels=origins, outcomes=["spend"], settings={"replicates": 3}
    )

    rows = found.frame.filter(pl.col("level").is_in(["channel", "baseline"]))
    total = found.frame.filter(pl.col("level") == "total")["credit"].item()
    assert rows["credit"].sum() == pytest.approx(total, rel=1e-9)
    paid = orders.drop_nulls("customer_id")["amount"].sum()
    assert total == pytest.approx(paid, rel=0.02)  # in currency, less unmatched refunds


@pytest.mark.parametrize("form", ["polars", "lazy", "pandas", "indexed pandas", "arrow", "mapping"])
def test_every_frame_gives_the_same_summary(form: str) -> None:
    orders = pl.DataFrame(
        {
            "customer_id": [7, 7, 7, 8],
            "timestamp": [datetime(2026, 1, 1) + timedelta(days=14 * k) for k in (0, 1, 2, 0)],
            "amount": [10.0, 20.0, 40.0, 5.0],
        }
    )
    given = {
        "polars": lambda: orders,
        "lazy": orders.lazy,
        "pandas": orders.to_pandas,
        "indexed pandas": lambda: orders.to_pandas().set_index("customer_id"),
        "arrow": orders.to_arrow,
        "mapping": orders.to_dict,
    }[form]()

    summary = tb.summarize(given, observation_end=date(2026, 2, 12))

    assert summary.select("customer_id", "frequency", "recency", "T", "monetary_value").rows() == [
        (7, 2, 4.0, 6.0, 30.0),
        (8, 0, 0.0, 6.0, None),
    ]


def test_histories_are_one_line_in_time_with_amounts_in_currency() -> None:
    orders = {"customer_id": ["a"], "timestamp": ["2026-01-03 10:00"], "amount": [12.5]}
    touches = {"customer_id": ["a"], "timestamp": ["2026-01-02 10:00"], "channel": ["forum"]}

    found = tb.histories(orders, touches, channels={"forum": "customer"})

    assert found.frame.select("event", "channel", "amount").rows() == [
        ("touch", "forum", None),
        ("purchase", None, 12.5),
    ]


def test_a_result_prints_in_a_terminal_and_in_a_notebook() -> None:
    found = tb.credit_paths(PATHS, methods=METHODS)

    assert "forum" in repr(found)
    assert "hand out the whole outcome" in repr(found)
    assert "<table" in found._repr_html_()


def test_a_result_draws_itself(tmp_path: Path) -> None:
    drawn = tb.credit_paths(PATHS, methods=["last", "shapley"]).plot().save(tmp_path / "credit.svg")

    svg = drawn.read_text(encoding="utf-8")
    assert svg.count('class="dot ') == 4  # two channels by two methods
    assert "forum, shapley" in svg


def test_what_is_no_frame_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"paths is a int\. Give a Polars, pandas or Arrow frame"):
        tb.credit_paths(3)


def test_every_word_exists_and_is_documented() -> None:
    for word in tb.__all__:
        text = getattr(tb, word).__doc__
        assert text, word
        if not isinstance(getattr(tb, word), type):
            assert "Parameters" in text, word


def test_the_front_door_imports_nothing_before_it_is_used() -> None:
    script = "import sys, tributary; print([m for m in ('polars', 'numpy', 'mlflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_word_that_does_not_exist_is_named() -> None:
    with pytest.raises(AttributeError, match="tributary has no 'valeu'"):
        _ = tb.valeu
