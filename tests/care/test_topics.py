"""Topics and their trend against shares counted by hand; a community of six against the same."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from care.community import community_figures
from care.settings import CareSettings
from care.threads import link_posts
from care.topics import topic_figures
from tests.care.desks import cases_of, desk_of, figure, posts

END = dt.datetime(2026, 4, 2, tzinfo=dt.UTC)


def _desk(months: dict[int, tuple[int, int]], product: str | None = None) -> pl.DataFrame:
    """Cases by month: so many about delivery, so many about billing."""
    topics = [
        (month, topic)
        for month, counts in months.items()
        for topic, n in zip(("delivery", "billing"), counts, strict=True)
        for _ in range(n)
    ]
    return pl.DataFrame(
        {
            "case_id": [f"{product}{place}" for place in range(len(topics))],
            "opened_at": [dt.datetime(2026, month, 10, 12, tzinfo=dt.UTC) for month, _ in topics],
            "topic": [topic for _, topic in topics],
        }
    ).with_columns(pl.lit("mail").alias("channel"), pl.lit(product).alias("product"))


def _figures(*frames: pl.DataFrame) -> pl.DataFrame:
    settings = CareSettings()
    return topic_figures(desk_of(cases_of(None, settings, pl.concat(frames)), settings, end=END))


def test_a_topic_has_its_share_in_all_and_by_month() -> None:
    found = _figures(_desk({2: (10, 30), 3: (30, 10)}))
    assert figure(found, "topic_share", segment="topic: delivery")["value"] == 0.5
    march = figure(found, "topic_share", segment="topic: delivery", period="2026-03")
    assert (march["value"], march["n"]) == (0.75, 40)


@pytest.mark.parametrize(("march", "reason"), [((30, 10), None), ((11, 29), "within chance")])
def test_a_trend_is_the_last_whole_month_against_those_before(
    march: tuple[int, int], reason: str | None
) -> None:
    found = _figures(_desk({2: (10, 30), 3: march, 4: (0, 5)}))
    trend = figure(found, "topic_trend", segment="topic: delivery", period="2026-03")
    assert trend["value"] == pytest.approx(march[0] / 40 - 0.25)
    assert trend["reason"] == reason


def test_products_are_told_by_topic_and_rare_topics_are_not_told() -> None:
    found = _figures(_desk({3: (6, 2)}, "boots"), _desk({3: (2, 6)}, "hats"), _desk({3: (0, 1)}, "rare"))
    boots = figure(found, "topic_share_of_product", segment="product: boots, topic: delivery")
    assert (boots["value"], boots["n"]) == (0.75, 8)
    assert not found["segment"].str.contains("rare").any()
    assert _figures(_desk({3: (4, 4)})).is_empty()


_FORUM = """\
a u1   03-02T09:00:00 - public How do I reset it?
b u2   03-02T10:00:00 a public Hold the button
c acme 03-02T11:00:00 a public As u2 says
d u3   03-03T09:00:00 - public Does it run on gas?
e u3   03-03T09:05:00 d public The big one I mean
f acme 03-03T10:00:00 d public It does
g u2   03-03T11:00:00 d public Mine does
h u4   03-04T09:00:00 - public Love it!
i u5   01-05T09:00:00 - public Where is my parcel?"""


def test_peers_answer_whom_they_answer_and_not_themselves() -> None:
    """Three asked: u1 a peer first, u3 a peer after the brand, u5 nobody. Posts of five: 1 2 2 1 1."""
    settings = CareSettings()
    found = community_figures(link_posts(posts(_FORUM)), settings, end=dt.datetime(2026, 3, 7, tzinfo=dt.UTC))
    assert figure(found, "members")["value"] == 5
    assert figure(found, "active_members")["value"] == 4
    assert figure(found, "peer_answered")["value"] == pytest.approx(2 / 3)
    assert figure(found, "peer_first")["value"] == pytest.approx(1 / 3)
    assert figure(found, "posts_gini")["value"] == pytest.approx(6 / 35)
    assert figure(found, "members", channel="twitter")["value"] == 5


def test_without_links_nobody_knows_whom_peers_answered() -> None:
    frame = posts(_FORUM).with_columns(pl.lit(None, dtype=pl.String).alias("in_reply_to"))
    found = community_figures(link_posts(frame), CareSettings(), end=dt.datetime(2026, 3, 7, tzinfo=dt.UTC))
    answered = figure(found, "peer_answered")
    assert (answered["value"], answered["reason"]) == (None, "needs in_reply_to, which no table gives")
