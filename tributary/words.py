"""The words of the front door: each a short function from frames to a `Result`.

They call the parts of a run, so that a notebook and `tributary run` give the same figures for the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from histories.errors import DataError, ModelError
from tributary.desk import Day, Origins, channel_entries, desk, in_currency
from tributary.result import Picture, Result, forest

if TYPE_CHECKING:
    from clv.purchases import PurchaseFit
    from experiments.bundle.reading import Bundle
    from experiments.config import RunConfig
    from experiments.run import RunResult


_VALUE_COLUMNS = (
    "customer_id",
    "frequency",
    "recency",
    "T",
    "churn_probability",
    "expected_purchases",
    "customer_lifetime_value",
)


def read(path: str | Path, table: str = "transactions", **options: Any) -> Result:
    """One input table, checked as a run checks it; amounts in currency, times local.

    Parameters
    ----------
    path
        A file, folder, glob, or the address of a database or of object storage.
    table
        Which input table it is: "transactions", "touchpoints", "customers", "cases", …
    options
        Of the table's entry under `[inputs]`: `columns`, `separator`, `timestamp_format`, …

    Returns
    -------
    Result
        The valid rows; `detail` holds the rejected ones with their rule, `notes` what was noticed.

    Raises
    ------
    ConfigError, DataError, SchemaError
        As `tributary check` refuses the table.
    """
    from experiments.config import parse_config
    from experiments.inputs import read_inputs

    source = {"path": str(path), **options}
    config = parse_config({"inputs": {table: source}}, base_dir=Path.cwd(), place="read")
    found = read_inputs(config).tables[table]
    frame = in_currency(found.valid.collect())
    kept_out = found.rows_read - found.rows_valid
    notes = [f"{kept_out:,} of {found.rows_read:,} rows were kept out by a rule."] if kept_out else []
    return Result(
        title=f"{table}: {found.rows_valid:,} valid rows",
        frame=frame,
        notes=(*notes, *found.notes),
        shown=frame.head(10),
        detail=found,
    )


def histories(
    transactions: Any = None,
    touchpoints: Any = None,
    *,
    customers: Any = None,
    cases: Any = None,
    observation_end: Day | None = None,
    channels: Origins | None = None,
    **settings: Any,
) -> Result:
    """Purchases and touches of every customer as one line in time.

    Parameters
    ----------
    transactions, touchpoints, customers, cases
        Frames with the columns of the input tables; amounts in currency.
    observation_end
        Last day that counts; by default the last one in the data.
    channels
        Channel to who acts in it, "customer" or "firm", or to {"origin": …, "group": …}.
    settings
        Further keys of a run's configuration (`timezone`, `purchase_unit`, `limits`, …), and `zero_orders`.

    Returns
    -------
    Result
        customer_id, timestamp, event ("purchase" or "touch"), channel (null at purchases), amount (currency,
        null at touches), by customer and time. `detail` has both tables with all their columns, lazy.
    """
    tables = {
        "transactions": transactions,
        "touchpoints": touchpoints,
        "customers": customers,
        "cases": cases,
    }
    with desk(
        tables, observation_end=observation_end, channels=channel_entries(channels), **settings
    ) as made:
        found = made.histories
    lines = []
    if found.purchases is not None:
        bought = found.purchases.with_columns(event=pl.lit("purchase"), channel=pl.lit(None, pl.String))
        lines.append(in_currency(bought.collect()))
    if found.touchpoints is not None:
        touched = found.touchpoints.with_columns(event=pl.lit("touch"), amount=pl.lit(None, pl.Float64))
        lines.append(touched.collect())
    columns = ["customer_id", "timestamp", "event", "channel", "amount"]
    frame = pl.concat([line.select(columns) for line in lines]).sort("customer_id", "timestamp", "event")
    return Result(
        title=f"Histories of {frame['customer_id'].n_unique():,} customers, {found.span}",
        frame=frame,
        notes=found.all_notes,
        shown=frame.head(10),
        detail=found,
    )


def summarize(
    transactions: Any,
    *,
    observation_end: Day | None = None,
    time_unit: str = "week",
    purchase_unit: str = "day",
    **settings: Any,
) -> pl.DataFrame:
    """Frequency, recency, T and monetary_value of each customer, ready for a purchase model's `fit`.

    Parameters
    ----------
    transactions
        Frame with customer_id, timestamp and amount (currency; negative: refund).
    observation_end
        Last day that counts, that day included; by default the last one in the data.
    time_unit
        Unit of recency and T: "day" or "week".
    purchase_unit
        Purchases of one customer within it are one purchase: "day" or "week".
    settings
        Further keys of a run's configuration, such as other names of columns,
        `inputs={"transactions": {"columns": {"timestamp": "day"}}}`, and `zero_orders`: "drop" (default) or
        "count" as purchases.

    Returns
    -------
    DataFrame
        One row per customer, by customer_id, as `clv.summarize_purchases` makes it; what was kept out of it
        is in the `notes` of `histories`.
    """
    from clv.summary import summarize_purchases

    about: dict[str, Any] = {
        "observation_end": observation_end,
        "time_unit": time_unit,
        "purchase_unit": purchase_unit,
    }
    with desk({"transactions": transactions}, **about, **settings) as made:
        purchases = made.histories.purchases
        end = made.histories.inputs.observation_end
        assert purchases is not None
        summary = summarize_purchases(purchases, observation_end=end, time_unit=time_unit)
        return summary.sort("customer_id").collect()


def value(
    transactions: Any,
    *,
    customers: Any = None,
    touchpoints: Any = None,
    calendar: Any = None,
    observation_end: Day | None = None,
    calibration_end: Day | None = None,
    time_unit: str = "week",
    gross_margin: float | None = None,
    settings: Mapping[str, Any] | None = None,
    **about: Any,
) -> Result:
    """What every customer is worth, by models judged on past holdouts.

    Parameters
    ----------
    transactions, customers, touchpoints, calendar
        Frames with the columns of the input tables; amounts in currency.
    observation_end, calibration_end
        Last day that counts, and last day of the validation fit.
    time_unit
        Unit of recency and T: "day" or "week".
    gross_margin
        Margin per unit of spend, 0 to 1.
    settings
        Keys of `[value]`: `models`, `horizon_months`, `discount_rate`, `dynamic_covariates`, …
    about
        Further keys of a run's configuration (`currency`, `timezone`, `seed`, …), and `zero_orders`.

    Returns
    -------
    Result
        The customers table of a bundle, money in currency; `detail` is `clv.CustomerValues`.

    Raises
    ------
    ModelError
        When no purchase model could be fitted.
    """
    from experiments.parts.costs import channel_costs
    from experiments.parts.value import value_part

    chosen = {**(settings or {}), **({} if gross_margin is None else {"gross_margin": gross_margin})}
    cuts: dict[str, Any] = {
        "observation_end": observation_end,
        "calibration_end": calibration_end,
        "time_unit": time_unit,
    }
    tables = {
        "transactions": transactions,
        "touchpoints": touchpoints,
        "customers": customers,
        "calendar": calendar,
    }
    with desk(tables, value=chosen, **cuts, **about) as made:
        costs = channel_costs(made.histories).allocated(None, made.histories.touchpoints)
        part = value_part(made.config, made.histories, None if costs is None else costs.by_customer())
    if part.values is None:
        raise ModelError("; ".join(part.left_out.values()))
    frame = part.values.customers
    months = made.config.value.horizon_months
    return Result(
        title=f"Value of {frame.height:,} customers over {months} months, by {part.values.model['chosen']}",
        frame=frame,
        notes=(*made.histories.all_notes, *part.values.warnings),
        shown=frame.select(_VALUE_COLUMNS).head(10),
        detail=part.values,
        draw=lambda: forest(
            _by_decile(frame), "decile", "value", "Mean customer_lifetime_value by decile, 10 is the best"
        ),
    )


def simulate(
    customers: int = 5_000, months: int = 18, *, seed: int = 1, scenario: str = "default"
) -> Mapping[str, pl.DataFrame]:
    """A company whose truth is known: input tables by name, amounts in currency, and `truth`.

    Parameters
    ----------
    customers, months
        Size; at least 10 customers and 6 months.
    seed
        Of all randomness; the same arguments give the same company.
    scenario
        A name from `histories.simulate.COMPANY_SCENARIOS`.

    Returns
    -------
    Mapping
        "transactions", "touchpoints", "customers", …, and "truth": credit, baseline and total of each outcome
        by channel.
    """
    from dataclasses import fields

    from histories.simulation.company import simulate_company, truth_frame

    company = simulate_company(customers=customers, months=months, seed=seed, scenario=scenario)
    books = {field.name: getattr(company.books, field.name) for field in fields(company.books)}
    given = {name: book for name, book in books.items() if book is not None}
    return {**given, "truth": truth_frame(company.truth)}


def run(
    config: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    runs: str | Path = "runs",
    mlruns: str | Path = "mlruns",
) -> RunResult:
    """The whole story of a configuration, from tables to a bundle; as `tributary run`.

    Parameters
    ----------
    config
        A TOML file, or the same tree of keys as a mapping; its paths then start at the working folder.
    out
        The bundle's folder; by default a new one under `runs/`.
    runs, mlruns
        Where bundles are kept, and where MLflow keeps the runs: a folder, or the address of a server.

    Returns
    -------
    RunResult
        Where the bundle is, the headline, a summary, and what was left out with the reason.
    """
    from experiments.config import load_config, parse_config
    from experiments.run import run_experiment

    chosen: RunConfig
    if isinstance(config, Mapping):
        chosen = parse_config(config, base_dir=Path.cwd(), place="arguments")
    else:
        chosen = load_config(Path(config))
    return run_experiment(
        chosen,
        runs=Path(runs),
        mlruns=Path(mlruns),
        out=None if out is None else Path(out),
    )


def load(bundle: str | Path = "runs/champion") -> Bundle:
    """A run's bundle, every byte checked: `table(name)`, `manifest`, `model`.

    Parameters
    ----------
    bundle
        Its folder, or a link to it.

    Raises
    ------
    BundleError
        When it is missing, damaged, or of another format.
    """
    from experiments.bundle.reading import load_bundle

    return load_bundle(Path(bundle))


def plot(
    made: Result | PurchaseFit, *, frequency: int = 15, age: int = 40, time_unit: str = "week"
) -> Picture:
    """The picture of a result; of a fitted purchase model the matrix of frequency and recency.

    Parameters
    ----------
    made
        What a word of this module, or a purchase model's `fit`, gave.
    frequency, age
        Of a purchase model: the largest frequency drawn, and the customers' age in `time_unit`.
    time_unit
        The unit that was fitted, "day" or "week".
    """
    if isinstance(made, Result):
        return made.plot()
    if not hasattr(made, "predict_purchases"):
        raise DataError(
            f"plot: a {type(made).__name__} has no picture. Give what a word of this module or a purchase "
            "model's `fit` made."
        )
    from clv.pictures import frequency_recency_matrix
    from clv.summary import DAYS_PER_UNIT
    from reports.pictures import draw_matrix

    year = 365.25 / DAYS_PER_UNIT[time_unit]
    frame = frequency_recency_matrix(made, frequency=frequency, age=age, t=year)
    svg = draw_matrix(
        frame,
        "expected_purchases",
        title="Purchases expected in a year",
        x_title="across: repeat purchases",
        y_title=f"up: {time_unit}s from first to last purchase",
    )
    return Picture(svg)


def _by_decile(customers: pl.DataFrame) -> pl.DataFrame:
    mean = pl.col("customer_lifetime_value").mean().alias("value")
    by_decile = customers.group_by("decile").agg(mean).sort("decile", descending=True)
    return by_decile.with_columns(pl.col("decile").cast(pl.String))
