"""Every purchase log x every model: totals, customers, and whether intervals hold.

Quarterly origins from half a year of history on, the windows of 3 and 6 months behind each, customers known
at the origin, nothing later than an origin used for it. Prints the tables of docs/clv.md:

    python -m benchmarks.forecasts --data FOLDER [--log Grocery=orders.parquet] [--write docs/clv.md]

With --write the tables between the marks `<!-- forecasts -->` of that page are written anew.

FOLDER holds cdnow/, online_retail/ and dunnhumby_cj/; a further log has columns customer_id, date and amount.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from clv.evaluate import poisson_deviance
from clv.fitting import fit_models, fit_spend
from clv.intervals import sampling_variance
from clv.outlook import Company, columns_of, look_ahead, spend_of, summarize_window
from clv.settings import STACK, ValueSettings
from clv.stack import total_interval

SETTINGS = ValueSettings()
#: Days of history before the first origin.
SHORTEST_HISTORY = 180
MONTHS = (3, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A purchase log: one row per customer and day."""

    name: str
    purchases: pl.DataFrame

    @property
    def first(self) -> date:
        """Day of the first purchase."""
        return self.purchases["date"].min()  # type: ignore[return-value]

    @property
    def last(self) -> date:
        """Day of the last purchase."""
        return self.purchases["date"].max()  # type: ignore[return-value]


