"""`import tributary as tb`: the whole of it in a notebook, in a few lines each."""

import contextlib
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tributary as tb
from histories.errors import ConfigError, DataError, TributaryError

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


def test_a_database_is_read_by_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("adbc_driver_sqlite", reason="reading SQLite needs the extra sqlite")
    with contextlib.closing(sqlite3.connect(tmp_path / "shop.db")) as shop:
        shop.execute("create table transactions (customer_id, timestamp, amount)")
        shop.executemany("insert into transactions values (?, ?, ?)", [("a", "2026-01-05", 5.0)] * 3)
        shop.commit()
    monkeypatch.chdir(tmp_path)
    assert tb.read("sqlite:///shop.db").frame["amount"].to_list() == [5.0] * 3
    assert tb.read(f"sqlite:///{tmp_path}/shop.db").frame.height == 3


def test_counted_paths_to_five_methods_is_two_lines() -> None:
    found = tb.credit_paths(PATHS, methods=["first", "last", "linear", "markov", "shapley"])
    side_by_side = found.shown

    assert side_by_side is not None
    assert {"first", "last", "linear", "markov", "shapley"} <= set(side_by_side.columns)
    last = dict(side_by_side.filter(pl.col("level") == "channel").select("channel", "last").iter_rows())
    assert last == {"chat": 4.0, "forum": 2.0}


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (
            {"outcomes": ["conversion"]},
            '"conversion" has no incremental credit; allowed: lifetime_value, retention',
        ),
        ({"outcomes": "spent"}, 'did you mean "spend"?'),
        ({"settings": {"methods": ["last"]}}, "settings.methods leaves out incremental"),
    ],
)
def test_credit_of_what_is_not_incremental_is_refused_in_words(choices: dict[str, Any], said: str) -> None:
    frame = {"customer_id": [1], "timestamp": ["2026-01-05"]}
    with pytest.raises(ConfigError, match=re.escape(said)):
        tb.credit(
            {**frame, "amount": [5]}, {**frame, "channel": ["mail"]}, channels={"mail": "firm"}, **choices
        )


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
    company = tb.simulate(120, 6, seed=2)
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


def test_refunds_that_lower_no_purchase_are_told_as_an_error_of_values() -> None:
    first = datetime(2026, 1, 5)
    days = [first + timedelta(days=7 * k) for k in range(10)]
    orders = [(k % 4, day, 100.0) for k, day in enumerate(days)]
    back = [(k % 4, day + timedelta(days=2), -50.0) for k, day in enumerate(days[:5])]
    frame = pl.DataFrame([*orders, *back], schema=["customer_id", "timestamp", "amount"], orient="row")
    (note,) = (note for note in tb.histories(frame).notes if "exceed" in note)
    assert "5 refunds of 250.00 exceed" in note
    assert "up to 33% too high by that: give refunds the order_id" in note
    (mild,) = (note for note in tb.histories(frame[:11]).notes if "exceed" in note)
    assert "up to 5% too high" in mild
    named = frame.with_columns(order_id=pl.Series([*range(10), *range(5)]))
    assert not any("exceed" in note for note in tb.histories(named).notes)


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


ORDERS = pd.DataFrame(
    {
        "customer_id": [7, 7, 7, 8],
        "timestamp": pd.to_datetime(["2026-01-01", "2026-01-15", "2026-01-29", "2026-01-01"]),
        "amount": [10.0, 20.0, 40.0, 5.0],
    }
)
ODD_FORMS = {
    "categories": lambda: ORDERS.astype({"customer_id": "category"}),
    "nullable numbers": lambda: ORDERS.astype({"customer_id": "Int64", "amount": "Float64"}),
    "arrow-backed": lambda: ORDERS.convert_dtypes(dtype_backend="pyarrow"),
    "instants with a zone": lambda: ORDERS.assign(timestamp=ORDERS.timestamp.dt.tz_localize("UTC")),
    "periods": lambda: ORDERS.assign(timestamp=ORDERS.timestamp.dt.to_period("D")),
    "dates as objects": lambda: ORDERS.assign(timestamp=[t.date() for t in ORDERS.timestamp]),
    "decimals": lambda: ORDERS.assign(amount=[Decimal(str(x)) for x in ORDERS.amount]),
    "sparse": lambda: ORDERS.assign(amount=pd.arrays.SparseArray(ORDERS.amount)),
    "ids of two kinds": lambda: ORDERS.assign(customer_id=["7", 7, 7, 8]),
    "a column nobody asks for": lambda: ORDERS.assign(note=[1, "two", {"three": 3}, None]),
    "an index of two levels": lambda: ORDERS.set_index(["customer_id", "timestamp"]),
    "wide decimals": lambda: pa.table(
        {
            "customer_id": [7, 7, 7, 8],
            "timestamp": ORDERS.timestamp,
            "amount": pa.array([Decimal(str(x)) for x in ORDERS.amount], pa.decimal256(50, 2)),
        }
    ),
}


