"""Who is who: handles of a platform to customers, pseudonyms in place of customer ids, and their keys."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import os
import re
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from histories.errors import ConfigError
from histories.phones import with_country

KEY_VARIABLE = "TRIBUTARY_ID_KEY"
IDENTITY_KEY = "TRIBUTARY_IDENTITY_KEY"
"""Variables with the key of pseudonyms, and with that of handles' digests."""
SHORTEST_KEY = 16
PSEUDONYM_LENGTH = 32
SHA256 = re.compile("[0-9a-f]{64}")
EMAIL = ("email", "e-mail")
PHONES = ("phone", "telephone", "mobile", "sms", "whatsapp", "signal")
"""Platforms whose handles are addresses, and numbers."""
SHORTEST_NUMBER = 6
NOBODY = (
    *("[deleted]", "[removed]", "deleted", "deleted user", "anonymous", "anonym", "anonyme", "anónimo"),
    *("a google user", "guest", "unknown", "unknown user"),
)
"""Handles, in lower case, under which many write: an author of this name is nobody in particular."""


def pseudonym(customer_id: str | int, key: bytes) -> str:
    """Keyed pseudonym of a customer id: 32 hexadecimal digits of HMAC-SHA-256 (RFC 2104).

    A whole number and its canonical decimal have the same pseudonym.

    >>> pseudonym(17, b"0123456789abcdef") == pseudonym("17", b"0123456789abcdef")
    True
    """
    return hmac.digest(key, str(customer_id).encode(), "sha256").hex()[:PSEUDONYM_LENGTH]


def check_key(key: bytes | None, *, place: str = KEY_VARIABLE) -> None:
    """Refuse a key that could be guessed; `place` is where it stands.

    Raises
    ------
    ConfigError
        When the key is shorter than 16 bytes.
    """
    if key is not None and len(key) < SHORTEST_KEY:
        raise ConfigError(
            f"{place} has {len(key)} bytes; allowed: {SHORTEST_KEY} or more. "
            "Make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
        )


def identity_key(file: Path | None = None) -> bytes | None:
    """The key of handles' digests: that of `TRIBUTARY_IDENTITY_KEY`, or else of a file; None without either.

    Blanks around it do not count.

    Raises
    ------
    ConfigError
        When the file cannot be read, or the key could be guessed.
    """
    key, place = os.environ.get(IDENTITY_KEY, "").strip().encode(), IDENTITY_KEY
    if not key and file is not None:
        place = f'the key file "{file.name}"'
        try:
            key = file.read_bytes().strip()
        except OSError as error:
            raise ConfigError(
                f"{place} cannot be read ({error.strerror}). Make one with: "
                "python -c 'import secrets; print(secrets.token_hex(32))' > FILE"
            ) from error
    elif not key:
        return None
    check_key(key, place=place)
    return key


def key_check(key: bytes | None) -> str | None:
    """By what a bundle knows the key of its digests again, without holding it; None without a key."""
    return None if key is None else hmac.digest(key, b"key of identities", "sha256").hex()[:16]


def pseudonyms(column: str, key: bytes) -> pl.Expr:
    """The column with each id replaced by its pseudonym; null stays null."""

    def replace(ids: pl.Series) -> pl.Series:
        texts = ids.cast(pl.String)
        known = texts.drop_nulls().unique()
        hashed = pl.Series([pseudonym(text, key) for text in known], dtype=pl.String)
        return texts.replace_strict(known, hashed, default=None, return_dtype=pl.String)

    return pl.col(column).map_batches(replace, return_dtype=pl.String, is_elementwise=True)


