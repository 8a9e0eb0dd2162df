"""One brand's part of all tables: what is shown to one client, and says nothing of the others.

Of cases, posts and costs the brand's own rows stay; a post without a brand has that of its case or thread.
Costs that name no brand are shared by contacts, row by row:

    the brand's share = its contacts of the channel in the period / all contacts of the channel in the period

so that what all brands are charged is the cost again, but for the last minor units. Of everything else the
rows of customers stay who wrote to the brand. What cannot be told apart (paths, transitions) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import polars as pl

from experiments.config import NOT_IN_NAMES, RunConfig
from histories.errors import ConfigError, nearest
from histories.identity import customers_of_handles
from histories.reading.inputs import Ingested, Inputs
from histories.replies import cut_cycles, parents_of, roots_of

_BRANDED: Final = ("cases", "posts")
_OF_ALL: Final = ("assumptions", "objectives", "interventions")
"""Tables that say nothing of single contacts and customers."""


def for_brand(config: RunConfig, brand: str) -> RunConfig:
    """The configuration of one brand, under a name of its own.

    Comparisons on tables of their own are left out: nothing says whose units those are.
    """
    name = NOT_IN_NAMES.sub("-", f"{config.name}, {brand}")
    effects = tuple(effect for effect in config.effects if effect.table is None)
    return replace(config, name=name[:100], brand=brand, effects=effects)


def for_brand_of(config: RunConfig, before: Mapping[str, Any]) -> RunConfig:
    """The configuration of the brand that an earlier one (`before`, as a manifest keeps it) was made for."""
    brand = before.get("brand")
    return for_brand(config, brand) if brand is not None and config.brand is None else config


def brands_of(inputs: Inputs) -> list[str]:
    """Brands that cases and posts name, in order."""
    found: set[str] = set()
    for name in _BRANDED:
        if name in inputs and "brand" in inputs.tables[name].columns:
            found |= {
                *inputs[name].select(pl.col("brand").drop_nulls().unique()).collect()["brand"].to_list()
            }
    return sorted(found)


def only_brand(inputs: Inputs, brand: str) -> Inputs:
    """The tables of one brand.

    Raises
    ------
    ConfigError
        When no case and no post names it.
    """
    known = brands_of(inputs)
    if brand not in known:
        told = nearest(brand, known) if known else "no case and no post names a brand."
        raise ConfigError(f'brand = "{brand}": no case or post is of it; {told}')
    contacts = _contacts(inputs)
    posts = _own(inputs, "posts", contacts, brand)
    cases = _own(inputs, "cases", contacts, brand)
    customers = _wrote(inputs, cases, posts)["customer_id"]
    tables: dict[str, Ingested] = {}
    for name, table in inputs.tables.items():
        if name == "cases" and cases is not None:
            tables[name] = _kept(table, cases)
        elif name == "posts" and posts is not None:
            tables[name] = _kept(table, posts)
        elif name == "costs":
            tables[name] = _kept(table, _costs(table.valid.collect(), contacts, brand))
        elif name == "hours":
            tables[name] = _kept(table, _hours(table.valid.collect(), cases, posts))
        elif name in _OF_ALL:
            tables[name] = table
        elif "customer_id" in table.columns:
            whose = pl.col("customer_id").is_in(customers.implode())
            if name in ("touchpoints", "calendar"):  # of a handle, or of everybody
                whose |= pl.col("customer_id").is_null()
            tables[name] = _kept(table, table.valid.filter(whose).collect())
    lost = sorted({*inputs.tables} - {*tables})
    empty = [name for name, table in tables.items() if not table.rows_valid and name not in _BRANDED]
    tables = {name: table for name, table in tables.items() if name not in empty}
    notes = tuple(_notes(brand, customers, lost, empty))  # notes on whole files would tell of other brands
    return replace(inputs, tables=tables, notes=notes)


def _notes(brand: str, customers: pl.Series, lost: list[str], empty: list[str]) -> Iterator[str]:
    yield (
        f'brand "{brand}": its cases and posts, and the {customers.len():,} known customers who wrote to it; '
        "their orders are all of theirs. What was rejected or set aside is told by the run of all brands"
    )
    yield (
        f'brand "{brand}": whoever wrote was still a customer then, and who left without writing is not '
        "here: more of these customers are told to be still there than are (buyers_predicted beside "
        "buyers_actual in validation: how many). Values of the run of all brands do not have that fault"
    )
    if lost:
        yield f'brand "{brand}": {", ".join(lost)} cannot be told apart by brand, and are left out'
    if empty:
        yield f'brand "{brand}": {", ".join(empty)} hold nothing of its customers, and are left out'


def _contacts(inputs: Inputs) -> pl.DataFrame:
    """table, place (row in it), channel, day, brand of every case and every thread of posts without one."""
    parts = []
    brands: dict[str, str] = {}
    if "cases" in inputs:
        cases = _with_brand(inputs["cases"].collect())
        named = cases.select(pl.col("case_id").cast(pl.String), "brand").drop_nulls()
        brands = dict(named.iter_rows())
        parts.append(
            cases.select(
                pl.lit("cases").alias("table"),
                pl.int_range(pl.len()).alias("place"),
                "channel",
                pl.col("opened_at").dt.date().alias("day"),
                "brand",
                pl.lit(True).alias("opens"),
            )
        )
    if "posts" in inputs:
        parts.append(_threads(_with_brand(inputs["posts"].collect()), brands))
    return pl.concat(parts, how="vertical_relaxed")


def _with_brand(frame: pl.DataFrame) -> pl.DataFrame:
    return frame if "brand" in frame.columns else frame.with_columns(pl.lit(None, pl.String).alias("brand"))


def _threads(posts: pl.DataFrame, brands: dict[str, str]) -> pl.DataFrame:
    """Posts as contacts, each with its own brand, else its case's, else its thread's.

    A thread is one contact, by the first post of a customer, unless the table cases has it.
    """
    absent = [
        pl.lit(None, pl.String).alias(name)
        for name in ("in_reply_to", "conversation_id", "case_id")
        if name not in posts.columns
    ]
    rows = posts.with_row_index("place").with_columns(absent).sort("timestamp", "post_id")
    parents = parents_of(rows).at
    cut_cycles(parents)
    root = rows["post_id"].cast(pl.String).gather(roots_of(parents))
    case = pl.col("case_id").cast(pl.String)
    of_case = case.replace_strict(brands, default=None, return_dtype=pl.String)
    sides = {"is_brand": ~pl.col("is_brand"), "inbound": pl.col("inbound")}
    told = [side for name, side in sides.items() if name in rows.columns]
    wrote = pl.coalesce(*told, pl.lit(True)).alias("wrote")
    thread = pl.coalesce(
        pl.format("case {}", "case_id"),
        pl.format("conversation {}", "conversation_id"),
        pl.format("post {}", pl.lit(root)),
    )
    named = pl.coalesce("brand", of_case)
    first = pl.struct("thread", "wrote").is_first_distinct() & pl.col("wrote")
    return rows.with_columns(thread.alias("thread"), named.alias("brand"), wrote).select(
        pl.lit("posts").alias("table"),
        pl.col("place").cast(pl.Int64),
        pl.col("platform").alias("channel"),
        pl.col("timestamp").dt.date().alias("day"),
        pl.coalesce("brand", pl.col("brand").drop_nulls().first().over("thread")).alias("brand"),
        (first & ~case.is_in(list(brands)).fill_null(False)).alias("opens"),
    )


def _own(inputs: Inputs, name: str, contacts: pl.DataFrame, brand: str) -> pl.DataFrame | None:
    """The brand's rows of a table; None without the table."""
    if name not in inputs:
        return None
    places = contacts.filter((pl.col("table") == name) & (pl.col("brand") == brand))["place"].sort()
    return inputs[name].collect()[places.to_list()]


