"""`tributary demo`: a company whose truth is known, and how far each figure is from it."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import polars as pl

from tributary.commands.options import NEW_FOLDER, json_option
from tributary.commands.output import Steps, echo_json, echo_table


@click.command()
@click.option(
    "--customers", default=5_000, show_default=True, type=click.IntRange(min=100), help="Size of the company."
)
@click.option(
    "--months", default=18, show_default=True, type=click.IntRange(min=6), help="Length of its history."
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0), help="Of all randomness.")
@click.option("--scenario", default="desk", show_default=True, help="See `tributary simulate --help`.")
@click.option(
    "--out",
    type=NEW_FOLDER,
    default=Path("demo"),
    show_default=True,
    help="Folder for data, runs and report; an earlier demo in it is replaced.",
)
@json_option
def demo(customers: int, months: int, seed: int, scenario: str, out: Path, as_json: bool) -> None:
    """Simulate a company with a known truth, run everything, and say how far off each figure is."""
    from experiments.champion import promote_bundle
    from experiments.config import load_config
    from experiments.registering import set_champion
    from experiments.run import run_experiment
    from histories.simulation.company import simulate_company
    from histories.simulation.desk_company import DESK_SCENARIOS, simulate_care, write_care
    from histories.simulation.files import write_company

    steps = Steps(quiet=as_json)
    steps(f"Simulating {customers:,} customers over {months} months")
    data, runs, mlruns = out / "company", out / "runs", out / "mlruns"
    for folder in (data, runs, mlruns):
        shutil.rmtree(folder, ignore_errors=True)
    if scenario in DESK_SCENARIOS:
        weeks = round(months * 365.25 / 12 / 7)
        config = write_care(
            simulate_care(customers=customers, weeks=weeks, seed=seed, scenario=scenario), data
        )
    else:
        company = simulate_company(customers=customers, months=months, seed=seed, scenario=scenario)
        config = write_company(company, data)
    result = run_experiment(load_config(config), runs=runs, mlruns=mlruns, step=steps)
    promote_bundle(runs, result.bundle, "demo")
    set_champion(result.name, result.run_id, mlruns=mlruns)
    steps.done()
    misses = (_desk_against_truth if scenario in DESK_SCENARIOS else _against_truth)(result.bundle, data)
    if as_json:
        echo_json(result.to_dict() | {"truth": misses})
        return
    _tell(result.headline, result.summary, misses, out)


def _tell(headline: str, summary: pl.DataFrame, misses: pl.DataFrame, out: Path) -> None:
    some_id = pl.read_parquet(out / "runs" / "champion" / "customers.parquet", n_rows=1)["customer_id"][0]
    click.secho(f"\n{headline}\n", bold=True)
    echo_table(summary.filter(~pl.col("figure").str.contains("^(spend|effect)")), indent=2)
    for outcome in misses["outcome"].unique(maintain_order=True):
        beside = "the run and the truth"
        if "last_touch" in misses.columns:
            beside = "last touch, incremental with interval and range, and the truth"
        click.echo(f"\n  {outcome.replace('_', ' ')}: {beside}")
        echo_table(misses.filter(pl.col("outcome") == outcome).drop("outcome"), indent=2)
    click.echo(
        f"\nReport   {out / 'runs' / 'champion' / 'report.html'}"
        f"\nServe    tributary serve --runs {out / 'runs'}   then open http://127.0.0.1:8000/explore"
        f"\nAsk      curl http://127.0.0.1:8000/v1/customers/{some_id}/value"
        f"\nRuns     tributary runs --mlruns {out / 'mlruns'}"
        f"\nMLflow   mlflow ui --backend-store-uri sqlite:///{out / 'mlruns' / 'mlflow.db'}"
        f"\nData     {out / 'company'}, with its configuration and truth.json"
    )


def _against_truth(bundle: Path, data: Path) -> pl.DataFrame:
    """Credit beside the simulated truth.

    Returns
    -------
    DataFrame
        outcome, channel, last_touch, incremental, low, high, range_low, range_high, truth, supported.
    """
    import json

    told = json.loads((data / "truth.json").read_text(encoding="utf-8"))
    truth = pl.DataFrame(told["credits"])
    whole = (pl.col("segment") == "(all)") & (pl.col("period") == "(all)")
    credits = pl.read_parquet(bundle / "credits.parquet").filter(whole)
    true = truth.select("outcome", "channel", truth="credit")
    edges = truth.unique("outcome", maintain_order=True)
    true = pl.concat(
        [
            true,
            edges.select("outcome", pl.lit("(baseline)").alias("channel"), truth="baseline"),
            edges.select("outcome", pl.lit("(total)").alias("channel"), truth="total"),
        ]
    )
    last = credits.filter((pl.col("method") == "last") & (pl.col("level") != "group")).select(
        "outcome", "channel", last_touch="credit"
    )
    added = credits.filter((pl.col("method") == "incremental") & (pl.col("level") != "group")).select(
        "outcome", "channel", "low", "high", "range_low", "range_high", "supported", incremental="credit"
    )
    columns = ("last_touch", "incremental", "low", "high", "range_low", "range_high", "truth", "supported")
    shown = (
        true.join(last, on=["outcome", "channel"], how="left", maintain_order="left")
        .join(added, on=["outcome", "channel"], how="left", maintain_order="left")
        .select("outcome", "channel", *columns)
    )
    if "care" not in told:
        return shown
    return pl.concat([shown, _speed_against_truth(bundle, told["care"]).cast(shown.schema)])


def _speed_against_truth(bundle: Path, truth: dict[str, float]) -> pl.DataFrame:
    """What an answer within the hour would bring those who were answered later, per case."""
    rows = pl.read_parquet(bundle / "effects.parquet").filter(
        (pl.col("name") == "answers within the hour")
        & (pl.col("outcome") == "spend")
        & (pl.col("segment") == "(all)")
        & (pl.col("estimand") == "ATU")
    )
    return rows.select(
        pl.lit("spend of an answer").alias("outcome"),
        pl.lit("within the hour").alias("channel"),
        pl.lit(None).alias("last_touch"),
        pl.col("estimate").alias("incremental"),
        "low",
        "high",
        pl.lit(None).alias("range_low"),
        pl.lit(None).alias("range_high"),
        pl.lit(truth["untreated_effect"]).alias("truth"),
        "supported",
    )


def _desk_against_truth(bundle: Path, data: Path) -> pl.DataFrame:
    """Service figures, what answers bring and what silence cost, beside the simulated truth.

    Returns
    -------
    DataFrame
        outcome, figure, found, low, high, truth, supported.
    """
    import json

    truth = json.loads((data / "truth.json").read_text(encoding="utf-8"))["care"]
    kpis = pl.read_parquet(bundle / "care.parquet").filter(
        pl.all_horizontal(pl.col("channel", "team", "segment", "period") == "(all)")
    )
    true = pl.DataFrame(
        [(one["kpi"], one["clock"], one["value"]) for one in truth["figures"]],
        schema={"kpi": pl.String, "clock": pl.String, "truth": pl.Float64},
        orient="row",
    )
    service = true.join(kpis, on=["kpi", "clock"], nulls_equal=True, maintain_order="left").select(
        pl.lit("service").alias("outcome"),
        pl.concat_str("kpi", "clock", separator=", ", ignore_nulls=True).alias("figure"),
        pl.col("value").alias("found"),
        "low",
        "high",
        "truth",
        pl.col("value").is_not_null().alias("supported"),
    )
    effects = pl.read_parquet(bundle / "effects.parquet").filter(
        (pl.col("outcome") == "spend") & (pl.col("segment") == "(all)") & (pl.col("estimator") == "aipw")
    )
    by_bin = {one["minutes"]: one["spend"] for one in truth["response"]}
    rows = [
        ("spend of an answer", f"within {row['bin']} minutes", row["estimate"], row["low"], row["high"],
         by_bin[row["bin"]], row["supported"])
        for row in effects.filter(pl.col("bin").is_in(list(by_bin))).iter_rows(named=True)
    ]  # fmt: skip
    rows += [
        ("spend of an answer", "within the hour, to those who waited longer", row["estimate"], row["low"],
         row["high"], truth["untreated_effect"], row["supported"])
        for row in effects.filter(
            (pl.col("name") == "answers within the hour") & (pl.col("estimand") == "ATU")
        ).iter_rows(named=True)
    ]  # fmt: skip
    whole = pl.read_parquet(bundle / "returns.parquet").filter(
        pl.all_horizontal(pl.col("segment", "period") == "(all)")
    )
    silence = whole.filter(pl.col("line") == "silence: all authors as if known")
    rows += [
        ("cost of silence", "margin, all authors, at the speed of the answers", row["value"], row["low"],
         row["high"], truth["silence"]["margin_at_speed"], row["supported"])
        for row in silence.iter_rows(named=True)
    ]  # fmt: skip
    return pl.concat([service, pl.DataFrame(rows, schema=service.schema, orient="row")])
