"""`tributary simulate`: a company whose truth is known, as files with a configuration that runs."""

from __future__ import annotations

from pathlib import Path

import click

from tributary.commands.options import NEW_FOLDER, json_option
from tributary.commands.output import echo_json, echo_table


@click.command()
@click.option("--customers", type=click.IntRange(min=10), default=5_000, show_default=True, help="How many.")
@click.option("--months", type=click.IntRange(min=6), default=18, show_default=True, help="How long.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of all randomness.")
@click.option("--scenario", default="default", show_default=True, help="What is hidden; `list` names them.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["parquet", "csv"]),
    default="parquet",
    show_default=True,
    help="Of the tables.",
)
@click.option("--out", type=NEW_FOLDER, help="The folder to write into.")
@json_option
def simulate(
    customers: int, months: int, seed: int, scenario: str, file_format: str, out: Path | None, as_json: bool
) -> None:
    """Simulate a company: its tables, `truth.json`, and a configuration ready to run.

    Prints the true credit by channel, with what would have happened anyway.
    """
    from histories.errors import ConfigError
    from histories.simulation.company import simulate_company, truth_frame
    from histories.simulation.desk_company import DESK_SCENARIOS
    from histories.simulation.files import write_company
    from histories.simulation.kinds import COMPANY_SCENARIOS

    if scenario == "list":
        for known in COMPANY_SCENARIOS.values():
            click.echo(f"{known.name:<16}{known.summary}")
        for name, summary in DESK_SCENARIOS.items():
            click.echo(f"{name:<16}{summary}")
        return
    if out is None:
        raise click.UsageError("Missing option '--out': the folder to write the company into.")
    if out.is_dir() and any(out.iterdir()) and not (out / "truth.json").exists():
        raise ConfigError(
            f"--out: {out} holds other files, which tables could replace. Name a new folder, or an "
            "earlier simulated company."
        )
    if scenario in DESK_SCENARIOS:
        _simulate_desk(customers, months, seed, scenario, file_format, out, as_json=as_json)
        return
    company = simulate_company(customers=customers, months=months, seed=seed, scenario=scenario)
    config = write_company(company, out, file_format="csv" if file_format == "csv" else "parquet")
    truth = truth_frame(company.truth)
    if as_json:
        echo_json({"config": config, "truth": truth, "experiment": company.experiment})
        return
    echo_table(truth)
    click.echo(f"\nWritten to {out}. Next: tributary run {config}")


def _simulate_desk(
    customers: int, months: int, seed: int, scenario: str, file_format: str, out: Path, *, as_json: bool
) -> None:
    """A company with a care desk; prints the true service figures."""
    import polars as pl

    from histories.simulation.desk_company import simulate_care, write_care

    weeks = round(months * 365.25 / 12 / 7)
    company = simulate_care(customers=customers, weeks=weeks, seed=seed, scenario=scenario)
    config = write_care(company, out, file_format="csv" if file_format == "csv" else "parquet")
    if as_json:
        echo_json({"config": config, "truth": company.truth})
        return
    figures = pl.DataFrame(company.truth["figures"], infer_schema_length=None)
    echo_table(figures.select("kpi", "clock", pl.col("value").cast(pl.Float64)))
    click.echo(f"\nWritten to {out}. Next: tributary run {config}")