def as_purchases(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with customer_id, date and amount (currency) as purchases by day, in minor units."""
    return (
        rows.with_columns(
            pl.col("date").cast(pl.Date), amount=(pl.col("amount") * 10_000).round().cast(pl.Int64)
        )
        .group_by("customer_id", "date")
        .agg(pl.col("amount").sum(), orders=pl.len().cast(pl.Int64))
        .with_columns(timestamp=pl.col("date").cast(pl.Datetime("us")), margin=pl.lit(None, dtype=pl.Int64))
        .sort("customer_id", "date")
    )


def read_logs(folder: Path, further: list[str]) -> Iterator[Log]:
    """The logs that are there."""
    cdnow = folder / "cdnow" / "cdnow_master.parquet"
    if cdnow.exists():
        rows = pl.read_parquet(cdnow).rename({"value_usd": "amount"})
        yield Log(name="CDNOW", purchases=as_purchases(rows))
    retail = folder / "online_retail" / "online_retail_2009_2010.parquet"
    if retail.exists():
        rows = (
            pl.read_parquet(retail)
            .filter(pl.col("customer_id").is_not_null(), pl.col("quantity") > 0, pl.col("unit_price_gbp") > 0)
            .with_columns(
                date=pl.col("invoice_ts").dt.date(), amount=pl.col("quantity") * pl.col("unit_price_gbp")
            )
        )
        yield Log(name="Online Retail", purchases=as_purchases(rows))
    journey = folder / "dunnhumby_cj" / "transactions_sample.parquet"
    if journey.exists():
        rows = pl.read_parquet(journey).with_columns(
            customer_id=pl.col("household_id"),
            date=pl.col("transaction_timestamp").dt.date(),
            amount=pl.col("sales_value"),
        )
        yield Log(name="Complete Journey", purchases=as_purchases(rows))
    for text in further:
        name, _, path = text.partition("=")
        yield Log(name=name, purchases=as_purchases(pl.read_parquet(path)))


def windows_of(log: Log) -> Iterator[tuple[date, date, int]]:
    """Origins at quarter ends and the ends of their windows, with the months between."""
    for start in pl.date_range(log.first.replace(day=1), log.last, "1mo", eager=True):
        origin = start - timedelta(days=1)
        for months in MONTHS:
            until = _month_end_after(origin, months)
            long_enough = (origin - log.first).days >= SHORTEST_HISTORY
            if start.month in (1, 4, 7, 10) and long_enough and until <= log.last + timedelta(days=3):
                yield origin, min(until, log.last), months
    for months in MONTHS:  # and the windows that end with the log
        origin = log.last - timedelta(days=round(months * 30.4375))
        at_a_quarter = (origin + timedelta(days=4)).month in (1, 4, 7, 10) and abs(origin.day - 30) <= 4
        if (origin - log.first).days >= SHORTEST_HISTORY and not at_a_quarter:
            yield origin, log.last, months


def _month_end_after(origin: date, months: int) -> date:
    """The last day of the month that lies `months` behind the one that `origin` ends."""
    month = origin.year * 12 + origin.month - 1 + months + 1
    return date(month // 12, month % 12 + 1, 1) - timedelta(days=1)


def score(log: Log, origin: date, until: date, *, published: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All models on calendar time and on the clock, and the stack with its interval, on one window."""
    purchases = log.purchases.lazy()
    days = (until - origin).days
    rows: list[dict[str, Any]] = []
    for season in (False, True):
        settings = replace(SETTINGS, season=season)
        company = Company.of(
            lambda day: purchases.filter(pl.col("date") <= day),
            log.purchases["customer_id"].unique().sort(),
            settings=settings,
            first=log.first,
            time_unit="week",
        )
        summary = summarize_window(company.purchases_at, origin, until, time_unit="week")
        fits, _ = fit_models(settings.models, summary, penalizer=0.0)
        outlook = look_ahead(company, summary, fits, origin=origin, days=days)
        if outlook is None:
            continue
        spend_fit = fit_spend(summary)[0]
        spend = spend_of(spend_fit, summary)
        actual, revenue = columns_of(summary, "holdout_purchases", "holdout_revenue")
        forecasts = dict(outlook.predicted) | {STACK: outlook.expected}
        for model, predicted in forecasts.items():
            rows.append(
                {
                    "log": log.name,
                    "origin": origin,
                    "until": until,
                    "model": model,
                    "clock": season,
                    "calendar": outlook.clock.is_calendar,
                    "customers": actual.size,
                    "actual": float(actual.sum()),
                    "predicted": float(predicted.sum()),
                    "deviance": float(poisson_deviance(predicted, actual).mean()),
                    "mae": float(np.abs(predicted - actual).mean()),
                    "revenue": float(revenue.sum()),
                    "revenue_predicted": float(predicted @ spend),
                    "at_bound": [m for m, f in outlook.fits.items() if f.report.at_bound],
                }
            )
        if season:
            base = outlook.fits[outlook.base]
            timed = outlook.clock.retime(summary, origin=origin)
            sampling = sampling_variance(
                base, spend_fit, timed, outlook.clock.ahead(origin, days), rng=np.random.default_rng(1)
            )
            stack = outlook.stack
            mine = [p for p in published if p["log"] == log.name and p["until"] <= origin]
            mine = [p for p in mine if abs((p["until"] - p["origin"]).days - days) < 20]
            limits: dict[str, Any] = {
                "stretch": stack.stretch(days),
                "published": [float(np.log(p["actual"] / p["predicted"])) for p in mine],
                "level": 0.9,
            }
            low, high = total_interval(
                float(outlook.expected.sum()), sampling=sampling.purchases, errors=stack.errors, **limits
            )
            rows[-1] |= {"low": low, "high": high, "weights": dict(stack.weights), "bias": stack.bias}
            if spend_fit is not None:
                low, high = total_interval(
                    float(outlook.expected @ spend),
                    sampling=sampling.revenue,
                    errors=stack.revenue_errors,
                    **limits,
                )
                rows[-1] |= {"revenue_low": low, "revenue_high": high}
    return rows


def summarise(frame: pl.DataFrame) -> pl.DataFrame:
    """By log and forecast: mean total error, deviance and absolute error against calendar BG/NBD."""
    base = frame.filter((pl.col("model") == "bg_nbd") & ~pl.col("clock")).select(
        "log", "origin", "until", base_deviance="deviance", base_mae="mae"
    )
    log_error = (pl.col("predicted") / pl.col("actual")).log().abs()
    revenue_error = (pl.col("revenue_predicted") / pl.col("revenue")).log().abs()
    return (
        frame.join(base, on=["log", "origin", "until"])
        .group_by("log", "model", "clock", maintain_order=True)
        .agg(
            pl.len().alias("windows"),
            log_error.mean().alias("total_error"),
            (pl.col("deviance") / pl.col("base_deviance")).mean().alias("deviance"),
            (pl.col("mae") / pl.col("base_mae")).mean().alias("mae"),
            revenue_error.mean().alias("revenue_error"),
        )
    )


def by_window(frame: pl.DataFrame) -> pl.DataFrame:
    """By log and window: the actual total, and each forecast's error with the stack's interval."""
    stack = frame.filter((pl.col("model") == STACK) & pl.col("clock")).select(
        "log",
        "origin",
        "until",
        "actual",
        ((pl.col("low") <= pl.col("actual")) & (pl.col("actual") <= pl.col("high"))).alias("covered"),
        ((pl.col("revenue_low") <= pl.col("revenue")) & (pl.col("revenue") <= pl.col("revenue_high"))).alias(
            "revenue_covered"
        ),
        ((pl.col("high") / pl.col("low")).sqrt() - 1.0).alias("half_width"),
        ((pl.col("revenue_high") / pl.col("revenue_low")).sqrt() - 1.0).alias("revenue_half_width"),
        (pl.col("revenue_predicted") / pl.col("revenue") - 1.0).alias("revenue_error"),
    )
    error = (pl.col("predicted") / pl.col("actual") - 1.0).alias("error")
    wide = (
        frame.filter(pl.col("clock"))
        .select("log", "origin", "until", "model", error)
        .pivot("model", index=["log", "origin", "until"], values="error")
    )
    return wide.join(stack, on=["log", "origin", "until"]).sort("log", "origin", "until")


def coverage(windows: pl.DataFrame) -> pl.DataFrame:
    """By log: share of windows whose 90 % interval held the total, and its half width (median)."""
    held = ("covered", "half_width", "revenue_covered", "revenue_half_width")
    each = [
        pl.len().alias("windows"),
        *(pl.col(name).mean() if name.endswith("covered") else pl.col(name).median() for name in held),
    ]
    whole = windows.select(pl.lit("all").alias("log"), *each)
    return pl.concat([windows.group_by("log", maintain_order=True).agg(*each), whole])


MARK = "<!-- forecasts -->"
NAMES = ("bg_nbd", "mbg_nbd", "pareto_nbd", "mbg_cnbd_2", "gradient_boosting", STACK)


def as_markdown(frame: pl.DataFrame) -> str:
    """The three tables of docs/clv.md; where a log never left calendar time its clock rows are left out."""
    lines = [
        "| log (windows) | forecast | time | total | deviance | MAE | revenue |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    on_clock = dict(frame.group_by("log").agg((~pl.col("calendar")).any()).iter_rows())
    for row in summarise(frame).iter_rows(named=True):
        shown = row["clock"] or not on_clock[row["log"]]
        if row["clock"] and not on_clock[row["log"]]:
            continue
        bold = "**" if row["model"] == STACK and shown else ""
        revenue = row["revenue_error"]
        cells = (
            f"{row['log']} ({row['windows']})",
            f"{bold}{row['model']}{bold}",
            "clock" if row["clock"] else "calendar",
            f"{bold}{row['total_error']:.3f}{bold}",
            f"{bold}{row['deviance']:.3f}{bold}",
            f"{row['mae']:.3f}",
            "-" if revenue is None or not np.isfinite(revenue) else f"{revenue:.3f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    windows = by_window(frame)
    lines += [
        "",
        "| log | windows | 90 % interval held | half width (median) | of revenue: held | half width |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in coverage(windows).iter_rows(named=True):
        shares = [row[n] for n in ("covered", "half_width", "revenue_covered", "revenue_half_width")]
        cells = ["-" if share is None else f"{share:.0%}".replace("%", " %") for share in shares]
        lines.append(f"| {row['log']} | {row['windows']} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "By origin, error of the total in percent:",
        "",
        "| log | from | to | purchases | " + " | ".join(NAMES) + " | held |",
        "| --- | --- | --- | --- | " + "--- | " * len(NAMES) + "--- |",
    ]
    for row in windows.iter_rows(named=True):
        errors = [f"{100 * row[name]:+.0f}" if row.get(name) is not None else "-" for name in NAMES]
        held = "yes" if row["covered"] else "no"
        lines.append(
            f"| {row['log']} | {row['origin']} | {row['until']} | {row['actual']:,.0f} | "
            + " | ".join(errors)
            + f" | {held} |"
        )
    return "\n".join(lines)


def write_between_marks(page: Path, text: str) -> None:
    """Replace what stands between the two marks of a page."""
    before, _, after = page.read_text(encoding="utf-8").split(MARK)
    page.write_text(f"{before}{MARK}\n{text}\n{MARK}{after}", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--log", action="append", default=[], metavar="NAME=PARQUET")
    parser.add_argument("--only", help="one log by name")
    parser.add_argument("--write", type=Path, help="a page with two marks, whose tables are written anew")
    parser.add_argument("--scores", type=Path, help="take the scores of every window from here")
    parser.add_argument("--out", type=Path, help="keep the scores of every window here, as JSON lines")
    options = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    if options.scores:
        rows = [json.loads(line) for line in options.scores.read_text().splitlines()]
        rows = [row | {day: date.fromisoformat(row[day]) for day in ("origin", "until")} for row in rows]
    for log in () if options.scores else read_logs(options.data, options.log):
        if options.only and log.name != options.only:
            continue
        for origin, until, _ in windows_of(log):
            mine = [r for r in rows if r["model"] == STACK and r["clock"]]
            scored = score(log, origin, until, published=mine)
            rows += scored
            print(f"{log.name} {origin} to {until}", file=sys.stderr, flush=True)
            if options.out:
                with options.out.open("a") as file:
                    file.writelines(json.dumps(row, default=str) + "\n" for row in scored)
    frame = pl.DataFrame(rows, infer_schema_length=None)
    if options.write:
        write_between_marks(options.write, as_markdown(frame))
    pl.Config.set_tbl_rows(-1).set_tbl_cols(-1).set_tbl_width_chars(200).set_float_precision(3)
    pl.Config.set_tbl_formatting("ASCII_MARKDOWN").set_tbl_hide_dataframe_shape(True)
    pl.Config.set_tbl_hide_column_data_types(True)
    print(summarise(frame))
    windows = by_window(frame)
    print(coverage(windows))
    print(windows)


if __name__ == "__main__":
    main()