def normal_platform(platform: pl.Expr | None = None) -> pl.Expr:
    """A platform in lower case; `phone` for whatever has numbers for handles, and `email`.

    >>> rows = pl.DataFrame({"platform": ["Forum", "WhatsApp", "E-Mail"]})
    >>> rows.select(normal_platform()).to_series().to_list()
    ['forum', 'phone', 'email']
    """
    where = (pl.col("platform") if platform is None else platform).str.to_lowercase()
    phone, address = where.is_in(PHONES), where.is_in(EMAIL)
    return pl.when(phone).then(pl.lit(PHONES[0])).when(address).then(pl.lit(EMAIL[0])).otherwise(where)


def normal_handle(handle: pl.Expr) -> pl.Expr:
    """A handle as platforms compare it: lower case, without a leading @; of the column `platform`.

    Of e-mail the SHA-256 of the address in lower case without spaces, or what is that already: advertisers
    exchange it. Of phones the digits, `00` as `+`, without `(0)`.

    >>> rows = pl.DataFrame({"platform": ["forum", "phone"], "handle": ["@Ada", "0044 (0)7700-900 123"]})
    >>> rows.select(normal_handle(pl.col("handle"))).to_series().to_list()
    ['ada', '+447700900123']
    """
    where = pl.col("platform").str.to_lowercase()
    name = handle.str.to_lowercase().str.strip_prefix("@")
    number = handle.str.replace_all(r"\(0\)|[^\d+]", "").str.replace(r"^00", "+")
    is_number = where.is_in(PHONES) & (number.str.len_chars() >= SHORTEST_NUMBER)
    address = pl.when(where.is_in(EMAIL)).then(name.str.strip_chars())
    hashed = address.map_batches(_hashed, return_dtype=pl.String, is_elementwise=True)
    return pl.when(is_number).then(number).otherwise(pl.coalesce(hashed, name))


def international_handle(country: str, handle: pl.Expr | None = None) -> pl.Expr:
    """Handles, of which numbers in the form of a country, such as ``GB``, are in the international one."""
    handles = pl.col("handle") if handle is None else handle
    return with_country(handles, pl.col("platform"), phones=PHONES, country=country)


def _hashed(addresses: pl.Series) -> pl.Series:
    """SHA-256 of each address; null stays null."""
    known = addresses.drop_nulls().unique()
    if known.is_empty():
        return addresses
    told = pl.Series([_sha256(text) for text in known], dtype=pl.String)
    return addresses.replace_strict(known, told, default=None, return_dtype=pl.String)


def _sha256(text: str) -> str:
    """The digest of a text; of what is a digest already, itself."""
    return text if SHA256.fullmatch(text) else hashlib.sha256(text.encode()).hexdigest()


def identity_digests(handles: pl.DataFrame, key: bytes) -> pl.Series:
    """Keyed digest of each handle: 32 hexadecimal digits of HMAC-SHA-256 of platform and normal handle.

    Parameters
    ----------
    handles
        platform, handle.
    key
        Of the digests.

    >>> rows = pl.DataFrame({"platform": ["Email", "email"], "handle": [" Ada@example.com",
    ...     hashlib.sha256(b"ada@example.com").hexdigest()]})
    >>> identity_digests(rows, b"0123456789abcdef").n_unique()
    1
    """
    normal = handles.select(normal_platform(), normal_handle(pl.col("handle")))
    digests = [
        hmac.digest(key, f"{platform}\0{handle}".encode(), "sha256").hex()[:PSEUDONYM_LENGTH]
        for platform, handle in normal.iter_rows()
    ]
    return pl.Series("digest", digests, dtype=pl.String)


def is_likely_only(columns: Iterable[str]) -> pl.Expr:
    """Rows of identities that link by likeness: they count in figures and name nobody."""
    return (pl.col("probability") < 1.0).fill_null(False) if "probability" in columns else pl.lit(False)


