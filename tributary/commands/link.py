"""`tributary link`: which profiles of platforms are which customers, as a table of identities."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tributary.commands.options import NEW_FILE, json_option
from tributary.commands.output import echo_json

if TYPE_CHECKING:
    import polars as pl


@click.command()
@click.argument("people", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.argument("profiles", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--out",
    type=NEW_FILE,
    required=True,
    help="The table of identities to write (.csv or .parquet).",
)
@click.option(
    "--probability", type=click.FloatRange(0.5, 1.0), default=0.95, show_default=True, help="From which on."
)
@json_option
def link(people: Path, profiles: Path, out: Path, probability: float, as_json: bool) -> None:
    """Link PROFILES (platform, handle, name, city, ...) to PEOPLE (customer_id, name, city, ...).

    Columns of the same name are compared, two or more; nothing is learned from labels. Links below 1 count in
    figures and name nobody: no look-up and no list of cases shows who is behind a handle by a likeness.
    """
    from histories.durable import write_whole
    from histories.linking import link_profiles

    found = link_profiles(_read(people), _read(profiles), min_probability=probability)
    buffer = io.BytesIO()
    if out.suffix == ".csv":
        found.links.write_csv(buffer)
    else:
        found.links.write_parquet(buffer)
    write_whole(out, buffer.getvalue())
    expected = float(found.links["probability"].sum())
    told = {
        "profiles": found.profiles,
        "linked": found.links.height,
        "ambiguous": found.ambiguous,
        "expected_right": round(expected, 1),
        "columns": list(found.columns),
        "file": str(out),
    }
    if as_json:
        echo_json(told)
        return
    share = found.links.height / found.profiles if found.profiles else 0.0
    click.echo(
        f"{found.links.height:,} of {found.profiles:,} profiles ({share:.0%}) are a customer with a "
        f"probability of {probability:g} or more, by {', '.join(found.columns)}; "
        f"{expected:,.1f} of them should be right."
    )
    if found.ambiguous:
        click.echo(f"{found.ambiguous:,} more may be either of several customers and are linked to none.")
    click.echo(f'Written to {out}. Next: [inputs] identities = "{out.name}"')


def _read(path: Path) -> pl.DataFrame:
    import polars as pl

    from histories.errors import DataError

    try:
        return (
            pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema_length=0)
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path.name} cannot be read: {str(error).splitlines()[0]}") from error
