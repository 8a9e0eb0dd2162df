"""The checked tables of a configuration, and how many rows each rule kept out."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from care.catalogue import CATALOGUE
from care.objectives import objective_cautions
from experiments.brands import only_brand
from experiments.config import RunConfig
from experiments.consents import not_yet
from histories.errors import ConfigError
from histories.identity import KEY_VARIABLE, identity_key
from histories.reading.ingest import ingest
from histories.reading.inputs import Inputs
from histories.reading.plausibility import plausibility_notes

ID_KEY: Final = KEY_VARIABLE
_DATED: Final = ("transactions", "touchpoints", "cases", "posts")


def read_inputs(config: RunConfig, *, work_dir: Path | None = None, pseudonymous: bool = True) -> Inputs:
    """Check every table that the configuration names.

    Without `observation_end` the last day of the transactions (or else of touchpoints, cases or posts) ends
    the observation. With `brand` only what is that brand's is read. With the environment variable
    `TRIBUTARY_ID_KEY` customer ids become pseudonyms, unless `pseudonymous` is false. Large tables are
    written, typed, into `work_dir`, by default a temporary folder.

    Raises
    ------
    ConfigError
        When nothing is to be read at all.
    DataError
        When a table is refused.
    """
    if not config.inputs and not any(effect.table for effect in config.effects):
        raise ConfigError(
            f"{config.name}: the configuration names no input table. Add [inputs] with at least transactions."
        )
    key = os.environ.get(ID_KEY) if pseudonymous else None
    inputs = ingest(
        {str(name): source for name, source in config.inputs.items()},
        base_dir=config.base_dir,
        observation_end=config.observation_end or dt.date.max,
        timezone=config.timezone,
        currency=config.currency,
        channels=config.channels,
        limits=config.limits,
        identity=config.identity,
        id_key=key.encode() if key else None,
        work_dir=work_dir,
    )
    if config.observation_end is None:
        inputs = dataclasses.replace(inputs, observation_end=_last_day(inputs))
    if config.brand is not None:
        inputs = only_brand(inputs, config.brand)
    notes = *inputs.notes, *plausibility_notes(inputs), *_objective_notes(inputs), *_consent_notes(inputs)
    return dataclasses.replace(inputs, notes=notes)


def _consent_notes(inputs: Inputs) -> Iterator[str]:
    consents = inputs.get("consents")
    if consents is None:
        return
    early = not_yet(consents.collect())
    if early.height:
        first = early.select(pl.col("timestamp").min().dt.date()).item()
        yield (
            f"consents: entries that give consent from a day on that has not come: {early.height} (first: "
            f"{first}). They do not count yet; is the year right? What is taken back counts at once."
        )


def _objective_notes(inputs: Inputs) -> Iterator[str]:
    objectives = inputs.get("objectives")
    if objectives is not None:
        files = inputs.tables["objectives"].files
        place = files[0].name if len(files) == 1 else "objectives"
        for words in objective_cautions(objectives.collect(), [kpi.name for kpi in CATALOGUE]):
            yield f"{place}: {words.removesuffix('.')}."


def key_of_handles(config: RunConfig) -> bytes | None:
    """The key under which a bundle holds handles; None where there are no identities, or no key.

    Raises
    ------
    ConfigError
        When the key file cannot be read, or the key could be guessed.
    """
    if "identities" not in config.inputs:
        return None
    file = config.identity.key_file
    return identity_key(None if file is None else config.base_dir / file)


def _last_day(inputs: Inputs) -> dt.date:
    for name in _DATED:
        if name in inputs.tables:
            table = inputs.tables[name]
            column = "opened_at" if name == "cases" else "timestamp"
            latest = table.valid.select(pl.col(column).max()).collect().item()
            if isinstance(latest, dt.datetime):
                return latest.date()
    return dt.date.today()


def rows_by_rule(inputs: Inputs) -> pl.DataFrame:
    """Rows read, valid, rejected and set aside.

    Returns
    -------
    DataFrame
        Columns table, outcome (read, valid, rejected, set aside), rule, rows.
    """
    rows: list[tuple[str, str, str | None, int]] = []
    for name, table in inputs.tables.items():
        rows.append((name, "read", None, table.rows_read))
        rows += [(name, "rejected", rule, n) for rule, n in table.rejected_by_rule.items()]
        rows += [(name, "set aside", rule, n) for rule, n in table.set_aside_by_rule.items()]
        rows.append((name, "valid", None, table.rows_valid))
    schema = {"table": pl.String, "outcome": pl.String, "rule": pl.String, "rows": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")