def identities_table(identities: pl.LazyFrame, key: bytes, on: dt.date) -> pl.DataFrame:
    """Who is behind each handle that one customer alone has: customer_id and the handle's keyed digest.

    Links by likeness, of a probability below 1, are left out, and so are those that do not hold `on` that
    day.
    """
    columns = identities.collect_schema().names()
    rows = (
        identities.filter(~is_likely_only(columns), valid_on(columns, on))
        .select("platform", "handle", "customer_id")
        .collect()
    )
    table = rows.select("customer_id", identity_digests(rows, key)).unique()
    return table.filter(pl.len().over("digest") == 1).sort("customer_id", "digest")


DATED = ("valid_from", "valid_to")
"""Columns of identities: the first and the last day on which a link holds."""
_EVER = dt.date(1, 1, 1), dt.date(9999, 12, 31)


def valid_on(columns: Iterable[str], day: pl.Expr | dt.date) -> pl.Expr:
    """Links that hold on a day; without dates they always do."""
    first, last = (pl.col(name) if name in columns else pl.lit(None, pl.Date) for name in DATED)
    when = pl.lit(day) if isinstance(day, dt.date) else day
    return (first <= when).fill_null(True) & (last >= when).fill_null(True)


def customers_of_handles(
    touches: pl.LazyFrame, identities: pl.LazyFrame, *, day: pl.Expr | None = None
) -> pl.LazyFrame:
    """Touches with `customer_id` filled from `identities` by platform and handle where it was null.

    Every touch is kept once; one whose handle is in no identity keeps a null customer, and so does one whose
    handle is that of several customers: `is_ambiguous` says so. Handles are compared as `normal_handle` says.
    Where identities have the days on which they hold, those of the touch's `day` count, by default that of
    `timestamp`.
    """
    keys = {"platform": normal_platform(), "handle": normal_handle(pl.col("handle"))}
    names = [f"key_{name}" for name in keys]
    keyed = [key.alias(f"key_{name}") for name, key in keys.items()]
    customer = pl.col("customer_of_handle")
    whose = (
        pl.when(customer.n_unique() == 1).then(customer.first()),
        (customer.n_unique() > 1).alias("has_several"),
    )
    columns = identities.collect_schema().names()
    dated = [name for name in DATED if name in columns]
    links = identities.select(*keyed, pl.col("customer_id").alias("customer_of_handle"), *dated)
    if dated:
        moment = pl.col("timestamp").dt.date() if day is None else day
        days = _by_day(links, names, dated)
        held = days.join(links, on=names, how="inner").filter(valid_on(dated, pl.col("day_of_link")))
        held = held.group_by(*names, "day_of_link").agg(*whose)
        every = days.join(held, on=[*names, "day_of_link"], how="left").sort("day_of_link")
        found = (
            touches.with_columns(*keyed, moment.fill_null(_EVER[0]).alias("day_of_touch"))
            .with_row_index("place_of_touch")
            .sort("day_of_touch")
            .join_asof(
                every, left_on="day_of_touch", right_on="day_of_link", by=names, check_sortedness=False
            )
            .sort("place_of_touch")
            .drop("place_of_touch", "day_of_touch", "day_of_link", strict=False)
        )
    else:
        found = touches.with_columns(*keyed).join(links.group_by(*names).agg(*whose), on=names, how="left")
    return found.with_columns(
        pl.coalesce("customer_id", "customer_of_handle"),
        (pl.col("customer_id").is_null() & pl.col("has_several").fill_null(False)).alias("is_ambiguous"),
    ).drop(*names, "customer_of_handle", "has_several")


def _by_day(links: pl.LazyFrame, names: list[str], dated: list[str]) -> pl.LazyFrame:
    """Each handle with the days from which on other links hold than before."""
    first = pl.col("valid_from") if "valid_from" in dated else pl.lit(None, pl.Date)
    bounds = [links.select(*names, first.fill_null(_EVER[0]).alias("day_of_link"))]
    if "valid_to" in dated:
        over = links.filter(pl.col("valid_to") < _EVER[1])
        bounds.append(over.select(*names, pl.col("valid_to").dt.offset_by("1d").alias("day_of_link")))
    return pl.concat(bounds).unique()
