"""Posts without a label are judged by a model of the labelled ones, where that is better than the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from care.learned import Comparison, NeedsReplyModel, learn_needs_reply
from care.settings import CareSettings
from care.words import needs_reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Posts of which more say whether they need a reply, the model that said so, and what to tell.

    Attributes
    ----------
    model
        Plain parameters with `held_out`, how model and rules fared; empty where the rules judge.
    """

    posts: pl.DataFrame
    model: dict[str, Any]
    note: str | None


def judge_posts(posts: pl.DataFrame, settings: CareSettings, *, seed: int = 0) -> Judged:
    """Fill `needs_reply` of customers' posts that have a text and no label, where labels teach it.

    Parameters
    ----------
    posts
        Linked posts: key, text, needs_reply, sentiment, is_customer.
    settings
        The rules, and whether anything may be learned.
    seed
        Of the choice of held-out customers.
    """
    spoken = pl.col("is_customer") & (pl.col("text").str.len_chars() > 0).fill_null(False)
    labelled = posts.filter(spoken, pl.col("needs_reply").is_not_null())
    unlabelled = posts.filter(spoken, pl.col("needs_reply").is_null()).height
    if not settings.needs_reply.learn or labelled.is_empty() or not unlabelled:
        return Judged(posts=posts, model={}, note=None)
    by_rule = needs_reply(settings.needs_reply, pl.col("text"), pl.col("sentiment")).alias("by_rule")
    model, compared = learn_needs_reply(labelled.select("key", "text", "needs_reply", by_rule), seed=seed)
    if compared is None:
        return Judged(posts=posts, model={}, note=None)
    note = _note(compared, labelled.height, unlabelled, used=model is not None)
    if model is None:
        return Judged(posts=posts, model={}, note=note)
    kept = model.to_dict() | {
        "held_out": {name: getattr(compared, name) for name in Comparison.__dataclass_fields__}
    }
    return Judged(posts=_filled(posts, spoken, model), model=kept, note=note)


def _filled(posts: pl.DataFrame, spoken: pl.Expr, model: NeedsReplyModel) -> pl.DataFrame:
    asked = posts.select(spoken & pl.col("needs_reply").is_null()).to_series()
    said = model.probabilities(posts.filter(asked)["text"].to_list()) >= 0.5
    return posts.with_columns(posts["needs_reply"].scatter(asked.arg_true(), said).alias("needs_reply"))


def _note(compared: Comparison, labels: int, others: int, *, used: bool) -> str:
    fared = (
        f"posts: {labels:,} posts of customers say whether they need a reply. On {compared.n:,} of them, "
        f"held out, a model of the words is right in {compared.model:.1%} and the rules in "
        f"{compared.rules:.1%} (it alone {compared.better:,} times, they alone {compared.worse:,} times"
    )
    if used:
        return f"{fared}: more than chance), so it judges the other {others:,}."
    return f"{fared}: not better by more than chance), so the rules judge the other {others:,}."
