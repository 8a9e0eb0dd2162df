"""`tributary update`: today's rows into a bundle, without fitting anything."""

from __future__ import annotations

from pathlib import Path

import click

from tributary.commands.options import (
    bundle_argument,
    config_argument,
    engine_option,
    json_option,
    memory_option,
    mlruns_option,
    runs_option,
    set_option,
)
from tributary.commands.output import Steps, echo_json
from tributary.commands.runs import promote_run


@click.command()
@bundle_argument
@config_argument
@set_option
@click.option(
    "--only-changed",
    is_flag=True,
    help="The tables name only customers whose rows changed, each with all rows; others are carried over.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The new bundle's folder. [default: a new one in --runs]"
)
@engine_option
@memory_option
@click.option("--promote", "serve_it", is_flag=True, help="Serve the result at once.")
@runs_option
@mlruns_option
@json_option
def update(
    bundle: Path,
    config: Path,
    overrides: tuple[str, ...],
    only_changed: bool,
    out: Path | None,
    engine: str,
    memory: str | None,
    serve_it: bool,
    runs: Path,
    mlruns: Path,
    as_json: bool,
) -> None:
    """Make today's bundle from BUNDLE and the tables of CONFIG, grown since; nothing is fitted.

    Of today are customers with their values, purchases and touchpoints. Customers whose purchases changed
    (today's, late, corrected, taken back) are valued anew from all their rows; of the others only what time
    moves. Models, credit, effects, service figures and the report stay those of the last `tributary run`.
    """
    from experiments.config import load_config

    steps = Steps(quiet=as_json)
    loaded = load_config(config, overrides=overrides)
    from experiments.updating import update_bundle

    found = update_bundle(
        bundle,
        loaded,
        runs=runs,
        mlruns=mlruns,
        out=out,
        only_changed=only_changed,
        step=steps,
        memory=memory,
        engine=engine,
    )
    if serve_it:
        promote_run(found.run_id, found.name, found.bundle, runs, mlruns)
    steps.done()
    if as_json:
        echo_json(found.to_dict())
        return
    click.echo(
        f"{found.customers:,} customers as of {found.as_of} (before: {found.since}): {found.new:,} new, "
        f"{found.changed:,} with other purchases, {found.late:,} of them on earlier days, "
        f"{found.gone:,} gone."
    )
    for note in found.notes:
        click.echo(f"Note: {note}")
    for reason in found.refit:
        click.echo(f"Run again: {reason}.")
    click.echo(f"Bundle  {found.bundle}")
    click.echo(f"Run     {found.run_id}")
