"""`tributary audience`: a list of customers for an advertising platform, with a control group held out."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from tributary.commands.options import NEW_FOLDER, bundle_argument, json_option
from tributary.commands.output import echo_json


@click.command()
@bundle_argument
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--filter", "rule", required=True, help='Who, such as: segment("win back")')
@click.option("--purpose", required=True, help='What they consented to, such as "marketing".')
@click.option("--platform", required=True, help="google, linkedin, meta, microsoft or tiktok.")
@click.option("--name", required=True, help="Of the campaign, and of its control group.")
@click.option("--control", type=float, default=0.1, show_default=True, help="Share held out.")
@click.option(
    "--assigned-at",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]),
    help="From when on the campaign can work. [default: now]",
)
@click.option("--out", type=NEW_FOLDER, required=True, help="A folder.")
@json_option
def audience(
    bundle: Path,
    config: Path,
    rule: str,
    purpose: str,
    platform: str,
    name: str,
    control: float,
    assigned_at: dt.datetime | None,
    out: Path,
    as_json: bool,
) -> None:
    """Write hashed addresses of customers of BUNDLE, from the identities of CONFIG, and who was held out.

    The list goes to the platform; the assignments stay, and tell a later run what the campaign brought.
    """
    from dataclasses import replace

    from experiments.audience import build_audience, effect_entry
    from experiments.bundle.reading import load_bundle
    from experiments.config import load_config
    from experiments.inputs import ID_KEY, read_inputs
    from histories.durable import make_folder, write_whole
    from histories.errors import ConfigError

    loaded = load_config(config)
    if "identities" not in loaded.inputs:
        raise ConfigError("there is no table of addresses: give [inputs] identities.")
    only = {name: source for name, source in loaded.inputs.items() if name == "identities"}
    inputs = read_inputs(replace(loaded, inputs=only, brand=None), pseudonymous=False)
    made = build_audience(
        load_bundle(bundle),
        inputs.tables["identities"].valid,
        rule=rule,
        purpose=purpose,
        platform=platform,
        name=name,
        control=control,
        now=_moment(assigned_at, loaded.timezone),
        id_key=os.environ.get(ID_KEY),
    )
    make_folder(out)
    files = {out / f"{platform}.csv": made.addresses, out / f"{platform}-assignments.csv": made.assignments}
    for path, frame in reversed(files.items()):  # no list without a record of who was held out from it
        write_whole(path, frame.write_csv().encode())
    if as_json:
        echo_json({"files": [str(path) for path in files], **made.counts})
        return
    told = {name: f"{count:,}" for name, count in made.counts.items()}
    click.echo(
        "{kept} customers are meant: {without_consent} without consent to {purpose}, {unreachable} without "
        "an address, {held_out} held out, {listed} listed.".format(purpose=purpose, **told)
    )
    for path, frame in files.items():
        click.echo(f"{frame.height:,} rows in {path}")
    if made.counts["held_out"]:
        entry = effect_entry(path=str(list(files)[1].resolve()), name=name, control=control)
        click.echo(f"What it brings is read, once it is over, by\n{entry}")


def _moment(assigned_at: dt.datetime | None, timezone: str) -> dt.datetime:
    """The given time in the company's zone, or now."""
    if assigned_at is None:
        return dt.datetime.now(dt.UTC)
    return assigned_at.replace(tzinfo=ZoneInfo(timezone))
