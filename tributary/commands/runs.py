"""Commands of data scientists: check, run, list, compare, promote, roll back, report again."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import polars as pl

from tributary.commands.options import (
    NEW_FILE,
    bundle_argument,
    config_argument,
    engine_option,
    json_option,
    memory_option,
    mlruns_option,
    runs_option,
    set_option,
)
from tributary.commands.output import Steps, echo_json, echo_table

if TYPE_CHECKING:
    from experiments.config import RunConfig
    from experiments.run import RunResult

NOTES_SHOWN = 5


@click.command()
@config_argument
@set_option
@json_option
def check(config: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check CONFIG and its tables only: rows by rule, what was understood, what looks wrong."""
    from experiments.config import load_config

    loaded = load_config(config, overrides=overrides)
    from experiments.checks import check_run, foreseen
    from experiments.inputs import read_inputs, rows_by_rule
    from experiments.understood import understand

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
@engine_option
@memory_option
@click.option("--brand", "brands", multiple=True, help="Of this brand (client) alone; again for another.")
@click.option("--each-brand", is_flag=True, help="One bundle and report for each brand.")
@click.option("--promote", "serve_it", is_flag=True, help="Serve the result at once.")
@click.option("--follow", "following", is_flag=True, help="Go on with what is added to the files.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="With --follow: time between two looks.",
)
@runs_option
@mlruns_option
@json_option
def run(
    config: Path,
    overrides: tuple[str, ...],
    out: Path | None,
    engine: str,
    memory: str | None,
    brands: tuple[str, ...],
    each_brand: bool,
    serve_it: bool,
    following: bool,
    every: float,
    runs: Path,
    mlruns: Path,
    as_json: bool,
) -> None:
    """The whole story of CONFIG: tables, histories, values, credits, effects, report, bundle.

    With --follow it stays and looks at the files again and again: what is new is taken in as by `tributary
    update`, and fitted anew when that says so. Stop it with Ctrl-C; started again it goes on.

    With --brand a bundle and report of that client's cases, posts, costs and customers alone.
    """
    from experiments.config import load_config

    steps = Steps(quiet=as_json)
    loaded = load_config(config, overrides=overrides)
    if following:
        from tributary.commands.follow import follow_files

        if out is not None:
            raise click.UsageError("--follow makes a new bundle in --runs each time; leave --out out.")
        follow_files(
            loaded,
            runs=runs,
            mlruns=mlruns,
            memory=memory,
            engine=engine,
            every=every,
            serve_it=serve_it,
            steps=steps,
            as_json=as_json,
        )
        return
    if brands or each_brand:
        if out is not None or serve_it:
            raise click.UsageError("--brand makes a new bundle in --runs; leave --out and --promote out.")
        results = _run_brands(loaded, brands, runs, mlruns, memory, engine, steps, each=each_brand)
        if as_json:
            echo_json([result.to_dict() for result in results])
        return
    from experiments.run import run_experiment
    from histories.errors import ModelError

    result = run_experiment(
        loaded, runs=runs, mlruns=mlruns, out=out, step=steps, memory=memory, engine=engine
    )
    if serve_it and "customer values" in result.left_out and loaded.value.models:
        raise ModelError(
            f"{result.bundle}: not promoted, since it holds no customer values: "
            f"{result.left_out['customer values']} Promote it by hand if it is to be served all the same."
        )
    if serve_it:
        promote_run(result.run_id, result.name, result.bundle, runs, mlruns)
    steps.done()
    if as_json:
        echo_json(result.to_dict())
        return
    print_result(result)


