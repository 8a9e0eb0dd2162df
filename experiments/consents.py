"""Consent by purpose: of an append-only list of what customers said, the latest entry counts.

The list is the company's, never rewritten here: whoever takes a consent back appends a row. Who is said
to consent from a day on that has not come does not consent yet; what is taken back counts at once. Each
purpose becomes a column of the profiles, `consent_marketing` for "marketing": true, false, or null where the
customer was never asked.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable

import polars as pl


def consent_column(purpose: str) -> str:
    """The column of a purpose; case and punctuation make no difference.

    >>> consent_column("E-mail marketing")
    'consent_e_mail_marketing'
    """
    return "consent_" + re.sub(r"\W+", "_", purpose.casefold()).strip("_")


def not_yet(entries: pl.DataFrame, now: dt.datetime | None = None) -> pl.DataFrame:
    """Entries that give consent from an instant on that has not come.

    Parameters
    ----------
    entries
        As `latest_consents` takes them.
    now
        An instant with its zone; this one without it.
    """
    kind = entries.schema["timestamp"]
    if not isinstance(kind, pl.Datetime):
        return entries.clear()
    at = pl.col("timestamp")
    moment = at.dt.convert_time_zone("UTC") if kind.time_zone else at.dt.replace_time_zone("UTC")
    return entries.filter(pl.col("given") & (moment > (now or dt.datetime.now(dt.UTC))))


def latest_consents(
    entries: pl.DataFrame, purposes: Iterable[str] = (), *, now: dt.datetime | None = None
) -> pl.DataFrame:
    """What each customer last said of each purpose.

    Of entries at the same instant one that takes consent back counts. One that gives it from a later instant
    on than `now` (this instant without it) does not count yet, else a slip of the year would outlive every
    withdrawal.

    Parameters
    ----------
    entries
        customer_id, purpose, given, timestamp; in any order.
    purposes
        Further purposes, of which nobody may have said anything.
    now
        With its zone.

    Returns
    -------
    DataFrame
        customer_id, and a flag for each purpose in the order of the alphabet; null: never asked.

    >>> entries = pl.DataFrame({"customer_id": [1, 1, 2], "purpose": ["Marketing", "marketing", "research"],
    ...     "given": [True, False, True], "timestamp": [1, 2, 1]})
    >>> latest_consents(entries).sort("customer_id").rows()
    [(1, False, None), (2, None, True)]
    """
    columns = {text: consent_column(text) for text in entries["purpose"].unique()}
    entries = entries.join(not_yet(entries, now), on=entries.columns, how="anti", nulls_equal=True)
    said = entries.with_columns(pl.col("purpose").replace_strict(columns, return_dtype=pl.String))
    last = (
        said.filter(pl.col("timestamp") == pl.col("timestamp").max().over("customer_id", "purpose"))
        .group_by("customer_id", "purpose")
        .agg(pl.col("given").all())
    )
    names = sorted({*columns.values(), *map(consent_column, purposes)})
    return last.group_by("customer_id").agg(
        pl.col("given").filter(pl.col("purpose") == name).first().alias(name) for name in names
    )


def with_consents(
    profiles: pl.DataFrame | None, consents: pl.DataFrame, *, over: bool = False
) -> pl.DataFrame:
    """Profiles with the columns of `latest_consents`, also of customers who have no profile yet.

    Columns of these names that profiles have go; with `over` they hold for whom `consents` say nothing of.
    """
    if profiles is None or profiles.is_empty():
        return consents.sort("customer_id")
    names = [name for name in consents.columns if name != "customer_id"]
    fresh = consents.with_columns(pl.col("customer_id").cast(profiles.schema["customer_id"]))
    held = profiles if over else profiles.drop(names, strict=False)
    joined = held.join(fresh, on="customer_id", how="full", coalesce=True, suffix=" (now)")
    both = [name for name in names if name in held.columns]
    return (
        joined.with_columns(pl.coalesce(f"{name} (now)", name).alias(name) for name in both)
        .drop(f"{name} (now)" for name in both)
        .sort("customer_id")
    )
