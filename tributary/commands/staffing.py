"""`tributary staffing`: agents for customers who hold the line, and for work that can wait."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import polars as pl

from histories.errors import ConfigError, SchemaError
from tributary.commands.options import FILE, json_option
from tributary.commands.output import echo_json, echo_table

_WEEKS: Final = 8


@click.command()
@click.option("--contacts", type=float, help="Contacts that arrive in the interval.")
@click.option("--interval-minutes", default=30.0, show_default=True, help="Length of the interval.")
@click.option(
    "--handling-seconds",
    type=float,
    help="Mean work per contact. [default: 180; with --bundle, that of its cases]",
)
@click.option("--target-share", default=0.8, show_default=True, help="Share to be answered in time.")
@click.option("--target-seconds", default=20.0, show_default=True, help="In time means within this.")
@click.option(
    "--shrinkage",
    default="0.3",
    show_default=True,
    help="Share of paid time away from contacts, or its items: leave=0.1,training=0.04.",
)
@click.option(
    "--combine",
    type=click.Choice(["add", "sequential"]),
    default="add",
    show_default=True,
    help="Whether items are shares of the same time, or each of what the ones before it left.",
)
@click.option("--concurrency", default=1.0, show_default=True, help="Contacts one agent handles at once.")
@click.option("--patience-seconds", type=float, help="Mean patience: Erlang A instead of Erlang C.")
@click.option("--table", type=FILE, help="CSV with a row per interval: contacts, and any option as a column.")
@click.option(
    "--promise-minutes",
    type=float,
    help="Work that can wait, answered within this: --table holds one row per open hour.",
)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="With --promise-minutes: arrivals of its cases by hour of the week, the last eight weeks.",
)
@click.option("--scenario", default=1.0, show_default=True, help="Times the arrivals: 2 is a flood.")
@json_option
def staffing(
    *,
    contacts: float | None,
    table: Path | None,
    promise_minutes: float | None,
    bundle: Path | None,
    scenario: float,
    shrinkage: str,
    combine: str,
    handling_seconds: float | None,
    as_json: bool,
    **choices: Any,
) -> None:
    """Say how many agents are needed.

    For customers who hold the line, per interval: Erlang C, Erlang A with a patience. For posts, mails and
    other work that can wait, over the open hours of a day: give --promise-minutes.
    """
    away = _shrinkage(shrinkage)
    if not 0 < scenario <= 1000:
        raise ConfigError(f"--scenario is {scenario:g}; allowed: above 0, to 1000.")
    if promise_minutes is not None:
        if (bundle is None) == (table is None) or contacts is not None:
            raise ConfigError("--promise-minutes: give --table with the contacts of each hour, or --bundle.")
        _work_that_can_wait(
            table, bundle, promise_minutes, scenario, away, combine, handling_seconds, as_json=as_json
        )
        return
    if bundle is not None:
        raise ConfigError("--bundle: give --promise-minutes too.")
    if (contacts is None) == (table is None):
        raise ConfigError("Give --contacts for one interval, or --table for many.")
    choices["handling_seconds"] = 180.0 if handling_seconds is None else handling_seconds
    choices["shrinkage"] = away
    rows = [{"contacts": contacts}] if table is None else _intervals(table, choices)
    planned = [_planned(row, choices, combine, scenario, keep=table is not None) for row in rows]
    if as_json:
        echo_json(planned[0] if table is None else planned)
    else:
        echo_table(pl.DataFrame(planned))


def _shrinkage(text: str) -> float | dict[str, float]:
    """One share, or shares by item."""
    try:
        if "=" not in text:
            return float(text)
        items = [part.partition("=") for part in text.split(",")]
        return {name.strip(): float(share) for name, _, share in items}
    except ValueError:
        raise ConfigError(
            f'--shrinkage "{text}" is neither a share such as 0.3 nor items such as leave=0.1,training=0.04.'
        ) from None


def _intervals(table: Path, choices: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        frame = pl.read_csv(table, infer_schema_length=None)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigError(
            f"{table}: cannot be read as CSV. Name a table with a column `contacts`."
        ) from error
    if "contacts" not in frame.columns:
        raise SchemaError(f"{table}: no column `contacts`; found {', '.join(frame.columns)}.")
    wrong = [
        name
        for name in ("contacts", *choices)
        if name in frame.columns and not frame[name].dtype.is_numeric()
    ]
    if wrong:
        raise SchemaError(f"{table}: the column `{wrong[0]}` must hold numbers.")
    return frame.to_dicts()


def _planned(
    row: dict[str, Any], choices: dict[str, Any], combine: str, scenario: float, *, keep: bool
) -> dict[str, Any]:
    """One interval's plan, after its own columns where a table has them."""
    from care.deferred import total_shrinkage
    from care.staffing import Demand, plan_staffing

    given = {name: row[name] for name in choices if row.get(name) is not None}
    demand = {**choices, **given}
    demand["shrinkage"] = total_shrinkage(demand["shrinkage"], combine)
    plan = plan_staffing(Demand(contacts=(row["contacts"] or 0.0) * scenario, **demand)).to_dict()
    return row | plan if keep else plan


