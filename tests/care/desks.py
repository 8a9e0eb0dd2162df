"""The small desk of London whose figures are known by hand, and helpers to make others."""

from __future__ import annotations

import datetime as dt

import polars as pl

from care.cases import Cases, combine_cases
from care.conversations import build_conversations
from care.journeys import build_journeys
from care.settings import CareSettings, Hours, Promise
from care.threads import link_posts
from care.view import Desk

DESK_END = END = dt.datetime(2026, 3, 7, tzinfo=dt.UTC)
SETTINGS = CareSettings(
    hours=Hours(zone="Europe/London"), promises=(Promise(name="within the hour", within_minutes=60),)
)

_POSTS = """\
p1  u1   03-02T09:00:00 -   public  Where is my order?
p2  acme 03-02T09:00:05 p1  public  Thanks for your message!
p3  acme 03-02T09:20:00 p1  public  Sorry! Please send us a DM with your order number
p4  u1   03-02T09:35:00 -   private Order 77
p5  acme 03-02T09:50:00 p4  private It arrives today
p6  u2   03-02T10:00:00 -   public  Love the new boots!
p7  u3   03-02T16:50:00 -   public  Boots fell apart, third time!
p8  u4   03-02T17:20:00 -   public  Do you ship to Norway?
p9  acme 03-03T09:10:00 p8  public  We do
p10 u5   03-02T11:00:00 p1  public  same here, no parcel, why?
p11 acme 03-02T11:30:00 p10 public  Looking into it
p12 u1   03-05T12:00:00 -   public  Parcel still not here"""


def posts(text: str = _POSTS) -> pl.DataFrame:
    """Posts from lines of id, author, time of 2026 (UTC), parent or -, visibility, text."""
    rows = [line.split(maxsplit=5) for line in text.splitlines()]
    return pl.DataFrame(
        [
            {
                "post_id": post,
                "platform": "twitter",
                "author": author,
                "at": dt.datetime.fromisoformat(f"2026-{at}+00:00"),
                "in_reply_to": None if parent == "-" else parent,
                "visibility": visibility,
                "text": words,
                "is_brand": author in {"acme", "robot"},
            }
            for post, author, at, parent, visibility, words in rows
        ],
        schema_overrides={"in_reply_to": pl.String, "at": pl.Datetime("us", "UTC")},
    )


def cases_of(
    frame: pl.DataFrame | None, settings: CareSettings = SETTINGS, desk: pl.DataFrame | None = None
) -> Cases:
    """Cases of posts, of the desk's own table, or of both."""
    made = None if frame is None else build_conversations(link_posts(frame), settings)
    return combine_cases(made, desk, settings)


def desk_of(
    cases: Cases, settings: CareSettings = SETTINGS, *, end: dt.datetime = END, **more: object
) -> Desk:
    """A desk of London that is observed until `end`."""
    return Desk(
        journeys=build_journeys(cases, settings, end=end),
        settings=settings,
        columns=cases.columns,
        zone="Europe/London",
        **more,  # type: ignore[arg-type]
    )


def figure(frame: pl.DataFrame, kpi: str, clock: str | None = None, **cut: str) -> dict[str, object]:
    """The one row of a figure, of all matters unless a cut is named."""
    wanted = {"channel": "(all)", "team": "(all)", "segment": "(all)", "period": "(all)"} | cut
    found = frame.filter(
        pl.col("kpi") == kpi,
        *(pl.col(name) == value for name, value in wanted.items()),
        pl.col("clock").is_null() if clock is None else pl.col("clock") == clock,
    )
    assert found.height == 1, (kpi, clock, found.height)
    return found.row(0, named=True)