@pytest.mark.parametrize("form", ODD_FORMS)
def test_columns_of_odd_kinds_give_the_same_summary(form: str) -> None:
    summary = tb.summarize(ODD_FORMS[form](), observation_end="2026-02-12")

    figures = summary.select("frequency", "recency", "T", "monetary_value").rows()
    assert figures == [(2, 4.0, 6.0, 30.0), (0, 0.0, 6.0, None)]
    assert summary["customer_id"].cast(pl.String).to_list() == ["7", "8"]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.concat([ORDERS, ORDERS[["amount"]]], axis=1), "more than one column is called amount"),
        (ORDERS.iloc[:0], "^transactions: transactions is empty"),
        (pd.DataFrame(), "Found: none"),
        (ORDERS.rename(columns=str.upper), 'no column "timestamp".* Did you mean "TIMESTAMP"'),
        (ORDERS.assign(amount=ORDERS.amount + 1j), "have no readable amount"),
        ({"customer_id": [1, 2], "amount": [1.0]}, r"could not be read as a frame \(ShapeError\)"),
        (pl.scan_csv("nowhere.csv"), r"could not be read as a frame \(FileNotFoundError\)"),
    ],
)
def test_a_frame_that_cannot_be_used_is_refused_in_one_sentence(frame: object, said: str) -> None:
    with pytest.raises(DataError, match=said) as refusal:
        tb.summarize(frame)
    assert ".parquet" not in str(refusal.value)  # nobody gave a file


