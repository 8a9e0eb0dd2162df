"""Who acted, was it answered, and is it a treatment."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from histories.reading.sources import Channel
from histories.touchpoints import build_touchpoints, channels_in_use, uncredited_channels

CHANNELS = {
    "twitter": Channel(group="social", origin="customer"),
    "newsletter": Channel(origin="firm"),
    "coupon": Channel(origin="customer", credited=False),
}
CASES = pl.LazyFrame(
    {
        "case_id": ["answered", "late", "ignored"],
        "first_response_at": [datetime(2026, 1, 5, 11), datetime(2026, 2, 5), None],
    }
)


def touch(**values: Any) -> dict[str, Any]:
    """The one touch of a customer on 5 January 2026, as `build_touchpoints` describes it."""
    row = {"customer_id": 1, "timestamp": datetime(2026, 1, 5, 10), "channel": "twitter", **values}
    rows = pl.LazyFrame([row], schema_overrides={"case_id": pl.String, "direction": pl.String})
    return build_touchpoints(rows, channels=CHANNELS, cases=CASES).collect().row(0, named=True)


@pytest.mark.parametrize(
    ("values", "treatment"),
    [
        ({}, True),
        ({"kind": "community"}, True),
        ({"kind": "marketing", "direction": "inbound"}, True),
        ({"view": True}, False),
        ({"kind": "care", "direction": "outbound"}, True),
        ({"kind": "care", "direction": "inbound", "case_id": "answered"}, True),
        ({"kind": "care", "direction": "inbound", "case_id": "ignored"}, False),
        ({"kind": "care", "direction": "inbound", "case_id": "unheard of"}, False),
        ({"kind": "care", "direction": "inbound"}, False),
        ({"kind": "care", "case_id": "answered"}, True),
        ({"kind": "care", "channel": "newsletter"}, True),
        ({"kind": "care", "direction": "outbound", "view": True}, False),
        ({"channel": "coupon"}, False),
    ],
)
def test_the_treatment_in_care_is_the_reply(values: dict[str, Any], treatment: bool) -> None:
    assert touch(**values)["treatment"] is treatment


@pytest.mark.parametrize(
    ("values", "replied"),
    [
        ({"direction": "inbound", "case_id": "answered"}, True),
        ({"direction": "inbound", "case_id": "ignored"}, False),
        ({"direction": "outbound", "case_id": "answered"}, None),
        ({"direction": "inbound"}, None),
    ],
)
def test_a_reply_is_known_for_inbound_touches_with_a_case(
    values: dict[str, Any], replied: bool | None
) -> None:
    assert touch(**values)["replied"] is replied


@pytest.mark.parametrize(("known_at", "replied"), [(date(2026, 2, 4), False), (date(2026, 2, 5), True)])
def test_a_later_reply_is_not_known_yet(known_at: date, replied: bool) -> None:
    row = {"customer_id": 1, "timestamp": datetime(2026, 1, 5), "channel": "twitter", "case_id": "late"}
    touches = build_touchpoints(pl.LazyFrame([row]), cases=CASES, known_at=known_at)
    assert touches.collect()["replied"].to_list() == [replied]


@pytest.mark.parametrize(
    ("values", "origin", "group"),
    [
        ({}, "customer", "social"),
        ({"direction": "outbound"}, "firm", "social"),
        ({"channel": "newsletter"}, "firm", "newsletter"),
        ({"channel": "newsletter", "direction": "inbound"}, "customer", "newsletter"),
        ({"channel": "phone"}, None, "phone"),
        ({"channel": "phone", "direction": "inbound"}, "customer", "phone"),
    ],
)
def test_origin_comes_from_the_direction_then_the_channel(
    values: dict[str, Any], origin: str | None, group: str
) -> None:
    described = touch(**values)
    assert (described["origin"], described["channel_group"]) == (origin, group)


def test_missing_columns_have_their_defaults() -> None:
    described = touch()
    assert (described["kind"], described["view"], described["date_only"]) == ("marketing", False, False)
    assert described["cost"] is None


def test_channels_without_credit_are_listed() -> None:
    assert uncredited_channels(CHANNELS) == ("coupon",)


def test_a_channel_is_directed_when_all_its_touches_are() -> None:
    rows = pl.LazyFrame(
        {"channel": ["a", "a", "b", "b"], "direction": ["inbound", "outbound", "inbound", None]}
    )
    assert channels_in_use(rows) == (("a", "b"), ("a",))
    assert channels_in_use(rows.drop("direction")) == (("a", "b"), ())
