"""Who is who: handles of a platform to customers, and pseudonyms in place of customer ids."""

from __future__ import annotations

import hmac

import polars as pl

from histories.errors import ConfigError

__all__ = ["KEY_VARIABLE", "customers_of_handles", "normal_handle", "pseudonym", "pseudonyms"]

KEY_VARIABLE = "TRIBUTARY_ID_KEY"
SHORTEST_KEY = 16
PSEUDONYM_LENGTH = 32


def pseudonym(customer_id: str | int, key: bytes) -> str:
    """Keyed pseudonym of a customer id: 32 hexadecimal digits of HMAC-SHA-256 (RFC 2104).

    A whole number and its canonical decimal have the same pseudonym.

    >>> pseudonym(17, b"0123456789abcdef") == pseudonym("17", b"0123456789abcdef")
    True
    """
    return hmac.digest(key, str(customer_id).encode(), "sha256").hex()[:PSEUDONYM_LENGTH]


def check_key(key: bytes | None) -> None:
    """Refuse a key that could be guessed.

    Raises
    ------
    ConfigError
        When the key is shorter than 16 bytes.
    """
    if key is not None and len(key) < SHORTEST_KEY:
        raise ConfigError(
            f"{KEY_VARIABLE} has {len(key)} bytes; allowed: {SHORTEST_KEY} or more. "
            "Make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
        )


def pseudonyms(column: str, key: bytes) -> pl.Expr:
    """The column with each id replaced by its pseudonym; null stays null."""

    def replace(ids: pl.Series) -> pl.Series:
        texts = ids.cast(pl.String)
        known = texts.drop_nulls().unique()
        hashed = pl.Series([pseudonym(text, key) for text in known], dtype=pl.String)
        return texts.replace_strict(known, hashed, default=None, return_dtype=pl.String)

    return pl.col(column).map_batches(replace, return_dtype=pl.String, is_elementwise=True)


def normal_handle(handle: pl.Expr) -> pl.Expr:
    """A handle as platforms compare it: lower case, without a leading @."""
    return handle.str.to_lowercase().str.strip_prefix("@")


def customers_of_handles(touches: pl.LazyFrame, identities: pl.LazyFrame) -> pl.LazyFrame:
    """Touches with `customer_id` filled from `identities` by platform and handle where it was null.

    Every touch is kept once; one whose handle is in no identity keeps a null customer, and so does one whose
    handle is that of several customers: `is_ambiguous` says so. Platforms and handles are compared without
    case and without a leading @.
    """
    keys = {"platform": pl.col("platform").str.to_lowercase(), "handle": normal_handle(pl.col("handle"))}
    customer = pl.col("customer_of_handle")
    known = (
        identities.select(
            *(key.alias(f"key_{name}") for name, key in keys.items()),
            pl.col("customer_id").alias("customer_of_handle"),
        )
        .group_by("key_platform", "key_handle")
        .agg(
            pl.when(customer.n_unique() == 1).then(customer.first()),
            (customer.n_unique() > 1).alias("has_several"),
        )
    )
    return (
        touches.with_columns(*(key.alias(f"key_{name}") for name, key in keys.items()))
        .join(known, on=["key_platform", "key_handle"], how="left")
        .with_columns(
            pl.coalesce("customer_id", "customer_of_handle"),
            (pl.col("customer_id").is_null() & pl.col("has_several").fill_null(False)).alias("is_ambiguous"),
        )
        .drop("key_platform", "key_handle", "customer_of_handle", "has_several")
    )