def _work_that_can_wait(
    table: Path | None,
    bundle: Path | None,
    promise: float,
    scenario: float,
    away: float | dict[str, float],
    combine: Any,
    handling: float | None,
    *,
    as_json: bool,
) -> None:
    from care.deferred import DeferredDemand, plan_deferred

    days, mean = _arrivals(table) if bundle is None else _arrivals_of_cases(bundle)
    seconds = handling or mean or 180.0
    plans = {
        day: plan_deferred(
            DeferredDemand(
                arrivals=[n * scenario for n in arrivals.values()],
                per_hour=3600.0 / seconds,
                promise_minutes=promise,
                shrinkage=away,
                combine=combine,
            )
        )
        for day, arrivals in days.items()
    }
    if as_json:
        told = {day: plan.to_dict() for day, plan in plans.items()}
        echo_json(told["day"] if bundle is None else {"handling_seconds": seconds, "days": told})
        return
    for day, plan in plans.items():
        below = plan.longest_wait_minutes_below
        fewer = "" if below is None else f"; one fewer makes it {below:,.0f}"
        named = "" if bundle is None else f"{day}: "
        click.secho(
            f"{named}{plan.agents} {'agent' if plan.agents == 1 else 'agents'} ({plan.exact:.2f}), "
            f"{plan.scheduled} to be planned; the longest "
            f"wait is {plan.longest_wait_minutes:,.1f} minutes{fewer}.",
            bold=True,
        )
        echo_table(plan.hours.with_columns(pl.Series("hour", list(days[day]))), indent=2)
    click.echo(
        f"{3600 / seconds:.3g} cases an agent finishes an hour. `agents` is the cheapest number hour by "
        "hour; backlog and oldest case are with the same agents all day."
    )


def _arrivals(table: Path | None) -> tuple[dict[str, dict[int, float]], None]:
    assert table is not None
    return {"day": {n: float(row["contacts"] or 0.0) for n, row in enumerate(_intervals(table, {}))}}, None


def _arrivals_of_cases(bundle: Path) -> tuple[dict[str, dict[int, float]], float | None]:
    """Arrivals of each open hour by day of the week, and the mean work on a case in seconds."""
    from care.arrivals import arrivals_by_hour, arrivals_of_open_hours
    from care.settings import Hours
    from experiments.bundle.reading import load_bundle

    loaded = load_bundle(bundle)
    cases = loaded.table("cases").filter("needs_reply")
    if cases.is_empty():
        raise ConfigError(f"{bundle}: there are no cases to count. Run with posts or cases.")
    told = loaded.manifest["configuration"].get("care", {}).get("hours")
    hours = None if told is None else Hours(**told)
    by_hour = arrivals_by_hour(cases["waiting_since"], weeks=_WEEKS)
    mean = cases["handling_seconds"].mean()
    return arrivals_of_open_hours(by_hour, hours), mean if isinstance(mean, float) else None
