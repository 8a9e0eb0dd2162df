r"""What customers say made them buy: reviews, friends, networks; joined to the orders that they speak of.

Rules are regular expressions of Rust's flavour, read without case (English, German, French, Spanish). What is
counted is what is said: who says nothing is not counted, so it is neither credit nor an effect.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any, Final

import polars as pl

from care.rows import care_frame, care_row
from care.words import matches
from histories.cuts import ALL
from histories.money import to_currency

WITHIN_DAYS: Final = 90
"""An order is spoken of for so many days."""

SOURCES: Final[Mapping[str, str]] = {
    "review": r"\breviews?\b|\bratings?\b|\bbewertung(?:en)?\b|\brezension(?:en)?\b|\btestbericht|\bavis\b|"
    r"\brese[ñn]as?\b|\bopiniones\b",
    "friend": r"\b(?:friends?|colleagues?|neighbou?rs?|sister|brother|mother|mum|mom|father|dad|wife|husband|"
    r"partner|daughter|cousin)\b|\bword of mouth\b|\bfreund(?:in|e|en|innen)?\b|\bkolleg(?:e|in|en|innen)\b|"
    r"\bbekannten?\b|\bnachbar(?:n|in)?\b|\bam(?:i|ie|is|ies)\b|\bcollègues?\b|\bbouche.à.oreille\b|"
    r"\bamig[oa]s?\b",
    "social network": r"\b(?:twitter|tweets?|instagram|insta|facebook|tiktok|youtube|reddit|pinterest|"
    r"linkedin|mastodon|bluesky|influencers?)\b",
    "advertisement": r"\b(?:ads?|adverts?|advertisements?|commercial|banner|newsletter|flyer)\b|\bwerbung\b|"
    r"\banzeige\b|\bpublicité\b|\banuncio\b",
    "search": r"\bgoogled?\b|\bsearch engine\b|\bsuchmaschine\b|\bmoteur de recherche\b|\bbuscador\b",
}
"""What is named, in the order in which one counts where a message names several."""

_BOUGHT: Final = (
    r"\b(?:bought|ordered|purchased|ordering|buying|went for|signed up|switched)\b",
    r"\b(?:gekauft|bestellt|acheté|commandé|compré|pedí|encargué)",
)
_BECAUSE: Final = (
    r"\b(?:because of|thanks to|saw|seen|read|found|heard|recommend\w*|recommendation|told me|suggested|"
    r"convinced|showed me|wegen|dank|empfohlen|empfehlung|gelesen|gesehen|gehört|grâce|recommandée?|"
    r"conseillée?|vue?|lue?s?|gracias a|recomend\w*|leí|vi)\b"
)
_APART: Final = r"[^.!?\n]{0,60}"


def named_in_posts(posts: pl.DataFrame) -> pl.DataFrame:
    """customer_id, at, reason: known customers' posts that name why they bought, in one sentence.

    Parameters
    ----------
    posts
        Linked posts: is_customer, customer_id, at (instant), text.
    """
    told = pl.coalesce(
        pl.when(
            matches(pl.col("text"), (f"{_BECAUSE}{_APART}(?:{source})", f"(?:{source}){_APART}{_BECAUSE}"))
        )
        .then(pl.lit(name))
        .otherwise(None)
        for name, source in SOURCES.items()
    )
    own = posts.filter("is_customer", pl.col("customer_id").is_not_null(), matches(pl.col("text"), _BOUGHT))
    return own.select("customer_id", "at", reason=told).drop_nulls("reason")


def named_in_cases(cases: pl.DataFrame) -> pl.DataFrame:
    """The same from a survey's answers in the column `purchase_reason`; what names no source is `other`.

    Parameters
    ----------
    cases
        customer_id, opened_at (instant), purchase_reason.
    """
    answered = cases.filter(
        pl.col("customer_id").is_not_null(), pl.col("purchase_reason").str.strip_chars().str.len_chars() > 0
    )
    named = (
        pl.when(matches(pl.col("purchase_reason"), (source,))).then(pl.lit(name)).otherwise(None)
        for name, source in SOURCES.items()
    )
    return answered.select("customer_id", at="opened_at", reason=pl.coalesce(*named, pl.lit("other")))


def named_orders(named: pl.DataFrame, purchases: pl.DataFrame) -> pl.DataFrame:
    """customer_id, reason, amount (minor units): each order once, by who first spoke of it.

    The order is the customer's latest before the day after, within 90 days.

    Parameters
    ----------
    named
        customer_id, at, reason.
    purchases
        customer_id, at (instant), amount (minor units).
    """
    until = named.with_columns(until=pl.col("at").dt.offset_by("1d")).sort("until", "reason")
    met = until.join_asof(
        purchases.with_columns(bought=pl.col("at")).drop("at").sort("bought"),
        left_on="until",
        right_on="bought",
        by="customer_id",
        strategy="backward",
        tolerance=dt.timedelta(days=WITHIN_DAYS + 1),
        check_sortedness=False,
    )
    found = met.drop_nulls("amount").unique(["customer_id", "bought"], keep="first", maintain_order=True)
    return found.select("customer_id", "reason", "amount")


def reason_figures(named: pl.DataFrame, purchases: pl.DataFrame | None) -> pl.DataFrame:
    """Rows `named_orders` and `named_revenue` (currency) by reason and in all; `n` counts customers.

    Parameters
    ----------
    named
        customer_id, at, reason.
    purchases
        customer_id, at, amount (minor units); None where none were given.
    """
    if named.is_empty() or purchases is None:
        return care_frame()
    return care_frame(_rows(named_orders(named, purchases)))


def _rows(orders: pl.DataFrame) -> Iterator[dict[str, Any]]:
    for reason in (ALL, *orders["reason"].unique().sort()):
        found = orders if reason == ALL else orders.filter(reason=reason)
        revenue = found.select(to_currency(pl.col("amount").sum())).item()
        for kpi, value, unit in (
            ("named_orders", float(found.height), "orders"),
            ("named_revenue", revenue, "currency"),
        ):
            segment, n = ALL if reason == ALL else f"reason: {reason}", found["customer_id"].n_unique()
            said = "what is said, by those who say it"
            yield care_row(kpi, "voice", segment=segment, value=value, n=n, unit=unit, reason=said)
