"""Replies that look like a robot's: one text that ends many waits, or one agent who answers at once.

Agents use macros, so a text that repeats is no proof: it counts as a human's, and the reader is asked.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import polars as pl

FEWEST: Final = 20
SHARE: Final = 0.3
"""Replies with one text, and their share of all replies to a customer, from which it is asked about."""
SOON_SECONDS: Final = 300
"""Half of them come sooner than this; macros of people take longer."""
AT_ONCE_SECONDS: Final = 10
AT_ONCE: Final = 0.8
"""Share of an agent's first answers within so few seconds from which it is asked about."""
_SHOWN: Final = 60


def repeated_reply_note(posts: pl.DataFrame) -> str | None:
    """What to ask about the commonest text of human replies; None where none stands out.

    `posts` are those of complete customers in the order of their cases: case, at, is_customer, human, text.
    """
    asked = pl.col("is_customer").shift(1).over("case").fill_null(False)
    waited = (pl.col("at") - pl.col("at").shift(1).over("case")).dt.total_seconds().alias("waited")
    replies = posts.with_columns(asked.alias("asked"), waited).filter("human", "asked")
    common = (
        replies.filter(pl.col("text").str.len_chars() > 0)
        .group_by("text")
        .agg(pl.len().alias("n"), pl.col("waited").median())
        .sort("n", "text", descending=[True, False])
        .head(1)
        .to_dicts()
    )
    if not common or common[0]["n"] < max(FEWEST, SHARE * replies.height):
        return None
    text, n, seconds = common[0]["text"], common[0]["n"], common[0]["waited"]
    if seconds > SOON_SECONDS:
        return None
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return (
        f"posts: {n:,} of {replies.height:,} replies to a customer say the same, half of them within "
        f'{seconds:.0f} seconds: "{shown}". They count as a human\'s. If a robot writes them, name them in '
        "[care] automatic_texts or automatic_authors; response times are too good until then."
    )


def sudden_agent_note(desk: pl.LazyFrame, robots: Collection[str]) -> str | None:
    """What to ask about agents of the desk's table who answer at once; None where none does.

    Whoever is one of the `robots` (names in lower case, without @) is known to be one. Nobody is named.
    """
    columns = desk.collect_schema().names()
    if "agent" not in columns:
        return None
    if "first_response_at" in columns:
        waited = (pl.col("first_response_at") - pl.col("opened_at")).dt.total_seconds()
    elif "first_response_minutes" in columns:
        waited = 60.0 * pl.col("first_response_minutes")
    else:
        return None
    name = pl.col("agent").cast(pl.String).str.strip_prefix("@").str.to_lowercase()
    answers = desk.select(name.alias("agent"), waited.alias("waited")).drop_nulls()
    agents = answers.group_by("agent").agg(
        pl.len().alias("n"), (pl.col("waited") <= AT_ONCE_SECONDS).mean().alias("share")
    )
    sudden = agents.filter(
        (pl.col("n") >= FEWEST) & (pl.col("share") >= AT_ONCE) & ~pl.col("agent").is_in(list(robots))
    ).collect()
    if sudden.is_empty():
        return None
    among, cases = agents.select(pl.len()).collect().item(), int(sudden["n"].sum())
    return (
        f"cases: {sudden.height} of {among} agents answer nearly always within {AT_ONCE_SECONDS} seconds "
        f"({cases:,} cases). They count as humans. If they are robots, name them in [care] "
        "automatic_authors; response times are too good until then."
    )
