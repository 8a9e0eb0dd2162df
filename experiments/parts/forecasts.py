"""What a run promises, written into the ledger of the runs before, and what came of what they promised.

Promised are: purchases of those who are customers by now, and how many of them buy, over the forecast's
horizon; supported effects beyond 0 and the return of care, for the next estimate half a year on; the months
of a plan that lie ahead; objectives by their due date. A forecast that its own holdout refutes is no promise.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from care.ledger import FORECASTS_SCHEMA, Came, keep_ledger
from experiments.bundle.leftovers import newest_first
from experiments.bundle.reading import load_bundle
from experiments.parts.histories import Histories
from histories.cuts import ALL
from histories.errors import BundleError

HALF_A_YEAR: Final = 182
"""Days after which an effect, and what care returned, is held against the estimate of that day."""
_PLANNED: Final = {"incremental margin": "more", "cost avoided": "more", "cost": "less", "net": "more"}
_LESS: Final = ("issues", "assisted_contacts")
_PURCHASES, _CUSTOMERS = "purchases of present customers", "present customers who buy"

Tables = Mapping[str, pl.DataFrame]
Rows = Iterator[dict[str, Any]]


def forecasts_part(
    histories: Histories,
    tables: Tables,
    *,
    model: Mapping[str, Any],
    objectives: pl.DataFrame | None,
    before: pl.DataFrame | None,
    run_id: str,
    wrote: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The ledger as it stands at the end of this observation, in `FORECASTS_SCHEMA`.

    Parameters
    ----------
    histories, tables, model
        Of this run.
    objectives
        What was measured of each objective; None where none is set.
    before
        The ledger of the run before; None at the first.
    run_id
        Names this run in the rows that it adds.
    wrote
        Of a run of one brand: customer_id and the day on which each became one of its customers by writing.
    """
    as_of = histories.inputs.observation_end
    made = [
        {"made_on": as_of, "run_id": run_id, "better": "more", **row}
        for rows in (
            _forecasts(tables, model, as_of),
            _effects(tables, as_of),
            _returns(tables, as_of),
            _plans(tables, as_of),
            _objectives(objectives, as_of),
        )
        for row in rows
    ]

    def came(row: Mapping[str, Any]) -> Came:
        if row["kind"] == "forecast":
            return _bought(histories, row, wrote)
        if row["kind"] == "objective":
            return _attained(objectives, row)
        if row["kind"] == "plan":
            return _in_month(tables, row)
        now = _returns(tables, as_of) if row["kind"] == "return" else _effects(tables, as_of, all_rows=True)
        found = next((one for one in now if one["what"] == row["what"]), None)
        if found is None:
            return Came(reason="this run has no supported estimate of it")
        return Came(value=found["value"], low=found["low"], high=found["high"])

    return keep_ledger(before, pl.DataFrame(made, schema=FORECASTS_SCHEMA), as_of=as_of, came=came)


def ledger_before(runs: Path, name: str) -> pl.DataFrame | None:
    """The ledger of the newest readable bundle of this name under `runs`; None without one."""
    for path in newest_first(runs):
        try:
            bundle = load_bundle(path, verify=False)
            if bundle.manifest.get("name") == name and "forecasts" in bundle.manifest["tables"]:
                return bundle.table("forecasts")
        except BundleError:
            continue
    return None


def _forecasts(tables: Tables, model: Mapping[str, Any], as_of: dt.date) -> Rows:
    totals, customers = model.get("totals") or {}, tables.get("customers")
    months = int(model.get("horizon_months") or 0)
    if (model.get("forecast") or {}).get("status") == "refuted" or not months or customers is None:
        return
    about = {"kind": "forecast", "due": _months_after(as_of, months)}
    if totals.get("expected_purchases") is not None:
        ends = {end: totals.get(f"expected_purchases_{end}") for end in ("low", "high")}
        value = totals["expected_purchases"]
        yield about | {"what": _PURCHASES, "unit": "purchases", "value": value, **ends}
    silent = customers["churn_probability"]  # under contract that of its end: who leaves has bought before
    if silent.count() and not model.get("contract") and not _is_refuted(tables.get("validation")):
        value = silent.len() - float(silent.sum())
        yield about | {"what": _CUSTOMERS, "unit": "customers", "value": value}


def _is_refuted(validation: pl.DataFrame | None) -> bool:
    """Whether time held back has refuted how many customers were to buy at all."""
    if validation is None or validation.is_empty():
        return False
    latest = validation.filter(pl.col("metric").is_in(["buyers_predicted", "buyers_actual"]))
    latest = latest.filter(pl.col("origin") == pl.col("origin").max()).sort("metric")
    if latest.height != 2 or latest["low"][1] is None:
        return False
    return not latest["low"][1] <= latest["value"][0] <= latest["high"][1]


