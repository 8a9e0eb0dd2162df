"""`tributary export`: the scores of a bundle as one file, without a service."""

from __future__ import annotations

from pathlib import Path

import click

from tributary.commands.options import NEW_FILE, bundle_argument, json_option
from tributary.commands.output import echo_json


@click.command()
@bundle_argument
@click.option(
    "--out",
    type=NEW_FILE,
    required=True,
    help="The file to make; its ending names the format: .parquet, .arrow, .csv or .ndjson.",
)
@click.option("--filter", "text", help='Who, such as: and(gt(churn_probability,.7),eq(region,"north"))')
@click.option("--purpose", help='Only who consents to it, such as "marketing".')
@click.option("--fields", help="Columns, with commas.  [default: all]")
@json_option
def export(
    bundle: Path, out: Path, text: str | None, purpose: str | None, fields: str | None, as_json: bool
) -> None:
    """Write the customers of BUNDLE, or those whom a filter keeps, to one file."""
    from api.export import FORMATS, write_export
    from api.served import Served
    from experiments.bundle.reading import read_bundle
    from experiments.filters import Combination, bind_filter, parse_filter
    from experiments.segments import consents_to
    from experiments.tombstones import load_tombstones
    from histories.durable import appearing_whole
    from histories.errors import ConfigError, nearest

    form = out.suffix.removeprefix(".")
    if form not in FORMATS:
        raise ConfigError(f'--out: the ending "{form}" is no format; {nearest(form, FORMATS)}')
    tombstones = load_tombstones(bundle.resolve().parent)
    served = read_bundle(bundle, lambda found: Served.open(found, tombstones=tombstones, id_key=None))
    known = served.store.filterable
    names = None if fields is None else [name.strip() for name in fields.split(",") if name.strip()]
    wrong = [name for name in names or () if name not in known and name != "customer_id"]
    if wrong:
        raise ConfigError(f'--fields: there is no column "{wrong[0]}"; {nearest(wrong[0], known)}')
    chosen = None if names is None else [name for name in dict.fromkeys(names) if name != "customer_id"]
    types = served.store.types
    parts = [] if text is None else [bind_filter(parse_filter(text), types, served.segments)]
    parts += [] if purpose is None else [consents_to(purpose, types)]
    bound = Combination(operator="and", parts=tuple(parts)) if parts else None
    with appearing_whole(out) as partial:
        rows = write_export(served, partial, form=form, fields=chosen, bound=bound)
    if as_json:
        echo_json({"file": str(out), "customers": rows, "model_version": served.context["model_version"]})
    else:
        click.echo(f"{rows:,} customers in {out}")
