"""What customers write about: each topic's share, its trend, and which products it is about."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from care.intervals import LEVEL, Interval, difference_interval, share_interval
from care.tables import CARE_SCHEMA
from care.view import Desk
from histories.arrays import Flags
from histories.cuts import ALL

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
    rows = [] if not named.any() else list(_rows(desk, named))
    return pl.DataFrame(rows, schema=CARE_SCHEMA, orient="row")


def _rows(desk: Desk, named: Flags) -> Iterator[dict[str, Any]]:
    last = _last_whole_month(desk)
    products = _common(desk.column("product").filter(pl.Series(named)))
    for topic in _common(desk.column("topic")):
        is_topic = desk.among("topic", [topic])
        segment = f"topic: {topic}"
        yield _row("topic_share", segment, _share(desk, is_topic, named))
        for month in desk.coded("month")[0]:
            within = named & desk.among("month", [month])
            if within.any():
                yield _row("topic_share", segment, _share(desk, is_topic, within), period=month)
        yield from _trend(desk, segment, is_topic, named, last)
        for product in products:
            its = named & desk.among("product", [product])
            found = _share(desk, is_topic, its)
            yield _row("topic_share_of_product", f"product: {product}, {segment}", found)


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
    yield _row("topic_trend", segment, found, period=last, reason="within chance" if chance else None)


def _row(
    kpi: str, segment: str, found: Interval, *, period: str = ALL, reason: str | None = None
) -> dict[str, Any]:
    return dict.fromkeys(CARE_SCHEMA) | {
        "kpi": kpi, "group": "voice", "channel": ALL, "team": ALL, "segment": segment, "period": period,
        "value": found.value, "low": found.low, "high": found.high,
        "interval_level": None if found.low is None else LEVEL, "n": found.n, "unit": "share",
        "reason": reason,
    }  # fmt: skip
