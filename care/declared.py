"""Where customers say that they heard of the company, beside what channels are credited with.

An answer names a channel or a channel group where it is one of them, whatever its case and punctuation, has
it among its words, or is at most a slip of the pen away; else a source that people name in such answers (a
friend, a search); else it is `other`. Who names several counts for each in equal parts. It is what is said by
those who say it: people forget the first contact, and the one they name is neither credit nor an effect.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

import numpy as np
import polars as pl

from care.intervals import share_interval
from care.named_reasons import SOURCES
from care.words import matches

DECLARED_SCHEMA: Final[dict[str, pl.DataType]] = {
    "source": pl.String(),
    "is_channel": pl.Boolean(),  # whether it is a channel or group of the run; else only said
    "customers": pl.Float64(),  # who named it; who named several is a part in each
    "share": pl.Float64(),  # of the customers who answered
    "low": pl.Float64(),
    "high": pl.Float64(),
    "interval_level": pl.Float64(),
    "share_among_channels": pl.Float64(),  # of those who named one; to be held against the credited shares
    "method": pl.String(),  # of the credit of spend beside it; null where nothing is credited
    "credited_share": pl.Float64(),  # of what is credited to channels
    "supported": pl.Boolean(),  # of the credit
}
OTHER: Final = "other"
_APART: Final = re.compile(r"\s*(?:[,;|/+&\n]|\band\b|\bund\b|\bet\b|\by\b)\s*")
_NOTHING: Final = frozenset(
    {"", "na", "none", "null", "nan", "unknown", "dontknow", "notsure", "idontknow", "keineangabe"}
)
_CLOSE: Final = 0.8
"""Similarity (Ratcliff & Obershelp) from which a name is taken for a slip of another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Answers as they were read.

    Attributes
    ----------
    named
        customer_id, source, is_channel, weight (its part of the customer's answer).
    slips
        Names that were taken for another, and for which.
    others
        Answers that name nothing known.
    """

    named: pl.DataFrame
    slips: Mapping[str, str]
    others: int


def read_declared(people: pl.DataFrame, names: Sequence[str]) -> Declared:
    """The answers in `declared_source` of customers, by channel and group names.

    >>> people = pl.DataFrame({"customer_id": [1, 2, 3, 4],
    ...     "declared_source": ["E-Mail; Twiter", "a friend told me", "n/a", "xyz"]})
    >>> found = read_declared(people, ["email", "twitter"])
    >>> found.named.rows()
    [(1, 'email', True, 0.5), (1, 'twitter', True, 0.5), (2, 'friend', False, 1.0), (4, 'other', False, 1.0)]
    >>> found.slips, found.others
    ({'Twiter': 'twitter'}, 1)
    """
    known = {_key(name): name for name in names}
    answers = people.select("customer_id", pl.col("declared_source").cast(pl.String).str.strip_chars())
    texts = answers["declared_source"].drop_nulls().unique(maintain_order=True).to_list()
    slips: dict[str, str] = {}
    read = {text: list(_sources(text, known, slips)) for text in texts}
    said = _said({part for parts in read.values() for part, is_channel in parts if not is_channel})
    rows: list[tuple[Any, str, bool, float]] = []
    others = 0
    for who, text in answers.drop_nulls().iter_rows():
        parts = dict.fromkeys((said.get(p, p), c) for p, c in read[text])
        others += any(source == OTHER for source, _ in parts)
        rows += [(who, source, is_channel, 1 / len(parts)) for source, is_channel in parts]
    schema = {"customer_id": people.schema["customer_id"], "source": pl.String(), "is_channel": pl.Boolean(),
              "weight": pl.Float64()}  # fmt: skip
    return Declared(named=pl.DataFrame(rows, schema=schema, orient="row"), slips=slips, others=others)


def _sources(text: str, known: Mapping[str, str], slips: dict[str, str]) -> Iterator[tuple[str, bool]]:
    """What one answer names, with whether it is a channel; a whole answer before its parts."""
    whole = _key(text) in known or _key(text) in _NOTHING
    for part in [text] if whole else _APART.split(text):
        key = _key(part)
        if key in _NOTHING:
            continue
        if key in known:
            yield known[key], True
            continue
        inside = [known[word] for word in map(_key, part.split()) if word in known]
        if inside:
            yield inside[0], True
            continue
        near = get_close_matches(key, known, n=1, cutoff=_CLOSE) if len(key) > 3 else []
        if near:
            slips[part] = known[near[0]]
            yield known[near[0]], True
        else:
            yield part, False


def _said(parts: set[str]) -> dict[str, str]:
    """What free answers speak of: each to one of the sources that people name, else other."""
    texts = pl.DataFrame({"part": sorted(parts)}, schema={"part": pl.String})
    told = (pl.when(matches(pl.col("part"), (rule,))).then(pl.lit(name)) for name, rule in SOURCES.items())
    return dict(texts.select("part", pl.coalesce(*told, pl.lit(OTHER)).alias("is")).iter_rows())


def _key(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def declared_table(
    named: pl.DataFrame, credits: pl.DataFrame | None, groups: Mapping[str, str]
) -> pl.DataFrame:
    """Rows of `DECLARED_SCHEMA`, the most named first; every credited channel has one.

    Parameters
    ----------
    named
        As `read_declared` has it.
    credits
        The table of credits; of spend, all customers and periods, by incremental credit where it is supported
        for every channel, else by last touch, else by the first method there is.
    groups
        Group of each channel. A group that is named is no channel of the credit; its channels have rows too.
    """
    who = named["customer_id"].unique(maintain_order=True)
    number = {name: place for place, name in enumerate(who)}
    method, shares, is_sound = _credited(credits)
    channels = float(named.filter("is_channel")["weight"].sum()) or 1.0
    counted: Counter[str] = Counter()
    for source, weight in named.select("source", "weight").iter_rows():
        counted[source] += weight
    is_channel = dict(named.select("source", "is_channel").unique().iter_rows()) | dict.fromkeys(shares, True)
    rows = []
    for source in [*counted, *(name for name in shares if name not in counted)]:
        hits = np.zeros(len(who))
        for name, weight in named.filter(source=source).select("customer_id", "weight").iter_rows():
            hits[number[name]] = weight
        share = share_interval(hits, np.arange(len(who)))
        credited = shares.get(source)
        if credited is None and source in groups.values():
            members = [shares[name] for name, group in groups.items() if group == source and name in shares]
            credited = sum(members) if members else None
        rows.append(
            {
                "source": source,
                "is_channel": is_channel[source],
                "customers": float(counted[source]),
                "share": share.value,
                "low": share.low,
                "high": share.high,
                "interval_level": 0.95,
                "share_among_channels": float(counted[source]) / channels if is_channel[source] else None,
                "method": method if credited is not None else None,
                "credited_share": credited,
                "supported": is_sound if credited is not None else None,
            }
        )
    return pl.DataFrame(rows, schema=DECLARED_SCHEMA).sort("customers", "source", descending=[True, False])


def _credited(credits: pl.DataFrame | None) -> tuple[str | None, dict[str, float], bool]:
    """Method, each channel's share of what it credits to channels, and whether it is supported."""
    if credits is None or credits.is_empty():
        return None, {}, False
    rows = credits.filter(
        (pl.col("outcome") == "spend")
        & (pl.col("level") == "channel")
        & (pl.col("segment") == "(all)")
        & (pl.col("period") == "(all)")
        & pl.col("credit").is_not_null()
    )
    added = rows.filter(pl.col("kind") == "incremental")
    if added.height and added["supported"].all() and float(added["credit"].sum()) > 0:
        chosen, is_sound = added, True
    else:
        methods = rows.filter(pl.col("kind") == "descriptive")["method"].unique(maintain_order=True).to_list()
        if not methods:
            return None, {}, False
        wanted = "last" if "last" in methods else methods[0]
        chosen, is_sound = rows.filter(pl.col("method") == wanted), False
    total = float(chosen["credit"].sum())
    if total <= 0:
        return None, {}, False
    shares = {name: credit / total for name, credit in chosen.select("channel", "credit").iter_rows()}
    return str(chosen["method"][0]), shares, is_sound
