"""`tributary hook`: who is told when scores are promoted."""

from __future__ import annotations

from pathlib import Path

import click
import polars as pl

from tributary.commands.options import existing_runs_option, json_option
from tributary.commands.output import echo_json, echo_table


@click.group()
def hook() -> None:
    """Tell other systems of new scores: add, list and remove receivers; look after what failed."""


@hook.command("add")
@click.argument("url")
@click.option(
    "--event",
    "events",
    multiple=True,
    default=("scores.promoted",),
    show_default=True,
    help="scores.promoted, segment.entered, segment.left; repeatable.",
)
@click.option(
    "--segment", "segments", multiple=True, help="Only this named segment; repeatable.  [default: all]"
)
@click.option(
    "--allow-private", is_flag=True, help="The receiver may be on this machine or in a private network."
)
@existing_runs_option
@json_option
def add(
    url: str,
    events: tuple[str, ...],
    segments: tuple[str, ...],
    allow_private: bool,
    runs: Path,
    as_json: bool,
) -> None:
    """Tell URL of events from now on; shows the secret of its signatures, once."""
    from api.hooks.outbox import Outbox

    made = Outbox(runs).add(url, events=events, segments=segments, private=allow_private)
    if as_json:
        echo_json({**made.to_dict(), "secret": made.secret})
        return
    click.echo(made.secret)
    click.echo(f"Shown once. {made.id} is told of {', '.join(made.events)}.", err=True)


@hook.command("list")
@existing_runs_option
@json_option
def list_hooks(runs: Path, as_json: bool) -> None:
    """List the receivers; not their secrets."""
    from api.hooks.outbox import Outbox

    rows = [made.to_dict() for made in Outbox(runs).hooks()]
    if as_json:
        echo_json(rows)
    elif not rows:
        click.echo("No hooks.")
    else:
        echo_table(
            pl.DataFrame(
                [{k: " ".join(v) if isinstance(v, tuple) else v for k, v in r.items()} for r in rows]
            )
        )


@hook.command("remove")
@click.argument("hook_id")
@existing_runs_option
def remove(hook_id: str, runs: Path) -> None:
    """Tell a receiver nothing more."""
    from api.hooks.outbox import Outbox

    Outbox(runs).remove(hook_id)
    click.echo(f"{hook_id} is told nothing more.")


@hook.command("dead")
@existing_runs_option
@json_option
def dead(runs: Path, as_json: bool) -> None:
    """List what was given up after 15 tries, with the last reason."""
    from api.hooks.outbox import Outbox

    rows = [
        {"hook": one.hook.id, "event": one.event, "type": one.type, "tries": one.attempts, "last": one.last}
        for one in Outbox(runs).dead()
    ]
    if as_json:
        echo_json(rows)
    elif not rows:
        click.echo("Nothing was given up.")
    else:
        echo_table(pl.DataFrame(rows))


@hook.command("replay")
@click.option("--hook", "hook_id", help="Only this receiver.  [default: all]")
@existing_runs_option
def replay(hook_id: str | None, runs: Path) -> None:
    """Send again what was given up, under the same event ids."""
    from api.hooks.outbox import Outbox

    click.echo(f"{Outbox(runs).replay(hook_id)} deliveries wait again.")
