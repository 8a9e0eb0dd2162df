"""`tributary serve`, `key` and `forget`: the service and what belongs to it."""

from __future__ import annotations

import datetime as dt
import getpass
from pathlib import Path
from typing import Any

import click
import polars as pl

from tributary.commands.options import FILE, FOLDER, json_option, mlruns_option, runs_option
from tributary.commands.output import echo_json, echo_table

keys_option = click.option(
    "--keys", type=FILE, default=Path("keys.json"), show_default=True, help="The keys' file."
)


@click.command()
@runs_option
@click.option("--bundle", type=FOLDER, help="Serve this bundle instead of following runs/champion.")
@click.option("--keys", type=FILE, help="File of API keys; without it only this machine is served.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port to listen at."
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes.")
@click.option("--rate-limit", type=click.IntRange(1), help="Requests per minute and key, over all workers.")
@click.option(
    "--limits",
    envvar="TRIBUTARY_LIMITS",
    help="A Redis server (redis://HOST:6379/0) that counts requests over several machines.",
)
@click.option(
    "--identity-key",
    type=FILE,
    help="File with the key of handles' digests.  [default: TRIBUTARY_IDENTITY_KEY]",
)
@click.option(
    "--access-log/--no-access-log", default=True, show_default=True, help="One JSON line per request."
)
@click.option(
    "--public-url", help="Where clients reach the service; used on /docs.  [default: host and port]"
)
def serve(
    runs: Path,
    bundle: Path | None,
    keys: Path | None,
    host: str,
    port: int,
    workers: int,
    rate_limit: int | None,
    limits: str | None,
    identity_key: Path | None,
    access_log: bool,
    public_url: str | None,
) -> None:
    """Serve scores over HTTP; follows runs/champion without --bundle."""
    from api.keys import load_keys
    from api.limits import RedisLimiter
    from api.server import run_server
    from api.settings import Settings
    from experiments.bundle.reading import load_bundle

    settings = Settings(
        runs=runs if bundle is None else None,
        bundle=bundle,
        keys=keys,
        host=host,
        port=port,
        workers=workers,
        rate_limit=rate_limit,
        limits=limits,
        identity_key_file=identity_key,
        access_log=access_log,
        public_url=public_url,
    )
    if bundle is not None:
        load_bundle(bundle)  # a bundle named by hand is refused at once, not waited for
    if limits is not None:
        RedisLimiter(limits, notice=lambda *_: None)  # neither is a wrong address
    if keys is not None:
        load_keys(keys)
    else:
        click.echo("No --keys: only this machine is served, without keys.", err=True)
    click.echo(
        f"Serving {bundle or runs / 'champion'} at http://{host}:{port}: look at /explore, read /docs.",
        err=True,
    )
    run_server(settings)


@click.group()
def key() -> None:
    """Make, replace, end and list API keys; running services notice within a second."""


@key.command("create")
@keys_option
@click.option(
    "--scope", "scopes", multiple=True, required=True, help="read, batch, write, erase or admin; repeatable."
)
@click.option("--name", default="", help="Who uses it; appears in the audit trail.")
@click.option("--rate-limit", type=click.IntRange(1), help="Requests per minute.")
@click.option("--days", type=click.IntRange(1), help="Days until it expires.  [default: never]")
@json_option
def create(
    keys: Path, scopes: tuple[str, ...], name: str, rate_limit: int | None, days: int | None, as_json: bool
) -> None:
    """Make a key; it is shown once and stored as a hash."""
    from api.keys import create_key

    expires_at = dt.datetime.now(dt.UTC) + dt.timedelta(days=days) if days else None
    made, entry = create_key(keys, scopes=scopes, name=name, rate_limit=rate_limit, expires_at=expires_at)
    _show_key(made, entry.to_dict(), as_json)


@key.command("rotate")
@keys_option
@click.argument("key_id")
@click.option(
    "--overlap-hours", default=0.0, show_default=True, type=click.FloatRange(0), help="How long both work."
)
@json_option
def rotate(keys: Path, key_id: str, overlap_hours: float, as_json: bool) -> None:
    """Replace a key by a new one with the same scopes."""
    from api.keys import rotate_key

    made, entry = rotate_key(keys, key_id, overlap=dt.timedelta(hours=overlap_hours))
    _show_key(made, entry.to_dict(), as_json)


@key.command("revoke")
@keys_option
@click.argument("key_id")
@json_option
def revoke(keys: Path, key_id: str, as_json: bool) -> None:
    """End a key now."""
    from api.keys import revoke_key

    entry = revoke_key(keys, key_id).to_dict()
    if as_json:
        echo_json(entry)
    else:
        click.echo(f"Key {key_id} no longer works.")


@key.command("list")
@keys_option
@json_option
def list_keys(keys: Path, as_json: bool) -> None:
    """List the keys; not the keys themselves, which are stored nowhere."""
    from api.keys import load_keys

    entries = [entry.to_dict() for entry in load_keys(keys).values()]
    if as_json:
        echo_json(entries)
    else:
        echo_table(pl.DataFrame([entry | {"scopes": " ".join(entry["scopes"])} for entry in entries]))


def _show_key(made: str, entry: dict[str, Any], as_json: bool) -> None:
    if as_json:
        echo_json({"key": made, **entry})
        return
    click.echo(made)
    click.echo(f"Shown once. Id {entry['key_id']}, scopes {', '.join(entry['scopes'])}.", err=True)


@click.command()
@click.argument("customer")
@runs_option
@mlruns_option
@json_option
def forget(customer: str, runs: Path, mlruns: Path, as_json: bool) -> None:
    """Erase a customer: hidden at once, then every bundle is rewritten without the rows."""
    import os

    from experiments.rewriting import forget_customer, out_of_reach
    from histories.identity import KEY_VARIABLE, pseudonym

    id_key = os.environ.get(KEY_VARIABLE, "").encode()
    stored = pseudonym(customer, id_key) if id_key else customer
    also = [mlruns] if mlruns.is_dir() else []
    rewritten = forget_customer(runs, stored, who=getpass.getuser(), also=also)
    left = out_of_reach(runs, also=also)
    if as_json:
        found = [{"bundle": found.bundle, "rows": found.rows} for found in rewritten]
        echo_json({"rewritten": found, "out_of_reach": left})
    else:
        rows = sum(sum(found.rows.values()) for found in rewritten)
        click.echo(
            f"Erased: {rows} rows in {len(rewritten)} bundles under {', '.join(map(str, (runs, *also)))}."
        )
        click.echo("Out of reach, yours to clean: copies and backups elsewhere, and")
        for place in left:
            click.echo(f"  {place}")
