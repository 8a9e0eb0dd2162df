"""`tributary lottery`: plan an experiment of priority by chance, and list who was in which arm."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
import polars as pl

from tributary.commands.options import NEW_FILE, bundle_argument, json_option
from tributary.commands.output import echo_json, echo_table

if TYPE_CHECKING:
    from experiments.lottery import LotteryPlan

KEY_VARIABLE = "TRIBUTARY_LOTTERY_KEY"


@click.command()
@bundle_argument
@click.option("--share", type=float, default=0.2, show_default=True, help="Of the cases that go first.")
@click.option("--outcome", default="spend", show_default=True, help="What is measured.")
@click.option("--promise", help="Whose limit is in time. [default: the first]")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day; with --assignments.")
@click.option(
    "--assignments",
    type=NEW_FILE,
    help=f"Write who was in which arm (CSV); the key is in {KEY_VARIABLE}.",
)
@click.option("--name", default="priority by lottery", show_default=True, help="Of the experiment.")
@json_option
def lottery(
    bundle: Path,
    share: float,
    outcome: str,
    promise: str | None,
    since: dt.datetime | None,
    assignments: Path | None,
    name: str,
    as_json: bool,
) -> None:
    """Say what answering some of BUNDLE's cases first, drawn by lot, would find, and by when.

    With --assignments and --since: after it has run, the table that a randomised design reads.
    """
    from experiments.lottery import effect_entry, lottery_assignments, plan_lottery
    from histories.durable import write_whole
    from histories.errors import ConfigError
    from tributary.commands.whatif import facts_of

    facts, currency = facts_of(bundle)
    if assignments is not None:
        key = os.environ.get(KEY_VARIABLE, "")
        if since is None or not key:
            raise ConfigError(f"--assignments needs --since DAY, and the desk's key in {KEY_VARIABLE}.")
        rows = lottery_assignments(facts.cases, name=name, key=key, share=share, since=since.date())
        write_whole(assignments, rows.write_csv().encode())
        counts = dict(rows["arm"].value_counts().iter_rows())
        told = ", ".join(f"{count:,} {arm}" for arm, count in sorted(counts.items()))
        click.echo(f"{rows.height:,} customers ({told}) in {assignments}. It is read by")
        entry = effect_entry(
            facts, path=str(assignments), name=name, share=share, outcome=outcome, promise=promise
        )
        click.echo(entry)
        return
    plan = plan_lottery(facts, share=share, outcome=outcome, promise=promise)
    if as_json:
        echo_json(plan.to_dict())
        return
    _tell(plan, currency)


def _tell(plan: LotteryPlan, currency: str) -> None:
    cases = ", ".join(f"{n:,.0f} {channel}" for channel, n in plan.weekly.iter_rows())
    click.secho(f'A lottery that answers {plan.share:.0%} of the cases first ("{plan.promise}")', bold=True)
    click.echo(f"Cases a week of known customers: {cases}.")
    unit = f" ({currency})" if plan.outcome in ("spend", "margin") and currency else ""
    shown = plan.by_weeks.with_columns(pl.col("difference", "effect").round(2))
    echo_table(
        shown.rename(
            {"difference": f"difference of the arms{unit}", "effect": f"effect of an answer in time{unit}"}
        )
    )
    click.echo(
        f"What is found with a chance of 80 % (two-sided 5 %); {plan.outcome} varies by {plan.spread:,.2f} "
        "between customers."
    )
    click.echo(
        f"It slows the others: {plan.in_time_now:.0%} are in time today; with as many answers in time, "
        f"{plan.in_time_priority:.0%} of those drawn and {plan.in_time_usual:.0%} of the others would be. So "
        "hold both arms against the weeks before (an interrupted series), and not only against each other."
    )
    click.echo(
        f'The desk\'s rule: "priority" where int(HMAC-SHA-256(key, case id)[:8], 16) / 2^32 < {plan.share:g}.'
    )