def _run_brands(
    config: RunConfig,
    brands: tuple[str, ...],
    runs: Path,
    mlruns: Path,
    memory: str | None,
    engine: str,
    steps: Steps,
    *,
    each: bool,
) -> list[RunResult]:
    """A run for each brand; one that is refused costs the others nothing, and is said at the end."""
    from experiments.brands import brands_of, for_brand
    from experiments.inputs import read_inputs
    from experiments.run import run_experiment
    from histories.errors import ConfigError, DataError, TributaryError

    names = brands_of(read_inputs(config)) if each else list(brands)
    if not names:
        raise ConfigError(f"{config.name}: no case and no post names a brand; name their column `brand`.")
    results, refused = [], []
    for name in names:
        steps(f"Brand {name}")
        try:
            result = run_experiment(
                for_brand(config, name), runs=runs, mlruns=mlruns, step=steps, memory=memory, engine=engine
            )
        except TributaryError as error:
            if len(names) == 1:
                raise
            refused.append(f"{name}: {error}")
            continue
        steps.done()
        results.append(result)
        if not steps.quiet:
            click.secho(f"{name}: {result.headline}", bold=True)
            click.echo(f"Report  {result.bundle / 'report.html'}")
    if refused:
        raise DataError("\n".join(refused))
    return results


def print_result(result: Any) -> None:
    """What a run found, in a dozen lines."""
    click.secho(result.headline, bold=True)
    echo_table(result.summary, indent=2)
    for part, reason in result.left_out.items():
        click.echo(f"  not made: {part.replace('_', ' ')}: {reason}")
    for note in result.notes[:NOTES_SHOWN]:
        click.echo(f"  note: {note}")
    if len(result.notes) > NOTES_SHOWN:
        click.echo(f"  note: {len(result.notes) - NOTES_SHOWN} more in manifest.json")
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
@click.option("--all", "everything", is_flag=True, help="Every figure, not only those one compares by.")
@mlruns_option
@json_option
def compare(run: tuple[str, ...], everything: bool, mlruns: Path, as_json: bool) -> None:
    """Show what differs between runs: data, configuration, figures, scores that moved most."""
    from experiments.comparing import compare_runs
    from experiments.registry import find_run
    from histories.errors import ConfigError

    if len(run) < 2:
        raise ConfigError("compare needs at least two runs. List them with `tributary runs`.")
    frame = compare_runs([find_run(mlruns, wanted) for wanted in run], everything=everything)
    if as_json:
        echo_json(frame)
    elif frame.is_empty():
        click.echo("The runs do not differ.")
    else:
        echo_table(frame)


@click.command()
@click.argument("run")
@click.option("--force", is_flag=True, help="Also where its last window speaks against it.")
@runs_option
@mlruns_option
def promote(run: str, force: bool, runs: Path, mlruns: Path) -> None:
    """Serve RUN (an id's beginning, or a bundle's folder) from now on.

    A run whose last window refutes it, or that is clearly worse than the champion on the same window, becomes
    the challenger instead.
    """
    from experiments.registry import find_run
    from histories.errors import ConfigError

    found = find_run(mlruns, run)
    if found.bundle is None:
        raise ConfigError(f"Run {found.run_id} left no bundle; it is {found.status}. Promote a finished one.")
    promote_run(found.run_id, found.name, found.bundle, runs, mlruns, force=force)
    click.echo(f"Serving {found.bundle}")


def promote_run(
    run_id: str, name: str, bundle: Path, runs: Path, mlruns: Path, *, force: bool = False
) -> None:
    """Serve a run's bundle, unless its last window speaks against it."""
    from experiments.bundle.reading import load_bundle
    from experiments.champion import champion, promote_bundle, reason_against
    from experiments.registering import set_challenger, set_champion
    from histories.errors import ModelError

    served = champion(runs)
    against = reason_against(load_bundle(bundle), None if served is None else load_bundle(served))
    if against is not None and not force:
        set_challenger(name, run_id, mlruns=mlruns)
        raise ModelError(
            f"{bundle}: not promoted, {against}. It is kept as {name}@challenger; --force serves it all "
            "the same."
        )
    promote_bundle(runs, bundle, getpass.getuser())
    set_champion(name, run_id, mlruns=mlruns)


