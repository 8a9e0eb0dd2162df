"""Cases of the company a bucket at a time: found, summed to matters, measured; only narrow columns are held.

Buckets are those of groups of authors (`care.groups`), dealt once more than customers are: authors who are no
known customers have cases too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import polars as pl

from care.cases import COUNTED, Cases, case_notes, combine_cases
from care.clock import to_instants
from care.conversations import Conversations
from care.groups import GROUP, customer_key, find_groups, grouped, with_keys
from care.journeys import build_journeys
from care.queue import case_rows, with_pseudonyms
from care.settings import CareSettings
from care.stored import StoredDesk, stored_tables
from care.view import Desk
from histories.engines.base import BYTES_PER_CASE, Buckets, Engine, Made, Tables

_DESK: Final = "desk_rows"
_POSTS: Final = "cases_of_posts"
_POST_WAITS: Final = "waits_of_posts"
_TOUCHES: Final = "own_touches"
_CASES: Final = "cases"
_WAITS: Final = "waits"
_FACTS: Final = "facts"
_BOUGHT: Final = "bought"
_VALUES: Final = "values"
_TOLD: Final = "told_cases"
_OWNER: Final = "owner"
"""The customer's id, while the column that buckets are made by holds the group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllCases:
    """All cases of a company in buckets, and what there is to say about how they came together.

    Attributes
    ----------
    columns
        Columns that some table gave; a figure that needs another cannot be said.
    figures
        Rows of `CARE_SCHEMA` that the desk's rows do not tell; None without any.
    model
        Plain parameters of what was learned of the posts; empty where nothing was.
    quotes
        What customers wrote, chosen by rule; None where nobody asked for it.
    members
        Known customers who wrote posts, of `care.community.members_of`; None without posts.
    """

    buckets: Buckets
    groups: pl.DataFrame
    columns: frozenset[str]
    notes: tuple[str, ...]
    figures: pl.DataFrame | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    quotes: pl.DataFrame | None = None
    members: pl.DataFrame | None = None

    @property
    def cases(self) -> pl.DataFrame:
        """Every column of every case, by the time of opening, as `care.cases.Cases` has them; in memory."""
        return self.rows(*self._schema.names())

    def rows(self, *names: str) -> pl.DataFrame:
        """Some columns of every case, those that there are, by the time of opening."""
        order = ["opened_at", "case_id"]
        have = [name for name in names if name in self._schema]
        chosen = self.buckets.gather(_CASES).select(list(dict.fromkeys([*have, *order]))).collect()
        return chosen.sort(order).select(have)

    @property
    def _schema(self) -> pl.Schema:
        return self.buckets.gather(_CASES).drop(GROUP).collect_schema()

    @property
    def is_empty(self) -> bool:
        """Whether there is no case at all."""
        return bool(self.buckets.gather(_CASES).select(pl.len() == 0).collect().item())

    @property
    def first_opened(self) -> dt.datetime | None:
        """When the first case was opened."""
        found: dt.datetime | None = (
            self.buckets.gather(_CASES).select(pl.col("opened_at").min()).collect().item()
        )
        return found

    @property
    def agents(self) -> pl.Series:
        """The names of agents, each once."""
        return self.buckets.gather(_CASES).select(pl.col("agent").unique()).collect()["agent"]


def all_cases(
    engine: Engine,
    posts: Conversations | None,
    desk: pl.LazyFrame | None,
    settings: CareSettings,
    *,
    zone: str,
    touches: pl.LazyFrame | None,
) -> AllCases:
    """Cases of posts and of the desk's table together, bucket by bucket.

    Parameters
    ----------
    engine
        What makes the buckets.
    posts
        What posts make; None without any.
    desk
        Valid rows of the cases table, times as they were read; None without one.
    settings, zone
        Of the desk; the zone is that of times without one.
    touches
        customer_id, timestamp, channel of the customers' own touchpoints.
    """
    rows = None if desk is None else with_keys(desk)
    made = None if posts is None else with_keys(posts.cases.lazy())
    groups = find_groups(rows, made)
    tables = {}
    if rows is not None:
        tables[_DESK] = _dealt(rows, groups)
    if posts is not None and made is not None:
        tables[_POSTS] = _dealt(made, groups)
        whose = made.select("case_id", "key")
        tables[_POST_WAITS] = _dealt(posts.waits.lazy().join(whose, on="case_id"), groups)
    if touches is not None and (sent := _sent_elsewhere(rows, made)) is not None:
        keyed = touches.with_columns(customer_key().alias("key")).join(sent, on="key", how="semi")
        tables[_TOUCHES] = _dealt(keyed, groups)
    buckets = engine.scatter(tables, bytes_per_row=BYTES_PER_CASE, bytes_per_customer=0)
    buckets = buckets.map(partial(_combined, settings=settings, zone=zone))
    facts = buckets.gather(_FACTS).group_by("name").agg(pl.col("count").sum()).collect()
    counts = {name: count for name, count in facts.iter_rows() if name in COUNTED}
    return AllCases(
        buckets=buckets,
        groups=groups,
        columns=frozenset(facts["name"]) - COUNTED,
        notes=case_notes(posts, counts),
    )


