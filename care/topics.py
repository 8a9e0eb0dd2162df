"""What customers write about: each topic's share, its trend, and which products it is about."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import polars as pl

from care.intervals import Interval, difference_interval, share_interval
from care.rows import care_frame, care_row
from care.view import Desk
from histories.arrays import Flags

FEWEST: Final = 5
MOST: Final = 40
"""Topics and products with so many matters are told, the commonest first."""


def topic_figures(desk: Desk) -> pl.DataFrame:
    """Rows of `CARE_SCHEMA` about the topics of matters that name one.

    `topic_share`: share of the matters, in all and by month. `topic_trend`: share of the last whole month
    less that of the months before, with `reason` where it is within chance. `topic_share_of_product`: share
    of a product's matters, segment `product: x, topic: y`.
    """
    named = desk.column("topic").is_not_null().to_numpy()
    return care_frame(_rows(desk, named) if named.any() else ())


def _rows(desk: Desk, named: Flags) -> Iterator[dict[str, Any]]:
    last = _last_whole_month(desk)
    products = _common(desk.column("product").filter(pl.Series(named)))
    for topic in _common(desk.column("topic")):
        is_topic = desk.among("topic", [topic])
        segment = f"topic: {topic}"
        about = partial(care_row, group="voice", segment=segment, unit="share")
        yield about("topic_share", found=_share(desk, is_topic, named))
        for month in desk.coded("month")[0]:
            within = named & desk.among("month", [month])
            if within.any():
                yield about("topic_share", found=_share(desk, is_topic, within), period=month)
        yield from _trend(desk, segment, is_topic, named, last)
        for product in products:
            its = named & desk.among("product", [product])
            of_product = f"product: {product}, {segment}"
            yield about("topic_share_of_product", found=_share(desk, is_topic, its), segment=of_product)


def _common(values: pl.Series) -> list[str]:
    """The commonest values, those with enough matters."""
    counted = values.drop_nulls().value_counts(name="n").filter(pl.col("n") >= FEWEST)
    return counted.sort("n", values.name, descending=[True, False]).head(MOST)[values.name].to_list()


def _share(desk: Desk, is_topic: Flags, within: Flags) -> Interval:
    return share_interval(is_topic[within].astype(float), desk.arrays["customer"][within])


def _last_whole_month(desk: Desk) -> str:
    """The last month that was over when the observation ended."""
    end = pl.select(
        pl.lit(desk.journeys.end).dt.convert_time_zone(desk.zone).dt.replace_time_zone(None)
    ).item()
    return f"{end.replace(day=1) - dt.timedelta(days=1):%Y-%m}"


def _trend(desk: Desk, segment: str, is_topic: Flags, named: Flags, last: str) -> Iterator[dict[str, Any]]:
    earlier = [month for month in desk.coded("month")[0] if month < last]
    now = _share(desk, is_topic, named & desk.among("month", [last]))
    before = _share(desk, is_topic, named & desk.among("month", earlier))
    found = difference_interval(now, before)
    if found.value is None or found.low is None or found.high is None:
        return
    chance = found.low <= 0.0 <= found.high
    reason = "within chance" if chance else None
    yield care_row("topic_trend", "voice", found, segment=segment, period=last, unit="share", reason=reason)
