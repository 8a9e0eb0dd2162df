"""`tributary audience`: a list of customers for an advertising platform, with a control group held out."""

from __future__ import annotations

from pathlib import Path

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
    out: Path,
    as_json: bool,
) -> None:
    """Write hashed addresses of customers of BUNDLE, from the identities of CONFIG, and who was held out.

    The list goes to the platform; the assignments stay, and tell a later run what the campaign brought.
    """
    import datetime as dt
    import os

    from experiments.audience import build_audience
    from experiments.bundle.reading import load_bundle
    from experiments.config import load_config
    from experiments.inputs import read_inputs
    from histories.durable import make_folder, write_whole
    from histories.errors import ConfigError

    loaded = load_config(config)
    if os.environ.get("TRIBUTARY_ID_KEY"):
        raise ConfigError(
            "with TRIBUTARY_ID_KEY the bundle's ids are pseudonyms, so that nobody would be found by the "
            "assignments. Run without it, or export the ids and choose where they are known."
        )
    inputs = read_inputs(loaded)
    if "identities" not in inputs.tables:
        raise ConfigError("there is no table of addresses: give [inputs] identities.")
    made = build_audience(
        load_bundle(bundle),
        inputs.tables["identities"].valid,
        rule=rule,
        purpose=purpose,
        platform=platform,
        name=name,
        control=control,
        now=dt.datetime.now(dt.UTC),
    )
    make_folder(out)
    files = {out / f"{platform}.csv": made.addresses, out / f"{platform}-assignments.csv": made.assignments}
    for path, frame in files.items():
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