def _sent_elsewhere(*tables: pl.LazyFrame | None) -> pl.LazyFrame | None:
    """Key of every author who was asked to move; None where nobody was."""
    asked = [
        rows.filter(pl.col("redirected_at").is_not_null()).select("key").collect()
        for rows in tables
        if rows is not None and "redirected_at" in rows.collect_schema()
    ]
    found = pl.concat(asked).unique() if asked else pl.DataFrame()
    return None if found.is_empty() else found.lazy()


def _dealt(rows: pl.LazyFrame, groups: pl.DataFrame) -> pl.LazyFrame:
    """Rows with a `key` as an engine deals them: by group."""
    named = grouped(rows, groups)
    if "customer_id" in named.collect_schema():
        named = named.rename({"customer_id": _OWNER})
    return named.rename({GROUP: "customer_id"})


def _given_back(tables: Tables, name: str) -> pl.DataFrame | None:
    """The rows of a bucket as they were before they were dealt."""
    if name not in tables:
        return None
    rows = tables[name].drop("customer_id").collect()
    return rows.rename({_OWNER: "customer_id"}) if _OWNER in rows.columns else rows


def _combined(tables: Tables, *, settings: CareSettings, zone: str) -> Made:
    """The cases of a bucket, their waits, and the names and counts of what was met."""
    posts, waits = _given_back(tables, _POSTS), _given_back(tables, _POST_WAITS)
    desk, touches = _given_back(tables, _DESK), _given_back(tables, _TOUCHES)
    found = combine_cases(
        None if posts is None or waits is None else Conversations(cases=posts, waits=waits, publications=0),
        None if desk is None else instants(desk, zone).drop("key"),
        settings,
        touches=None
        if touches is None
        else touches.select("customer_id", "channel", to_instants(touches["timestamp"], zone).alias("at")),
    )
    groups = pl.concat(
        [
            tables[name].select(pl.col("case_id").cast(pl.String), pl.col("customer_id").alias(GROUP))
            for name in (_DESK, _POSTS)
            if name in tables
        ]
    )
    placed = found.cases.join(groups.unique("case_id").collect(), on="case_id", how="left")
    facts = {**dict.fromkeys(sorted(found.columns), 1), **found.counts}
    return {
        _CASES: placed.sort(GROUP, "opened_at", "case_id"),
        _WAITS: found.waits.select("case_id", "started_at", "ended_at"),
        _FACTS: pl.DataFrame(
            {"name": list(facts), "count": list(facts.values())},
            schema={"name": pl.String, "count": pl.Int64},
        ),
    }


def instants(frame: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Every time of a table as an instant."""
    times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    return frame.with_columns(to_instants(frame[name], zone) for name in times)


def measured_desk(
    cases: AllCases,
    desk: Desk,
    *,
    names: Mapping[str, str],
    purchases: pl.LazyFrame | None,
) -> tuple[StoredDesk, pl.LazyFrame]:
    """The desk of all cases, and the rows of the bundle's table of cases, both bucket by bucket.

    Parameters
    ----------
    cases
        Of the company.
    desk
        All that a desk has besides its matters: `journeys` holds no more than the end of observation.
    names
        Pseudonyms of the agents.
    purchases
        customer_id, timestamp of purchases; None where none were given.
    """
    buckets, added = cases.buckets, {}
    if "customer_id" in buckets.gather(_CASES).collect_schema():
        if desk.values is not None:
            added[_VALUES] = desk.values.lazy()
        if purchases is not None:
            known = buckets.gather(_CASES).select("customer_id").drop_nulls().unique().collect()
            added[_BOUGHT] = purchases.join(known.lazy(), on="customer_id", how="semi")
        buckets = buckets.add(
            {
                name: _dealt(rows.with_columns(customer_key().alias("key")), cases.groups).drop("key")
                for name, rows in added.items()
            }
        )
    plain = replace(desk, values=None, purchases=None, costs=None, hours=None)
    buckets = buckets.map(partial(_measured, desk=plain, names=dict(names)))
    stored = StoredDesk(
        **{name: getattr(desk, name) for name in Desk.__dataclass_fields__},
        stored=buckets.gather,
        folder=buckets.folder,
    )
    return stored, buckets.gather(_TOLD)


def _measured(tables: Tables, *, desk: Desk, names: Mapping[str, str]) -> Made:
    """The matters of a bucket as narrow tables, and its rows of the table of cases."""
    rows = tables[_CASES].drop(GROUP).collect()
    cases = Cases(
        cases=rows.with_columns(with_pseudonyms(names)), waits=tables[_WAITS].collect(), columns=desk.columns
    )
    bought = _given_back(tables, _BOUGHT)
    own = replace(
        desk,
        journeys=build_journeys(cases, desk.settings, end=desk.journeys.end),
        values=_given_back(tables, _VALUES),
        purchases=None
        if bought is None
        else bought.select("customer_id", to_instants(bought["timestamp"], desk.zone).alias("at")),
    )
    return {**stored_tables(own), _TOLD: case_rows(cases, own)}
