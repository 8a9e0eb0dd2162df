"""`tributary whatif`: what answering more customers in time would bring, take and risk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tributary.commands.options import NEW_FILE, bundle_argument, json_option
from tributary.commands.output import echo_json

if TYPE_CHECKING:
    from care.asking import CareFacts
    from care.whatif import Figure, WhatIf


@click.command()
@bundle_argument
@click.option("--promise", help="Name of a promise of [[care.promises]]. [default: the first]")
@click.option("--share", type=float, help="Share answered in time. [default: the highest observed]")
@click.option("--cost-per-hour", type=float, help="Of an agent. [default: the assumption of that name]")
@click.option("--picture", type=NEW_FILE, help="Draw it over the share (SVG).")
@json_option
def whatif(
    bundle: Path,
    promise: str | None,
    share: float | None,
    cost_per_hour: float | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Say what BUNDLE's company would gain if it answered more customers in time.

    Only within what was observed, and only where the effect of being fast is supported; otherwise the reason,
    and the experiment that would settle it.
    """
    from care.asking import course_of, question_of
    from care.whatif import what_if

    facts, currency = facts_of(bundle)
    found = what_if(question_of(facts, share=share, promise=promise, cost_per_hour=cost_per_hour))
    if picture is not None:
        course = course_of(facts, share=share, promise=promise, cost_per_hour=cost_per_hour)
        _draw(course, currency, picture)
    if as_json:
        echo_json(found.to_dict())
        return
    _tell(found, currency)
    if picture is not None:
        click.echo(f"\nDrawn over the share in {picture}.")


def _draw(course: list[WhatIf], currency: str, picture: Path) -> None:
    from care.whatif import course_frame
    from histories.durable import write_whole
    from histories.errors import ConfigError
    from reports.whatif import draw_what_if, what_if_lines

    lines = what_if_lines(course_frame(course), currency)
    if lines is None:
        raise ConfigError("--picture: nothing in money is supported or known, so there is nothing to draw.")
    write_whole(picture, draw_what_if(lines).encode())


def facts_of(bundle: Path) -> tuple[CareFacts, str]:
    """What a bundle holds for questions about care, and its currency."""
    from care.asking import CareFacts
    from experiments.bundle.reading import load_bundle

    loaded = load_bundle(bundle)
    facts = CareFacts.of(
        loaded.manifest,
        care=loaded.table("care"),
        cases=loaded.table("cases"),
        effects=loaded.table("effects"),
    )
    return facts, str(loaded.manifest.get("currency") or "")


def _tell(found: WhatIf, currency: str) -> None:
    click.secho(
        f'"{found.promise}" kept for {found.share:.1%} of the customers instead of {found.share_now:.1%}',
        bold=True,
    )
    staffing = ""
    if found.agents is not None and found.agents_now is not None:
        staffing = f" ({found.agents_now:.2g} to {found.agents:.2g} agents at work)"
    rows: list[tuple[str, str]] = [
        ("cases that become fast", f"{found.cases:,.0f}"),
        ("customers kept", _figure(found.retained)),
        ("margin", _figure(found.margin, currency)),
        ("  if the next become fast", _figure(found.margin_next, currency)),
        ("further contacts", _figure(found.induced_contacts)),
        ("  their cost", _figure(found.induced_cost, currency)),
        ("extra hours", "not known" if found.hours is None else f"{found.hours:,.0f}{staffing}"),
        ("  their cost", _figure(found.cost, currency)),
        ("net", _figure(found.net, currency)),
    ]
    if found.chance is not None:
        rows.append(("chance above 0", f"{found.chance:.0%}"))
    if found.margin_unknown_authors.value:
        rows.append(("beside: unknown authors", _figure(found.margin_unknown_authors, currency)))
    for name, text in rows:
        click.echo(f"  {name:<27}{text.replace(f' ({found.reason})', '')}")
    if found.supported:
        click.echo(f"Rests on {found.basis}.")
    else:
        click.secho(f"Not supported: {found.reason}.", bold=True)
        click.echo(f"What would settle it: {found.settled_by}.")
        if "lottery" in (found.settled_by or ""):
            click.echo("Plan it with: tributary lottery BUNDLE")
    for note in (note for note in found.notes if not found.reason or found.reason not in note):
        click.echo(f"Note: {note.replace('margin_next', 'that of the next')}.")


def _figure(figure: Figure, unit: str = "") -> str:
    if figure.value is None:
        return f"not supported ({figure.reason})"
    told = _number(figure.value)
    if figure.low is None or figure.high is None:
        return f"{told} {unit}".strip()
    return f"{told} [{_number(figure.low)}, {_number(figure.high)}] {unit}".strip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