def wrote_first(inputs: Inputs) -> pl.DataFrame:
    """The known customers who wrote (customer_id), and the day on which each first did."""
    cases, posts = (inputs[name].collect() if name in inputs else None for name in _BRANDED)
    return _wrote(inputs, cases, posts)


def _wrote(inputs: Inputs, cases: pl.DataFrame | None, posts: pl.DataFrame | None) -> pl.DataFrame:
    schema = pl.Schema({"customer_id": inputs.customer_dtype, "day": pl.Date()})
    found = [pl.DataFrame(schema=schema)]
    if cases is not None and "customer_id" in cases.columns:
        found.append(cases.select("customer_id", pl.col("opened_at").dt.date().alias("day")))
    identities = inputs.get("identities")
    if posts is not None and identities is not None:
        unknown = pl.lit(None, dtype=schema["customer_id"]).alias("customer_id")
        day = pl.col("timestamp").dt.date().alias("day")
        handles = posts.lazy().select("platform", pl.col("author").alias("handle"), unknown, day)
        known = customers_of_handles(handles, identities, day=pl.col("day"))
        found.append(known.select("customer_id", "day").collect())
    everybody = pl.concat([one.cast(schema) for one in found]).drop_nulls("customer_id")
    return everybody.group_by("customer_id").agg(pl.col("day").min()).sort("customer_id")


def _costs(costs: pl.DataFrame, contacts: pl.DataFrame, brand: str) -> pl.DataFrame:
    """Costs of the brand, and its share of those that name none."""
    named = _with_brand(costs).with_row_index("row")
    opened = contacts.filter("opens").select(
        "channel", "day", (pl.col("brand") == brand).fill_null(False).alias("own")
    )
    shared = named.filter(pl.col("brand").is_null())
    shares = (
        shared.select("row", "channel", "period_start", "period_end")
        .join(opened, on="channel", how="inner")
        .filter(
            pl.col("day").is_between(pl.col("period_start").cast(pl.Date), pl.col("period_end").cast(pl.Date))
        )
        .group_by("row")
        .agg(pl.col("own").mean().alias("share"))
    )
    part = (pl.col("amount") * pl.col("share")).floor().cast(pl.Int64)
    charged = shared.join(shares, on="row", how="inner").with_columns(part.alias("amount")).drop("share")
    kept = pl.concat([named.filter(pl.col("brand") == brand), charged]).sort("row").drop("row")
    return kept.select(costs.columns)


def _hours(hours: pl.DataFrame, cases: pl.DataFrame | None, posts: pl.DataFrame | None) -> pl.DataFrame:
    """Shifts of those who answered the brand's cases; all where nothing names them."""
    for name in ("agent", "team"):
        there = [part[name] for part in (cases, posts) if part is not None and name in part.columns]
        names = pl.concat(there).drop_nulls().unique() if there else pl.Series([], dtype=pl.String)
        if name in hours.columns and names.len():
            return hours.filter(pl.col(name).is_in(names.implode()))
    return hours


def _kept(table: Ingested, rows: pl.DataFrame) -> Ingested:
    """The table with these rows alone, as though no others had been read: how many is others' business."""
    return replace(
        table,
        valid=rows.lazy(),
        rows_read=rows.height,
        rows_valid=rows.height,
        rejected_by_rule={},
        set_aside_by_rule={},
        rejected=table.rejected.clear(),
    )