@click.command()
@config_argument
@click.option(
    "--over", multiple=True, metavar="KEY=[A, B]", help="A key and its values; several make a grid."
)
@click.option("--together", is_flag=True, help="Go through the lists side by side, no grid.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Runs made at once.")
@set_option
@runs_option
@mlruns_option
@json_option
def sweep(
    config: Path,
    over: tuple[str, ...],
    together: bool,
    jobs: int,
    overrides: tuple[str, ...],
    runs: Path,
    mlruns: Path,
    as_json: bool,
) -> None:
    """Run CONFIG with every combination of some keys' values, as nested runs.

    What is finished already is not made again, what failed is; the exit status is 1 where every run failed.
    For example: tributary sweep c.toml --over 'value.horizon_months=[12, 24]' --over 'seed=[1, 2]'
    """
    from experiments.sweeping import grid
    from experiments.sweeping import sweep as make

    steps = Steps(quiet=as_json)
    table = make(
        config,
        grid(over, together=together),
        overrides=overrides,
        runs=runs,
        mlruns=mlruns,
        jobs=jobs,
        step=steps,
    )
    steps.done()
    if as_json:
        echo_json(table)
    else:
        echo_table(table)
    failed = table.filter(pl.col("status") == "failed").height
    if failed:
        click.echo(f"{failed} of {table.height} runs failed; the column reason says why.", err=True)
    if failed == table.height:
        click.get_current_context().exit(1)


@click.command()
@bundle_argument
@config_argument
@set_option
@click.option(
    "--out",
    type=NEW_FILE,
    default=Path("scores.parquet"),
    show_default=True,
    help="Where the scores go; .parquet or .csv.",
)
@json_option
def score(bundle: Path, config: Path, overrides: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Score the tables of CONFIG with the fitted models of BUNDLE, and say whether to fit again."""
    from experiments.config import load_config

    loaded = load_config(config, overrides=overrides)
    from experiments.brands import for_brand_of
    from experiments.bundle.reading import load_bundle
    from experiments.inputs import read_inputs
    from experiments.parts.histories import build_histories
    from experiments.scoring import check_scorable, score_bundle
    from histories.durable import appearing_whole
    from histories.errors import ConfigError

    if out.suffix not in (".csv", ".parquet"):
        raise ConfigError(f'--out: "{out.name}" ends neither in .csv nor in .parquet; choose one of them')
    fitted = load_bundle(bundle)
    loaded = for_brand_of(loaded, fitted.manifest["configuration"])
    inputs = read_inputs(loaded)
    check_scorable(fitted, loaded, inputs.observation_end)
    found = score_bundle(fitted, build_histories(loaded, inputs))
    with appearing_whole(out) as fresh:
        if out.suffix == ".csv":
            found.customers.write_csv(fresh)
        else:
            found.customers.write_parquet(fresh)
    if as_json:
        echo_json(found.to_dict())
        return
    number = found.customers.height
    click.echo(f"{number:,} {'customer' if number == 1 else 'customers'} scored: {out}")
    for note in found.notes:
        click.echo(f"Note: {note}")
    echo_table(found.drift)
    since = found.decay
    if since is not None:
        click.echo(
            f"Since the fit ({since['days']:.0f} days): {since['actual']:,.0f} purchases of its customers, "
            f"{since['expected']:,.0f} [{since['low']:,.0f}, {since['high']:,.0f}] expected."
        )
    for reason in found.refit:
        click.echo(f"Fit again: {reason}.")
    if not found.refit:
        click.echo("Nothing asks for a new fit.")


@click.command()
@runs_option
@mlruns_option
def rollback(runs: Path, mlruns: Path) -> None:
    """Serve again what was served before."""
    from experiments.champion import rollback_bundle
    from experiments.registering import set_champion
    from experiments.registry import find_run

    bundle = rollback_bundle(runs, getpass.getuser())
    found = find_run(mlruns, str(bundle))
    set_champion(found.name, found.run_id, mlruns=mlruns)
    click.echo(f"Serving {bundle}")


@click.command()
@bundle_argument
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
