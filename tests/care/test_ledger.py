"""Promises are written down once, scored once, and held against what came."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any, cast

import polars as pl
import pytest

from care.ledger import FORECASTS_SCHEMA, Came, keep_ledger, ledger_scores
from care.statement import returns_table
from clv.evaluate import validation_frame
from experiments.parts.forecasts import forecasts_part
from experiments.parts.histories import Histories
from reports.context import Ledger, Verdict
from reports.sections.objectives import objectives_section
from reports.sections.sure import sure_section
from reports.settings import ReportSettings
from reports.sources import ReportSources

JUNE, DECEMBER = dt.date(2026, 6, 30), dt.date(2026, 12, 30)


def promise(**said: Any) -> dict[str, Any]:
    usual = {"made_on": JUNE, "kind": "effect", "what": "fast: spend", "better": "more", "value": 5.0,
             "low": 3.0, "high": 7.0, "due": DECEMBER, "run_id": "a"}  # fmt: skip
    return dict.fromkeys(FORECASTS_SCHEMA) | usual | said


def ledger(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=FORECASTS_SCHEMA)


@pytest.mark.parametrize(
    ("said", "came", "inside", "shortfall"),
    [
        ({}, Came(value=6.5), True, -0.3),
        ({}, Came(value=2.0), False, 0.6),
        ({}, Came(value=2.0, low=-0.5, high=4.5), True, 0.6),  # 3.0 apart, sqrt(2.0^2 + 2.5^2) = 3.2
        ({"better": "less"}, Came(value=6.0), True, 0.2),
        ({"low": None, "high": None}, Came(value=5.0), None, 0.0),
        ({"value": 0.0, "low": -1.0, "high": 1.0}, Came(value=0.5), True, None),
    ],
)
def test_a_promise_is_held_against_what_came_and_the_chance_in_both(
    said: dict[str, Any], came: Came, inside: bool | None, shortfall: float | None
) -> None:
    found = keep_ledger(None, ledger(promise(**said)), as_of=DECEMBER, came=lambda row: came)
    assert found["inside"].item() is inside
    assert found["shortfall"].item() == (None if shortfall is None else pytest.approx(shortfall))


def test_nothing_that_is_written_is_written_again() -> None:
    first = keep_ledger(None, ledger(promise()), as_of=JUNE, came=lambda row: Came(value=1.0))
    assert first["actual"].null_count() == 1  # not due yet
    again = ledger(promise(value=9.0), promise(made_on=DECEMBER), promise(made_on=DECEMBER, value=4.0))
    second = keep_ledger(first, again, as_of=DECEMBER, came=lambda row: Came(value=4.0))
    assert second["value"].to_list() == [5.0, 4.0]
    third = keep_ledger(second, ledger(), as_of=DECEMBER, came=lambda row: Came(value=99.0))
    assert third.equals(second)


def test_what_cannot_be_measured_says_so_and_is_asked_again() -> None:
    asked = ledger(promise(), promise(kind="forecast", what="purchases"))
    lost = keep_ledger(None, asked, as_of=DECEMBER, came=lambda row: Came(reason="gone"))
    assert lost["reason"].to_list() == ["gone", "gone"]
    assert ledger_scores(lost).select("scored", "inside").rows() == [(0, None), (0, None)]
    found = keep_ledger(lost, ledger(), as_of=DECEMBER, came=lambda row: Came(value=4.0))
    assert found["reason"].null_count() == 2


def run(
    as_of: dt.date,
    before: pl.DataFrame | None = None,
    *,
    roi: float = 0.2,
    wrote: pl.DataFrame | None = None,
    bought: float = 50.0,
    contract: dict[str, object] | None = None,
) -> pl.DataFrame:
    """The ledger of a run with two customers, of whom one came later."""
    purchases = pl.LazyFrame(
        {"customer_id": [1, 1, 1, 2], "date": [JUNE, dt.date(2026, 8, 1), dt.date(2027, 1, 1), DECEMBER]}
    )
    histories = SimpleNamespace(purchases=purchases, inputs=SimpleNamespace(observation_end=as_of))
    lines = [
        {"line": "roi", "value": roi, "low": roi - 0.1, "high": roi + 0.1, "unit": "share"},
        {"line": "net", "value": 900.0, "unit": "currency", "period": "month 1", "scenario": "plan"},
        {"line": "net", "value": 500.0, "unit": "currency", "period": "2026-07"},
    ]
    objectives = pl.DataFrame(
        {"objective": ["service"], "kpi": ["csat"], "baseline": [0.5], "target": [0.8], "due": [DECEMBER],
         "value": [0.9], "reason": pl.Series([None], dtype=pl.String)}
    )  # fmt: skip
    effects = pl.DataFrame(
        {"name": ["fast", "slow"], "outcome": "issues", "segment": "(all)", "estimator": "aipw",
         "estimate": [0.2, 0.1], "low": [0.1, -0.1], "high": [0.3, 0.3], "supported": True}
    )  # fmt: skip
    return forecasts_part(
        cast("Histories", histories),
        {
            "returns": returns_table(lines),
            "effects": effects,
            "customers": pl.DataFrame({"churn_probability": [0.25, 0.5]}),
            "validation": validation_frame(
                [
                    (JUNE, "stack", "buyers_predicted", 50.0, 40.0, 60.0, 100),
                    (JUNE, "stack", "buyers_actual", bought, float("nan"), float("nan"), 100),
                ]
            ),
        },
        model={"totals": {"expected_purchases": 3.0, "expected_purchases_low": 2.0,
                          "expected_purchases_high": 4.0}, "horizon_months": 6, "contract": contract},
        objectives=objectives,
        before=before,
        run_id="a",
        wrote=wrote,
    )  # fmt: skip


def test_a_run_promises_purchases_effects_beyond_0_returns_plans_and_objectives_and_a_later_one_scores_them():
    first = run(JUNE)
    assert dict(first.select("what", "value").iter_rows()) == {
        "purchases of present customers": 3.0,
        "present customers who buy": 1.25,
        "fast: issues": 0.2,  # "slow" may be nothing
        "return of care on its cost": 0.2,
        "net": 900.0,
        "service: csat": 0.8,
    }
    assert first["actual"].null_count() == first.height
    later = run(dt.date(2027, 1, 31), first, roi=0.05).filter(made_on=JUNE)
    came = {row["what"]: (row["actual"], row["inside"]) for row in later.iter_rows(named=True)}
    assert came["purchases of present customers"] == (1.0, False)  # of customer 1, by the end of December
    assert came["present customers who buy"] == (1.0, None)
    assert came["return of care on its cost"][0] == 0.05
    assert came["net"] == (500.0, None)  # July
    assert came["service: csat"] == (0.9, None)
    assert later.filter(what="fast: issues")["better"].item() == "less"


def test_how_many_buy_is_no_promise_where_time_held_back_refuted_it() -> None:
    assert "present customers who buy" in run(JUNE, bought=60.0)["what"]
    assert "present customers who buy" not in run(JUNE, bought=61.0)["what"]


def test_under_contract_those_who_stay_are_not_promised_as_those_who_buy() -> None:
    assert "present customers who buy" not in run(JUNE, contract={"parameters": {}})["what"]


def test_who_became_a_brands_customer_later_counts_for_no_promise_of_before() -> None:
    first = run(JUNE)
    for day, told in ((JUNE, 1.0), (dt.date(2026, 9, 1), None)):
        wrote = pl.DataFrame({"customer_id": [1, 2], "day": [day, JUNE]})
        came = run(dt.date(2027, 1, 31), first, wrote=wrote).filter(made_on=JUNE, kind="forecast")
        assert came["actual"].to_list() == [told, told]


def test_the_report_says_how_many_were_kept_and_who_promised_too_much() -> None:
    rows = ledger(promise(), promise(what="slow: spend", due=dt.date(2027, 6, 1)))
    kept = keep_ledger(None, rows, as_of=DECEMBER, came=lambda row: Came(value=2.0))
    made = ReportSources(
        tables={"forecasts": kept}, manifest={"as_of": "2026-12-31", "currency": "GBP"}, model={},
        settings=ReportSettings(), gross_margin=None,
    )  # fmt: skip
    section = objectives_section(made)
    assert section is not None
    assert section.finding.text == (
        "0 of 1 promises that fell due were kept; too much was promised by effects by 60%"
    )
    (table,) = section.blocks
    assert isinstance(table, Ledger)
    verdicts = [cell.text for row in table.rows for cell in row.cells if isinstance(cell, Verdict)]
    assert verdicts == ["missed", "not due"]
    sure = sure_section(made)
    assert sure is not None
    assert section.finding.text in str(sure.blocks)
