"""Prepare the tables of IBM's Twitter customer care set for `examples/ibm_twitter_care.toml`.

    python docs/prepare/ibm_twitter_care.py FOLDER OUT

FOLDER holds the data set as Parquet files (`conversations`, `messages`); OUT receives

- posts: every message, and the agent's last reply, which the set keeps apart: it came `duration_s` seconds
  after the conversation began. Where that duration cannot be read, the reply has no time and is no post.
- cases: one a conversation, with its company as brand; all of them were answered.

What the set cannot show: every conversation was chosen because it was answered; the customers' texts are
absent; durations wrap at a day.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl


def prepare_posts(conversations: pl.DataFrame, messages: pl.DataFrame) -> pl.DataFrame:
    """All messages, and the last replies whose time is known."""
    company = conversations.select("conversation_id", "company")
    written = messages.join(company, on="conversation_id", how="left", maintain_order="left").select(
        pl.format("{}-{}", "conversation_id", "turn").alias("post_id"),
        "conversation_id",
        pl.col("author_id").alias("author"),
        pl.col("created_at").alias("timestamp"),
        (pl.col("role") == "agent").alias("is_brand"),
        "text",
    )
    replies = conversations.filter(pl.col("duration_s").is_not_null()).select(
        pl.format("{}-last", "conversation_id").alias("post_id"),
        "conversation_id",
        pl.col("company").alias("author"),
        (pl.col("started_at") + pl.duration(milliseconds=pl.col("duration_s") * 1000)).alias("timestamp"),
        pl.lit(True).alias("is_brand"),
        pl.col("final_agent_text").alias("text"),
    )
    return pl.concat([written, replies])


def prepare_cases(conversations: pl.DataFrame) -> pl.DataFrame:
    """One case a conversation."""
    return conversations.select(
        pl.col("conversation_id").alias("case_id"),
        pl.col("started_at").alias("opened_at"),
        pl.col("company").alias("brand"),
        pl.lit(True).alias("answered"),
    )


def main() -> None:
    """Read FOLDER, write OUT."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    conversations, messages = (
        pl.read_parquet(arguments.folder / f"{name}.parquet") for name in ("conversations", "messages")
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    prepare_posts(conversations, messages).write_parquet(arguments.out / "posts.parquet")
    prepare_cases(conversations).write_parquet(arguments.out / "cases.parquet")


if __name__ == "__main__":
    main()