def _effects(tables: Tables, as_of: dt.date, *, all_rows: bool = False) -> Rows:
    """The first estimate of each effect and outcome that is not naive, where it is supported and not 0."""
    frame = tables.get("effects")
    if frame is None or frame.is_empty():
        return
    rows = frame.filter((pl.col("segment") == ALL) & (pl.col("estimator") != "naive")).unique(
        ("name", "outcome"), keep="first", maintain_order=True
    )
    for row in rows.filter(pl.col("supported") & pl.col("estimate").is_not_null()).iter_rows(named=True):
        if not all_rows and (row["low"] is None or row["low"] <= 0.0 <= row["high"]):
            continue
        yield {
            "kind": "effect", "what": f"{row['name']}: {row['outcome']}", "unit": row["outcome"],
            "better": "less" if row["outcome"] in _LESS else "more",
            "value": row["estimate"], "low": row["low"], "high": row["high"],
            "due": as_of + dt.timedelta(days=HALF_A_YEAR),
        }  # fmt: skip


def _returns(tables: Tables, as_of: dt.date) -> Rows:
    for row in (
        _lines(tables, "actual").filter((pl.col("period") == ALL) & (pl.col("line") == "roi")).to_dicts()
    ):
        if row["value"] is not None and row["supported"]:
            yield {
                "kind": "return", "what": "return of care on its cost", "unit": "share",
                "value": row["value"], "low": row["low"], "high": row["high"],
                "due": as_of + dt.timedelta(days=HALF_A_YEAR),
            }  # fmt: skip


def _plans(tables: Tables, as_of: dt.date) -> Rows:
    """Months of a plan that lie ahead: counted from the observation's end where there are no data yet."""
    for row in _lines(tables, "plan").filter(pl.col("period") != ALL).to_dicts():
        ahead = str(row["period"]).removeprefix("month ")
        if row["line"] in _PLANNED and row["value"] is not None and ahead.isdigit():
            yield {
                "kind": "plan", "what": row["line"], "unit": row["unit"], "value": row["value"],
                "better": _PLANNED[row["line"]], "due": _months_after(as_of, int(ahead)),
            }  # fmt: skip


def _objectives(objectives: pl.DataFrame | None, as_of: dt.date) -> Rows:
    for row in [] if objectives is None else objectives.to_dicts():
        if row["due"] is not None and row["due"] > as_of and row["target"] != row["baseline"]:
            yield {
                "kind": "objective", "what": _called(row), "value": row["target"], "due": row["due"],
                "better": "more" if row["target"] > row["baseline"] else "less",
            }  # fmt: skip


def _attained(objectives: pl.DataFrame | None, row: Mapping[str, Any]) -> Came:
    for one in [] if objectives is None else objectives.to_dicts():
        if _called(one) == row["what"]:
            return Came(value=one["value"], reason=one["reason"])
    return Came(reason="the objectives no longer have it")


def _called(objective: Mapping[str, Any]) -> str:
    return f"{objective['objective']}: {objective['kpi']}" if objective["kpi"] else objective["objective"]


def _in_month(tables: Tables, row: Mapping[str, Any]) -> Came:
    """The line in the calendar month that ended on the day, or in which the day lies."""
    month = f"{row['due']:%Y-%m}"
    found = _lines(tables, "actual").filter((pl.col("period") == month) & (pl.col("line") == row["what"]))
    if found.is_empty() or found["value"][0] is None:
        return Came(reason=f"the account of care has no {row['what']} of {month}")
    return Came(value=found["value"][0])


def _lines(tables: Tables, scenario: str) -> pl.DataFrame:
    frame = tables.get("returns")
    if frame is None:
        return pl.DataFrame(schema={name: pl.String() for name in ("scenario", "segment", "period", "line")})
    return frame.filter((pl.col("scenario") == scenario) & (pl.col("segment") == ALL))


def _bought(histories: Histories, row: Mapping[str, Any], wrote: pl.DataFrame | None) -> Came:
    """Purchases in the promised time, of who was a customer when it was promised."""
    if histories.purchases is None:
        return Came(reason="this run reads no purchases")
    day, (since, until) = pl.col("date"), (row["made_on"], row["due"])
    then = day.is_between(since, until, closed="right")
    purchases = histories.purchases
    if wrote is not None:
        purchases = purchases.join(wrote.lazy().filter(pl.col("day") <= since), on="customer_id", how="semi")
    by_customer = (
        purchases.group_by("customer_id")
        .agg((day.min() <= since).alias("known"), then.sum().alias("n"))
        .filter("known")
        .select(pl.len().alias("customers"), pl.col("n").sum(), (pl.col("n") > 0).sum().alias("buyers"))
        .collect(engine="streaming")
    )
    customers, n, buyers = by_customer.row(0)
    if not customers:
        return Came(reason=f"no purchase of {since} or before is in the tables any more")
    return Came(value=float(n if row["what"] == _PURCHASES else buyers))


def _months_after(day: dt.date, months: int) -> dt.date:
    found: dt.date = pl.select(pl.lit(day).dt.offset_by(f"{months}mo")).item()
    return found
