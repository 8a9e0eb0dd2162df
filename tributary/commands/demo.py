"""`tributary demo`: a company whose truth is known, and how far each figure is from it."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import polars as pl

from tributary.commands.output import Steps, echo_json, echo_table, json_option

__all__ = ["demo"]


@click.command()
@click.option(
    "--customers", default=5_000, show_default=True, type=click.IntRange(min=100), help="Size of the company."
)
@click.option(
    "--months", default=18, show_default=True, type=click.IntRange(min=6), help="Length of its history."
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0), help="Of all randomness.")
@click.option("--scenario", default="default", show_default=True, help="See `tributary simulate --help`.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
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
    from histories.simulate import simulate_company, write_company

    steps = Steps(quiet=as_json)
    steps(f"Simulating {customers:,} customers over {months} months")
    data, runs, mlruns = out / "company", out / "runs", out / "mlruns"
    for folder in (data, runs, mlruns):
        shutil.rmtree(folder, ignore_errors=True)
    company = simulate_company(customers=customers, months=months, seed=seed, scenario=scenario)
    config = write_company(company, data)
    result = run_experiment(load_config(config), runs=runs, mlruns=mlruns, step=steps)
    promote_bundle(runs, result.bundle, "demo")
    set_champion(result.name, result.run_id, mlruns=mlruns)
    steps.done()
    misses = _against_truth(result.bundle, data)
    if as_json:
        echo_json(result.to_dict() | {"truth": misses})
        return
    _tell(result.headline, result.summary, misses, out)


def _tell(headline: str, summary: pl.DataFrame, misses: pl.DataFrame, out: Path) -> None:
    some_id = pl.read_parquet(out / "runs" / "champion" / "customers.parquet", n_rows=1)["customer_id"][0]
    click.secho(f"\n{headline}\n", bold=True)
    echo_table(summary.filter(~pl.col("figure").str.contains("^(spend|effect)")), indent=2)
    for outcome in misses["outcome"].unique(maintain_order=True):
        click.echo(
            f"\n  {outcome.replace('_', ' ')}: last touch, incremental with interval and range, and the truth"
        )
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

    truth = pl.DataFrame(json.loads((data / "truth.json").read_text(encoding="utf-8"))["credits"])
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
    return (
        true.join(last, on=["outcome", "channel"], how="left", maintain_order="left")
        .join(added, on=["outcome", "channel"], how="left", maintain_order="left")
        .select("outcome", "channel", *columns)
    )
