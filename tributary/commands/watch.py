"""`tributary watch`: after a run, what left its limits, to those who should know."""

from __future__ import annotations

from pathlib import Path

import click

from tributary.commands.options import runs_option


@click.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--name", help="Only runs of this experiment.")
@click.option(
    "--deliver",
    metavar="FOLDER|SMTP",
    help="A folder, or smtp://host:port?from=ADDRESS&to=ADDRESS,...; each signal goes there once. "
    "[default: printed here]",
)
@click.option("--again", is_flag=True, help="Tell also what was told before.")
@runs_option
def watch(bundle: Path | None, name: str | None, deliver: str | None, again: bool, runs: Path) -> None:
    """Tell what left its limits in BUNDLE, by default in the newest run; nothing otherwise."""
    from experiments.bundle.reading import load_bundle
    from experiments.delivery import is_mail, read_mailbox
    from experiments.digest import digest_text, newest_bundle, signals_of, tell

    opened = newest_bundle(runs, name) if bundle is None else load_bundle(bundle)
    if deliver is None:
        found = signals_of(opened)
        click.echo(digest_text(opened, found), nl=False) if found else click.echo("Nothing left its limits.")
        return
    target = read_mailbox(deliver) if is_mail(deliver) else Path(deliver)
    told = tell(opened, target, runs=opened.path.parent if bundle is not None else runs, again=again)
    count = "1 signal" if len(told) == 1 else f"{len(told)} signals"
    click.echo(f"Told of {count}." if told else "Nothing new left its limits.")
