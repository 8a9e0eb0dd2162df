"""What customers wrote, in their own words: a few messages chosen by rule, in the words that many use.

A word that fewer than five customers used is left out, whatever it is: names, numbers and addresses are such
words in every language, and so is whatever else would tell one writer from the others.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import polars as pl

FEWEST: Final = 5
MOST: Final = 10
SHORTEST: Final = 40
LONGEST: Final = 240
_LEFT_OUT_AT_MOST: Final = 0.2
_LOOKED_AT: Final = 500
"""Messages of a topic that are looked at, the latest first."""

RULE: Final = (
    f"of each topic in turn, the commonest first, the latest public message of {SHORTEST} to {LONGEST} "
    f"characters by a customer who is not quoted yet. Words that fewer than {FEWEST} customers used are left "
    "out, as […]"
)
"""How they are chosen, for those who read them."""

QUOTES_SCHEMA: Final[dict[str, pl.DataType]] = {
    "customer_id": pl.Int64(),
    "topic": pl.String(),
    "month": pl.String(),
    "text": pl.String(),
}

_GAP: Final = "[…]"
_TELLING: Final = r"(?i)https?://\S+|www\.\S+|\S+@\S+|@\w+|[\w#+./-]*\d[\w./-]*"
"""Addresses, handles and whatever holds a digit."""
_WORD: Final = r"\p{L}[\p{L}\p{M}]*(?:['’-]\p{L}[\p{L}\p{M}]*)*"
_PYTHON_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_GAPS: Final = re.compile(rf"{re.escape(_GAP)}(?:[\s,;:/-]*{re.escape(_GAP)})+")


def choose_quotes(posts: pl.DataFrame) -> pl.DataFrame:
    """Up to ten quotes, as `QUOTES_SCHEMA`; of known customers alone, whom an erasure can reach.

    Parameters
    ----------
    posts
        Linked posts: is_customer, customer_id, at (instant), text, topic, visibility.

    Returns
    -------
    DataFrame
        One row per quote, in the order in which they were chosen.
    """
    if "customer_id" not in posts.columns:
        return pl.DataFrame(schema=QUOTES_SCHEMA)
    own = posts.filter(
        pl.col("is_customer"),
        pl.col("customer_id").is_not_null(),
        (pl.col("visibility").str.to_lowercase() != "private").fill_null(True),
    ).select("customer_id", "topic", "at", text=pl.col("text").str.replace_all(r"\s+", " ").str.strip_chars())
    own = own.with_columns(pl.col("text").str.replace_all(_TELLING, _GAP))
    common = _common_words(own)
    long = pl.col("text").str.len_chars().is_between(SHORTEST, LONGEST)
    fit = own.filter(long, pl.col("topic").is_not_null())
    topics = fit.group_by("topic").agg(n=pl.col("customer_id").n_unique())
    ranked = topics.sort("n", "topic", descending=[True, False])["topic"]
    latest = fit.sort("at", "customer_id", "text", descending=[True, False, False])
    queues = deque(_candidates(latest.filter(topic=topic).head(_LOOKED_AT), common) for topic in ranked)
    chosen: list[dict[str, Any]] = []
    customers: set[Any] = set()
    texts: set[str] = set()
    while queues and len(chosen) < MOST:
        queue = queues.popleft()
        for quote in queue:
            if quote["customer_id"] not in customers and quote["text"].lower() not in texts:
                chosen.append(quote)
                customers.add(quote["customer_id"])
                texts.add(quote["text"].lower())
                queues.append(queue)
                break
    return pl.DataFrame(chosen, schema={**QUOTES_SCHEMA, "customer_id": own.schema["customer_id"]})


def _common_words(own: pl.DataFrame) -> frozenset[str]:
    """Words, in lower case, that enough customers used."""
    words = own.select("customer_id", word=pl.col("text").str.to_lowercase().str.extract_all(_WORD))
    counted = words.explode("word", empty_as_null=False).unique().group_by("word").len()
    return frozenset(counted.filter(pl.col("len") >= FEWEST)["word"].to_list())


def _candidates(messages: pl.DataFrame, common: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Messages with their telling words left out, of those in which few are."""
    for row in messages.iter_rows(named=True):
        words = _PYTHON_WORD.findall(row["text"])
        gaps = row["text"].count(_GAP) + sum(word.lower() not in common for word in words)
        if gaps > _LEFT_OUT_AT_MOST * (len(words) + row["text"].count(_GAP)):
            continue
        said = _PYTHON_WORD.sub(lambda word: word[0] if word[0].lower() in common else _GAP, row["text"])
        month = f"{row['at']:%Y-%m}"
        text = _GAPS.sub(_GAP, said)
        yield {"customer_id": row["customer_id"], "topic": row["topic"], "month": month, "text": text}
