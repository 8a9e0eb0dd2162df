"""Every contact of a customer, with what was known of it at that time: who acted, and was it answered.

The *treatment* is what the company did. In care a problem makes the customer write, so not the contact but
the reply counts: an outbound touch, or an inbound one whose case was answered. Contacts of other kinds are
treatments as they stand, unless they were only seen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

import polars as pl

from histories.errors import ConfigError, nearest
from histories.periods import end_of_day, zone_of
from histories.reading.sources import Channel

DEFAULT_KIND = "marketing"

TOUCHPOINTS_SCHEMA: dict[str, pl.DataType] = {
    "customer_id": pl.String(),
    "timestamp": pl.Datetime("us"),
    "channel": pl.String(),
    "channel_group": pl.String(),
    "kind": pl.String(),
    "direction": pl.String(),
    "origin": pl.String(),
    "campaign": pl.String(),
    "view": pl.Boolean(),
    "treatment": pl.Boolean(),
    "cost": pl.Float64(),
    "conversion_credit": pl.Float64(),
    "spend_credit": pl.Float64(),
}
"""The table of a bundle: touchpoints in order, in the currency, with their share of purchases and spend."""


def build_touchpoints(
    touchpoints: pl.LazyFrame,
    *,
    channels: Mapping[str, Channel] | None = None,
    cases: pl.LazyFrame | None = None,
    known_at: date | None = None,
) -> pl.LazyFrame:
    """One row per touch of complete customers, with `channel_group`, `origin`, `replied` and `treatment`.

    Parameters
    ----------
    touchpoints
        Valid touchpoints.
    channels
        Group and origin of channels. A channel without an entry is its own group and has no origin; a touch
        with a `direction` takes its origin from it.
    cases
        Valid cases, to find the reply to an inbound touch.
    known_at
        Replies after this day are not known yet; by default all are.

    Returns
    -------
    The columns of `touchpoints`, with defaults for missing ones (`kind` marketing, `view` false), and
    `channel_group`, `origin` (customer, firm or null), `replied`, `treatment`. Rows are in no certain order.
    """
    channels = channels or {}
    described = _with_defaults(touchpoints)
    by_channel = pl.col("channel")
    groups = {name: channel.group for name, channel in channels.items() if channel.group}
    origins = {name: channel.origin for name, channel in channels.items() if channel.origin}
    acted = {"inbound": "customer", "outbound": "firm"}
    of_channel, of_direction = _looked_up(by_channel, origins), _looked_up(pl.col("direction"), acted)
    answered = _with_replies(described, cases, known_at)
    return answered.with_columns(
        pl.coalesce(_looked_up(by_channel, groups), by_channel).alias("channel_group"),
        pl.coalesce(of_direction, of_channel).alias("origin"),
    ).with_columns(_treatment(uncredited_channels(channels)).alias("treatment"))


def _looked_up(column: pl.Expr, known: Mapping[str, str]) -> pl.Expr:
    """The text that belongs to each value, null where there is none; unlike `replace_strict`, it streams."""
    nothing = pl.lit(None, dtype=pl.String)
    return pl.coalesce(*(pl.when(column == key).then(pl.lit(text)) for key, text in known.items()), nothing)


def uncredited_channels(channels: Mapping[str, Channel]) -> tuple[str, ...]:
    """Channels whose touches stay in the history and earn no credit."""
    return tuple(sorted(name for name, channel in channels.items() if not channel.credited))


def require_origins(
    channels: Mapping[str, Channel], used: Collection[str], *, directed: Collection[str] = ()
) -> None:
    """Refuse to go on when nobody says who acts in a channel: a wrong guess turns the sign of its credit.

    Parameters
    ----------
    channels
        What the configuration says of channels.
    used
        Channels in the data.
    directed
        Those of them whose touches all have a `direction`, and so need no entry.

    Raises
    ------
    ConfigError
        Naming every channel without `origin`, with the line to add.
    """
    without = sorted(
        name for name in set(used) - set(directed) if (name not in channels or channels[name].origin is None)
    )
    if not without:
        return
    misspelt = sorted(set(channels) - set(used))
    hint = f" [channels] has {misspelt[0]}; {nearest(misspelt[0], without)}" if misspelt else ""
    raise ConfigError(
        f"Retention needs to know who acts in {len(without)} channels: {', '.join(without)}. "
        f'Add to [channels], e.g. "{without[0]}" = {{ origin = "customer" }} (they act: proof of life) '
        f'or "firm" (only exposure), or give touchpoints a direction.{hint}'
    )


def channels_in_use(touchpoints: pl.LazyFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All channels of the touches, and those whose touches all have a direction."""
    names = touchpoints.collect_schema().names()
    direction = pl.col("direction") if "direction" in names else pl.lit(None, dtype=pl.String)
    found = (
        touchpoints.group_by("channel")
        .agg(direction.is_not_null().all().alias("directed"))
        .sort("channel")
        .collect(engine="streaming")
    )
    return tuple(found["channel"]), tuple(found.filter("directed")["channel"])


def _with_defaults(touchpoints: pl.LazyFrame) -> pl.LazyFrame:
    schema = touchpoints.collect_schema()

    def given(name: str, default: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        return (pl.col(name).fill_null(default) if name in schema else default).cast(dtype).alias(name)

    nothing = pl.lit(None)
    return touchpoints.with_columns(
        given("kind", pl.lit(DEFAULT_KIND), pl.String()),
        given("view", pl.lit(False), pl.Boolean()),
        given("date_only", pl.lit(False), pl.Boolean()),
        given("direction", nothing, pl.String()),
        given("campaign", nothing, pl.String()),
        given("case_id", nothing, pl.String()),
        given("cost", nothing, pl.Int64()),
    )


def _with_replies(
    touchpoints: pl.LazyFrame, cases: pl.LazyFrame | None, known_at: date | None
) -> pl.LazyFrame:
    """`replied`: for an inbound touch with a case, whether the case was answered; null for any other."""
    if cases is None or "first_response_at" not in cases.collect_schema():
        return touchpoints.with_columns(pl.lit(None, dtype=pl.Boolean).alias("replied"))
    response = pl.col("first_response_at")
    answered = response.is_not_null()
    if known_at is not None:
        answered = answered & (response < end_of_day(known_at, zone_of(cases, "first_response_at")))
    replies = cases.select("case_id", answered.alias("is_answered"))
    is_inbound = pl.col("direction").fill_null("inbound") == "inbound"
    return (
        touchpoints.join(replies, on="case_id", how="left")
        .with_columns(pl.when(is_inbound).then(pl.col("is_answered")).alias("replied"))
        .drop("is_answered")
    )


def _treatment(uncredited: tuple[str, ...]) -> pl.Expr:
    is_care = pl.col("kind") == "care"
    # Without a direction the firm's own channels are outbound and all others inbound.
    is_outbound = pl.col("origin") == "firm"
    acts = (
        pl.when(is_care)
        .then(is_outbound.fill_null(False) | pl.col("replied").fill_null(False))
        .otherwise(True)
    )
    return acts & ~pl.col("view") & ~pl.col("channel").is_in(list(uncredited))
