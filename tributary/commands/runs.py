"""Commands of data scientists: check, run, list, compare, promote, roll back, report again."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import click
import polars as pl

from tributary.commands.output import Steps, echo_json, echo_table, json_option

__all__ = ["check", "compare", "promote", "report", "rollback", "run", "runs"]

config_argument = click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the configuration."
)
runs_option = click.option(
    "--runs",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Where bundles are kept.",
)
mlruns_option = click.option(
    "--mlruns",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("mlruns"),
    show_default=True,
    help="Where MLflow keeps the runs.",
)


@click.command()
@config_argument
@set_option
@json_option
def check(config: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check CONFIG and its tables only: rows by rule, what was understood, what looks wrong."""
    from experiments.checks import check_run, foreseen
    from experiments.config import load_config
    from experiments.inputs import read_inputs, rows_by_rule
    from experiments.understood import understand

    loaded = load_config(config, overrides=overrides)
    inputs = read_inputs(loaded)
    rows, understood = rows_by_rule(inputs), understand(inputs, loaded)
    notes = [*inputs.notes, *foreseen(loaded, inputs)]
    if as_json:
        check_run(loaded, inputs)
        echo_json({"tables": rows, "understood": understood.to_dict(), "notes": notes})
        return
    if not rows.is_empty():
        echo_table(rows)
        click.echo()
    echo_table(understood.to_frame())
    for note in notes:
        click.echo(f"Note: {note}")
    check_run(loaded, inputs)


@click.command()
@config_argument
@set_option
@click.option(
    "--out", type=click.Path(path_type=Path), help="The bundle's folder. [default: a new one in --runs]"
)
@click.option(
    "--engine",
    type=click.Choice(["local", "spark"]),
    default="local",
    show_default=True,
    help="Where it is computed.",
)
@click.option("--promote", "serve_it", is_flag=True, help="Serve the result at once.")
@runs_option
@mlruns_option
@json_option
def run(
    config: Path,
    overrides: tuple[str, ...],
    out: Path | None,
    engine: str,
    serve_it: bool,
    folder: Path,
    mlruns: Path,
    as_json: bool,
) -> None:
    """The whole story of CONFIG: tables, histories, values, credits, effects, report, bundle."""
    from experiments.config import load_config
    from experiments.run import run_experiment
    from histories.errors import ConfigError, ModelError

    if engine == "spark":
        raise ConfigError(
            '--engine spark: this build computes on one machine only. Leave it out, or say "local".'
        )
    steps = Steps(quiet=as_json)
    loaded = load_config(config, overrides=overrides)
    result = run_experiment(loaded, runs=folder, mlruns=mlruns, out=out, step=steps)
    if serve_it and "customer values" in result.left_out and loaded.value.models:
        raise ModelError(
            f"{result.bundle}: not promoted, since it holds no customer values: "
            f"{result.left_out['customer values']} Promote it by hand if it is to be served all the same."
        )
    if serve_it:
        _promote(result.run_id, result.name, result.bundle, folder, mlruns)
    steps.done()
    if as_json:
        echo_json(result.to_dict())
        return
    print_result(result)


def print_result(result: Any) -> None:
    """What a run found, in a dozen lines."""
    click.secho(result.headline, bold=True)
    echo_table(result.summary, indent=2)
    for part, reason in result.left_out.items():
        click.echo(f"  not made: {part.replace('_', ' ')}: {reason}")
    click.echo(f"Bundle  {result.bundle}")
    click.echo(f"Report  {result.bundle / 'report.html'}")
    click.echo(f"Run     {result.run_id}")


@click.command()
@click.option("--name", help="Only runs of this experiment.")
@mlruns_option
@json_option
def runs(name: str | None, mlruns: Path, as_json: bool) -> None:
    """List the runs, newest first; the one being served is marked."""
    from experiments.registry import list_runs, runs_frame

    frame = runs_frame(list_runs(mlruns, name=name))
    if as_json:
        echo_json(frame)
    elif frame.is_empty():
        click.echo("No runs.")
    else:
        echo_table(frame.drop("failure", "bundle"))
        for row in frame.filter(pl.col("failure").is_not_null()).iter_rows(named=True):
            click.echo(f"{row['run']} failed: {row['failure']}")


@click.command()
@click.argument("run", nargs=-1, required=True)
@mlruns_option
@json_option
def compare(run: tuple[str, ...], mlruns: Path, as_json: bool) -> None:
    """Show what differs between runs: parameters and figures."""
    from experiments.registry import compare_runs, find_run
    from histories.errors import ConfigError

    if len(run) < 2:
        raise ConfigError("compare needs at least two runs. List them with `tributary runs`.")
    frame = compare_runs([find_run(mlruns, wanted) for wanted in run])
    if as_json:
        echo_json(frame)
    elif frame.is_empty():
        click.echo("The runs do not differ.")
    else:
        echo_table(frame)


@click.command()
@click.argument("run")
@runs_option
@mlruns_option
def promote(run: str, folder: Path, mlruns: Path) -> None:
    """Serve RUN (an id's beginning, or a bundle's folder) from now on."""
    from experiments.registry import find_run
    from histories.errors import ConfigError

    found = find_run(mlruns, run)
    if found.bundle is None:
        raise ConfigError(f"Run {found.run_id} left no bundle; it is {found.status}. Promote a finished one.")
    _promote(found.run_id, found.name, found.bundle, folder, mlruns)
    click.echo(f"Serving {found.bundle}")


def _promote(run_id: str, name: str, bundle: Path, folder: Path, mlruns: Path) -> None:
    from experiments.champion import promote_bundle
    from experiments.tracking import set_champion

    promote_bundle(folder, bundle, getpass.getuser())
    set_champion(name, run_id, mlruns=mlruns)


@click.command()
@runs_option
@mlruns_option
def rollback(folder: Path, mlruns: Path) -> None:
    """Serve again what was served before."""
    from experiments.champion import rollback_bundle
    from experiments.registry import find_run
    from experiments.tracking import set_champion

    bundle = rollback_bundle(folder, getpass.getuser())
    found = find_run(mlruns, str(bundle))
    set_champion(found.name, found.run_id, mlruns=mlruns)
    click.echo(f"Serving {bundle}")


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--format", "formats", default="html,json", show_default=True, help="html, pdf, json: one or several."
)
@click.option(
    "--deliver",
    default=".",
    show_default=True,
    metavar="FOLDER|SMTP",
    help="A folder, or smtp://host:port?from=ADDRESS&to=ADDRESS,... for the PDF by mail.",
)
@click.option(
    "--previous",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The bundle of the report before, for what changed.",
)
@click.option("--again", is_flag=True, help="Mail it also to those who have had it.")
def report(bundle: Path, formats: str, deliver: str, previous: Path | None, again: bool) -> None:
    """Draw the report of BUNDLE again, into a folder or by mail."""
    from experiments.bundle.reading import load_bundle
    from experiments.delivery import deliver_by_mail, is_mail, read_mailbox
    from experiments.report import redraw_report, report_context
    from reports.pdf import render_pdf

    if not is_mail(deliver):
        folder = Path(deliver)
        for path in redraw_report(
            load_bundle(bundle), formats=formats.split(","), folder=folder, previous=previous
        ):
            click.echo(str(path))
        return
    mailbox = read_mailbox(deliver)
    opened = load_bundle(bundle)
    context = report_context(opened, previous=previous)
    to = deliver_by_mail(context, render_pdf(context), mailbox, runs=opened.path.parent, again=again)
    click.echo(
        f"Mailed to {', '.join(to)}" if to else "They have had this report; --again mails it once more."
    )
