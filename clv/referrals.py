"""What customers brought by recommending: the value of those who would not have come otherwise.

    referral_value = sum over referred of (1 - s) x total_value + s x acquisition cost that was saved

with s the share who would have come anyway (Kumar, Petersen & Leone 2007; Kumar et al. 2010): an assumption,
and no estimate. A referred customer's value is the customer's own as well, so it ranks and never adds up.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from histories.money import MONEY_SCALE

ENGAGEMENT_SCHEMA: Final[dict[str, pl.DataType]] = {
    "customer_id": pl.Int64(),
    "customer_lifetime_value": pl.Float64(),  # currency; null where the customer never bought
    "referred": pl.Int64(),  # customers who came by this one
    "referral_value": pl.Float64(),  # currency; see clv/referrals.py. Null without the assumption
    "referral_value_low": pl.Float64(),
    "referral_value_high": pl.Float64(),
    "posts": pl.Int64(),
    "followers": pl.Int64(),
    "answers": pl.Int64(),  # to other customers
    "knowledge_value": pl.Float64(),  # currency; see experiments/parts/engagement.py. Null without a price
    "knowledge_value_low": pl.Float64(),
    "knowledge_value_high": pl.Float64(),
    "audience_index": pl.Float64(),  # 0 to 100, never money; see care/audience.py
    "rank_by_value": pl.Int64(),  # 1 is the highest lifetime value
    "rank_engaged": pl.Int64(),  # of lifetime, referral and knowledge value together
}


REFERRAL_COLUMNS: Final = ("referred", "referral_value", "referral_value_low", "referral_value_high")


def referral_values(
    people: pl.DataFrame, customers: pl.DataFrame, *, anyway: tuple[float, float, float]
) -> pl.DataFrame:
    """customer_id of everybody who referred somebody, how many, and their value in currency with its range.

    Referrals of oneself, by nobody who is known, and by someone who came no earlier are left out, so that
    none goes round in a circle.

    Parameters
    ----------
    people
        customer_id, referred_by; acquired_at and acquisition_cost (minor units) if known.
    customers
        customer_id, first_purchase, total_value.
    anyway
        Share who would have come anyway: as assumed, lowest, highest.

    >>> people = pl.DataFrame({"customer_id": [1, 2, 3], "referred_by": [None, 1, 1]})
    >>> worth = pl.DataFrame({"customer_id": [1, 2, 3], "first_purchase": [1, 2, 3],
    ...                       "total_value": [9.0, 40.0, 60.0]})
    >>> referral_values(people, worth, anyway=(0.5, 0.25, 0.75)).row(0)
    (1, 2, 50.0, 25.0, 75.0)
    """
    worth = customers.select("customer_id", "first_purchase", "total_value")
    dates = [name for name in ("acquired_at", "first_purchase") if name in {*people.columns, *worth.columns}]
    known = people.join(worth, on="customer_id", how="left").with_columns(pl.coalesce(dates).alias("came"))
    saved = _mean_cost(people)
    met = known.filter(pl.col("referred_by").is_not_null()).join(
        known.select(referred_by="customer_id", by_came="came"), on="referred_by", how="inner"
    )
    met = met.filter((pl.col("by_came") < pl.col("came")).fill_null(False))
    value = pl.col("total_value").fill_null(0.0)
    ends = {
        name: ((1.0 - share) * value + share * saved).sum()
        for name, share in zip(REFERRAL_COLUMNS[1:], (anyway[0], anyway[2], anyway[1]), strict=True)
    }
    return (
        met.group_by(pl.col("referred_by").alias("customer_id"))
        .agg(pl.len().cast(pl.Int64).alias("referred"), **ends)
        .sort("customer_id")
    )


def _mean_cost(people: pl.DataFrame) -> float:
    """What winning a customer cost who was not referred; 0 where nobody knows."""
    if "acquisition_cost" not in people.columns:
        return 0.0
    paid = people.filter(pl.col("referred_by").is_null())["acquisition_cost"].drop_nulls()
    return float(paid.mean() or 0.0) / MONEY_SCALE  # type: ignore[arg-type]