def test_a_model_is_fitted_to_a_summary_of_any_library() -> None:
    company = tb.simulate(200, 8, seed=1)
    summary = tb.summarize(company["transactions"])

    ours, theirs = (tb.BgNbd().fit(frame).vector() for frame in (summary, summary.to_pandas()))  # type: ignore[arg-type]

    assert ours.tolist() == theirs.tolist()
    with pytest.raises(DataError, match=r"no frequency, recency, T\. Found: customer_id, timestamp, amount"):
        tb.BgNbd().fit(ORDERS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: tb.credit(ORDERS, None, channels={}), "credit: there are no touchpoints"),
        (lambda: tb.plot(ORDERS), "plot: a DataFrame has no picture"),
        (lambda: tb.GammaGamma().fit([1, 2]), "The summary is a list"),
    ],
)
def test_what_a_word_cannot_work_with_is_said(call: Callable[[], object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        call()


def test_notes_are_of_tables_not_of_files() -> None:
    guests = ORDERS.assign(customer_id=[7, 7, 7, None])

    found = tb.histories(guests)

    assert found.notes
    assert not any("parquet" in note for note in found.notes)


def test_columns_of_other_names_are_named_as_in_a_configuration() -> None:
    orders = ORDERS.rename(columns={"timestamp": "bought"})

    summary = tb.summarize(orders, inputs={"transactions": {"columns": {"timestamp": "bought"}}})

    assert summary["frequency"].to_list() == [2, 0]


def test_arms_may_be_flags_and_outcomes_a_single_word() -> None:
    units = {
        "treated": [bool(i % 2) for i in range(100)],
        "spend": [i % 2 + (i // 2) % 5 for i in range(100)],
    }

    found = tb.effect(units, arm="treated", control=False, outcomes="spend")

    assert found.frame["estimate"].to_list() == [pytest.approx(1.0)]


def test_an_outcome_that_cannot_be_used_costs_no_other_outcome() -> None:
    rows = range(400)
    units = pl.DataFrame(
        {
            "arm": ["new" if i % 2 else "old" for i in rows],
            "age": [20 + (7 * i) % 31 for i in rows],
            "rate": [float("inf") if i == 5 else 1.0 for i in rows],
            "lost": [None if i % 2 == 0 and i < 200 else float(i % 5) for i in rows],
            "visits": [i % 2 + (i // 2) % 5 for i in rows],
        }
    )
    alone = {
        design: tb.effect(
            units, arm="arm", control="old", outcomes="visits", design=design, covariates=["age"]
        )
        for design in ("randomised", "observational")
    }
    for design, expected in alone.items():
        found = tb.effect(
            units,
            arm="arm",
            control="old",
            outcomes=["rate", "lost", "visits"],
            design=design,
            covariates=["age"],
        )
        supported = found.frame.filter("supported")
        assert supported.equals(expected.frame.filter("supported"))
        assert supported["outcome"].unique().to_list() == ["visits"]
        assert found.frame["outcome"].unique(maintain_order=True).to_list() == ["rate", "lost", "visits"]
        assert any('outcome "rate" is infinite in 1 of 400 rows' in note for note in found.notes)
        assert any("lost is missing for" in note for note in found.notes)


def test_an_infinite_covariate_is_refused_since_nothing_would_be_adjusted_for_by_it() -> None:
    units = {
        "arm": ["a", "b"] * 100,
        "x": [float("inf"), *range(199)],
        "y": [float(i % 7) for i in range(200)],
    }

    found = tb.effect(units, arm="arm", control="a", outcomes="y", design="observational", covariates=["x"])

    assert not found.frame["supported"].any()
    assert any('covariate "x" is infinite in 1 of 200 rows' in note for note in found.notes)


TOUCHES = {
    "customer_id": [7, 7, 8, 8],
    "timestamp": ["2026-01-02", "2026-02-02", "2026-01-03", "2026-03-03"],
    "channel": ["email", "forum", "email", "forum"],
}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: tb.histories(ORDERS, TOUCHES, channels={"emial": "firm", "forum": "customer"}),
            'no touch has the channel "emial"; did you mean "email"',
        ),
        (
            lambda: tb.credit(ORDERS, TOUCHES, channels={"forum": "customer", "e-mail": "firm"}),
            'no touch has the channel "e-mail"; did you mean "email"',
        ),
        (
            lambda: tb.credit(ORDERS, TOUCHES, channels={}, settings={"exclude_channels": ["emial"]}),
            'attribution.exclude_channels: no channel "emial"; did you mean "email"',
        ),
        (
            lambda: tb.credit(ORDERS, TOUCHES, channels={}, settings={"confounders": ["plan"]}),
            'attribution.confounders: no column "plan"',
        ),
        (lambda: tb.credit(ORDERS, TOUCHES, channels=["email"]), "channels is a list. Give a mapping"),
    ],
)
def test_a_misspelled_channel_or_column_is_refused(call: Callable[[], object], said: str) -> None:
    with pytest.raises(TributaryError, match=said):
        call()


def test_channels_that_no_touch_has_are_noted_where_none_is_called_nearly_so() -> None:
    known = {"email": "firm", "forum": "customer", "forums": "customer", "television": "firm"}

    found = tb.histories(ORDERS, TOUCHES, channels=known)

    assert any("2 of 4 that [channels] names are in no table" in note for note in found.notes)


def test_a_simulated_company_holds_tables_and_nothing_else() -> None:
    assert all(isinstance(table, pl.DataFrame) for table in tb.simulate(50, 6).values())


@pytest.mark.parametrize(
    ("paths", "chosen", "said"),
    [
        ({"path": [], "conversions": []}, {}, "paths: the table is empty"),
        (PATHS, {"settings": {"lookback": 3}}, 'unknown key "attribution.lookback"; did you mean'),
        (PATHS, {"methods": "lst"}, 'no method "lst"; did you mean "last"'),
        ({"path": ["a"], "conversions": ["three"]}, {}, 'paths: "conversions" is String'),
        ({"path": ["a"], "conversions": [1]}, {"outcome": "spend"}, 'needs a column "value"'),
    ],
)
def test_paths_that_cannot_be_credited_are_refused_in_one_sentence(
    paths: object, chosen: dict[str, object], said: str
) -> None:
    with pytest.raises(TributaryError, match=said):
        tb.credit_paths(paths, **chosen)


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


def test_rows_of_python_are_a_frame_and_a_moment_ends_the_observation_with_its_day() -> None:
    rows = [
        {"customer_id": 1, "timestamp": "2026-01-05", "amount": 5},
        {"customer_id": 1, "timestamp": "2026-02-09", "amount": 7.5},
        {"customer_id": 2, "timestamp": "2026-03-01"},
    ]
    bought = rows[:2]
    ends = (
        date(2026, 3, 2),
        datetime(2026, 3, 2, 17, 30),
        pd.Timestamp("2026-03-02 17:30"),
        np.datetime64("2026-03-02T17:30"),
    )
    told = [tb.summarize(bought, observation_end=end).rows(named=True) for end in ends]
    assert told[0][0]["frequency"] == 1
    assert all(one == told[0] for one in told)
    with pytest.raises(DataError, match="1 of 3 rows have no amount"):
        tb.summarize(rows)
