"""Who is who: handles of a platform to customers, and pseudonyms in place of customer ids."""

from __future__ import annotations

import hashlib
import hmac
import re

import polars as pl

from histories.errors import ConfigError

__all__ = [
    "KEY_VARIABLE",
    "customers_of_handles",
    "identities_table",
    "identity_digest",
    "normal_handle",
    "pseudonym",
    "pseudonyms",
]

KEY_VARIABLE = "TRIBUTARY_ID_KEY"
SHORTEST_KEY = 16
PSEUDONYM_LENGTH = 32
SHA256 = re.compile("[0-9a-f]{64}")


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


def identity_digest(platform: str, handle: str, key: bytes) -> str:
    """Keyed digest of a handle, 32 hexadecimal digits, as platforms compare it; e-mail by its SHA-256.

    An address of the platform "email" is taken in lower case without spaces around it, or as the SHA-256 of
    that, which advertisers exchange.

    >>> key = b"0123456789abcdef"
    >>> identity_digest("Forum", "@Ada", key) == identity_digest("forum", "ada", key)
    True
    >>> hashed = hashlib.sha256(b"ada@example.com").hexdigest()
    >>> identity_digest("email", " Ada@example.com", key) == identity_digest("email", hashed, key)
    True
    """
    where, name = platform.lower(), handle.lower().removeprefix("@")
    if where == "email":
        name = name.strip()
        if not SHA256.fullmatch(name):
            name = hashlib.sha256(name.encode()).hexdigest()
    return hmac.digest(key, f"{where}\0{name}".encode(), "sha256").hex()[:PSEUDONYM_LENGTH]


def identities_table(identities: pl.LazyFrame, key: bytes) -> pl.DataFrame:
    """Who is behind each handle that one customer alone has: customer_id and the handle's keyed digest."""
    rows = identities.select("platform", "handle", "customer_id").collect()
    digests = [
        identity_digest(platform, handle, key)
        for platform, handle in rows.select("platform", "handle").iter_rows()
    ]
    table = rows.select("customer_id", digest=pl.Series(digests, dtype=pl.String)).unique()
    return table.filter(pl.len().over("digest") == 1).sort("customer_id", "digest")


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
