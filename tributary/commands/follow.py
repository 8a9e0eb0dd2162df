"""`tributary run --follow`: what is told of each look at the files, and what is served."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

from experiments.bundle.manifest import read_manifest
from experiments.champion import champion
from experiments.following import Followed, follow, maker
from histories.errors import TributaryError
from reports.numbers import count
from tributary.commands.output import Steps
from tributary.commands.runs import promote_run

if TYPE_CHECKING:
    from experiments.config import RunConfig


def follow_files(
    config: RunConfig,
    *,
    runs: Path,
    mlruns: Path,
    memory: str | None,
    engine: str,
    every: float,
    serve_it: bool,
    steps: Steps,
    as_json: bool,
) -> None:
    """Follow until stopped; a line for each look that found something."""
    make = maker(runs=runs, mlruns=mlruns, memory=memory, engine=engine, step=steps)
    told: Followed | None = None
    for look in follow(config, runs=runs, make=make, every=every):
        steps.done()
        found = look
        if serve_it and look.bundle is not None and (look.is_new or told is None):
            found = _served(look, look.bundle, runs, mlruns)
        if told is None or found.is_new or replace(found, is_new=False) != replace(told, is_new=False):
            click.echo(orjson.dumps(asdict(found), default=str).decode() if as_json else _line(found))
        told = found


def _served(look: Followed, bundle: Path, runs: Path, mlruns: Path) -> Followed:
    """The same look, after its bundle is served; with the reason where it is not."""
    if champion(runs) == bundle.resolve():
        return look
    manifest, _ = read_manifest(bundle)
    try:
        promote_run(manifest["run_id"], manifest["name"], bundle, runs, mlruns)
    except TributaryError as error:
        return replace(look, problem=str(error))
    return look


def _line(look: Followed) -> str:
    if look.problem is not None:
        return f"Not taken in: {look.problem}"
    more = [f"{count(look.waiting, 'file')} new or being written"] if look.waiting else []
    if look.repeated:
        more.append(f"{count(look.repeated, 'file')} with the content of another")
    if look.is_new and look.bundle is not None:
        rows = [f"Bundle {look.number}  {look.bundle}  {count(look.files, 'file')}", *_rows(look.bundle)]
        return "; ".join([*rows, *more])
    return "; ".join(["Waiting" if look.waiting else "Nothing new", *more])


def _rows(bundle: Path) -> list[str]:
    """How many rows of its tables a bundle counts, and how many it does not."""
    tables = read_manifest(bundle)[0]["inputs"].values()
    valid = sum(table["rows_valid"] for table in tables)
    left = {
        word: sum(sum(table[f"{key}_by_rule"].values()) for table in tables)
        for word, key in (("rejected", "rejected"), ("set aside", "set_aside"))
    }
    return [count(valid, "row"), *(f"{n:,} {word}" for word, n in left.items() if n)]
