"""Where the input tables come from, who acts in a channel, and the limits of a run.

These are the parts of the configuration that the histories need.
"""

from __future__ import annotations

import codecs
import datetime as dt
import re
from collections.abc import Mapping
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, Field, field_serializer, field_validator, model_validator
from pydantic.dataclasses import dataclass

from histories.phones import COUNTRIES
from histories.reading.numbers import MoneyUnit, Unit

STRICT = ConfigDict(extra="forbid")
OTHERWISE = "*"
"""In `values`: every other word."""
Value = bool | int | float | str | dt.date
SECRETS = "passw|pwd|secret|token|credential|signature"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TableSource:
    """One input table: where it is and how to read it.

    Parameters
    ----------
    path
        A file, folder, glob, Delta table, object storage (``s3://...``) or database (``postgresql://...``,
        ``duckdb:///...``); relative to the configuration file.
        ``package:lifetimes/datasets/CDNOW_sample.txt`` is a file that a package ships.
    files
        Of a folder or pattern, the files to read, relative to the configuration file; by default all.
    format
        ``auto`` judges by the name: ``.csv``, ``.txt``, ``.tsv`` (also ``.gz``), ``.json``, ``.jsonl``,
        ``.ndjson`` (objects, one a line or in one list), ``.parquet``, a folder with ``_delta_log``,
        ``postgresql://``.
    separator
        One character, or ``whitespace`` for any run of blanks and tabs.
    has_header
        Without a header, ``columns`` gives positions; 1 is the first.
    timestamp_format
        Format of dates and times: strftime's letters, or ``epoch_s``, ``epoch_ms``, ``epoch_us`` for a count
        since 1970, ``excel`` for a count of days since 1899-12-30. ISO 8601 is read without it.
    timezone
        Zone of the source's local times; by default the company's.
    encoding
        Of a text file, e.g. ``windows-1252``. UTF-8 and UTF-16 are recognised.
    quote
        The mark around text that holds separators, or ``none``.
    skip_rows
        Lines before the header, or before the first row of a file without one.
    decimal, thousands
        The marks in numbers: a point, and none; after ``thousands = "."`` a comma.
    path_separator
        What stands between the channels of a path, in the table of paths.
    columns
        Our column names to theirs. A dotted name (``statistics.first_reply``) reaches into JSON. What stands
        in several columns is joined by blanks: ``{ timestamp = ["Date", "Time"] }``.
    constants
        Our column names to the one value that every row has, e.g. ``{ platform = "twitter" }``.
    values
        For a column of ours, words of the source and what they mean: ``{ csat = { good = 5, bad = 1 } }``;
        ``"*"`` is every other word: ``{ is_brand = { AcmeSupport = true, "*" = false } }``.
    negate
        Flags of ours that the source holds turned round, and amounts that it writes with the other sign.
    units
        For a length of time, the unit of the source's plain numbers:
        ``{ first_response_minutes = "hours" }``; for an amount, what it counts: ``{ amount = "cents" }``.
    zero_orders
        ``drop``: a purchase of net 0 is none. ``count``: it is one.
    amounts
        ``false`` for transactions without amounts: each is counted as a purchase, none has a value. ``order``
        where each line has the amount of its whole order: an order's further lines with it are set aside.
    query
        For a database: the query; by default the whole table of the same name.
    where
        Columns of the source to the words that a row must have in them to be read:
        ``{ Status = ["Paid", "Shipped"] }``; ``""`` is an empty field. Other rows are set aside and counted.
    records
        Of JSON: the list that holds the rows, where an object stands around it, e.g. ``orders``; dotted
        (``data.items``) where it lies deeper.
    """

    path: str = Field(repr=False)
    files: tuple[str, ...] = ()
    format: Literal["auto", "csv", "json", "parquet", "delta", "postgresql"] = "auto"
    separator: str = ","
    has_header: bool = True
    timestamp_format: str | None = None
    timezone: str | None = None
    encoding: str | None = None
    quote: str = '"'
    skip_rows: Annotated[int, Field(ge=0)] = 0
    decimal: Literal[".", ","] | None = None
    thousands: Literal[".", ",", " ", "'", "’", "_"] | None = None
    path_separator: Annotated[str, Field(min_length=1)] = ">"
    columns: Mapping[str, str | int | tuple[str | int, ...]] | None = None
    constants: dict[str, Value] = Field(default_factory=dict)
    values: dict[str, dict[str, Value]] = Field(default_factory=dict)
    negate: tuple[str, ...] = ()
    units: dict[str, Unit | MoneyUnit] = Field(default_factory=dict)
    zero_orders: Literal["drop", "count"] = "drop"
    amounts: bool | Literal["order"] = True
    query: str | None = None
    where: dict[str, tuple[Value, ...]] = Field(default_factory=dict)
    records: str | None = None

    def __post_init__(self) -> None:
        """Without amounts every one is 0, and counts."""
        if not self.amounts:
            object.__setattr__(self, "constants", {"amount": 0} | self.constants)
            object.__setattr__(self, "zero_orders", "count")

    @field_validator("where", mode="before")
    @classmethod
    def _one_or_several(cls, where: object) -> object:
        if not isinstance(where, dict):
            return where
        several = {
            name: words if isinstance(words, list | tuple) else [words] for name, words in where.items()
        }
        for name, words in several.items():
            if not words or any(isinstance(word, dict | list) for word in words):
                raise ValueError(f'{name}: name the words that a row may have, e.g. ["paid"]')
        return several

    @field_validator("separator")
    @classmethod
    def _one_character(cls, separator: str) -> str:
        if separator != "whitespace" and len(separator.encode()) != 1:
            raise ValueError(f'separator is "{separator}"; allowed: one character, or "whitespace"')
        return separator

    @field_validator("path")
    @classmethod
    def _readable(cls, path: str) -> str:
        if not path.strip() or not path.isprintable():
            raise ValueError("allowed: a path on one line, without control characters")
        return path

    @field_validator("quote")
    @classmethod
    def _one_mark(cls, quote: str) -> str:
        if quote != "none" and len(quote.encode()) != 1:
            raise ValueError(f'quote is "{quote}"; allowed: one character, or "none"')
        return quote

    @field_validator("timezone")
    @classmethod
    def _zone_is_known(cls, timezone: str | None) -> str | None:
        try:
            return timezone if timezone is None else ZoneInfo(timezone).key
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("not a time zone name such as Europe/London") from error

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, encoding: str | None) -> str | None:
        try:
            return encoding if encoding is None else codecs.lookup(encoding).name
        except LookupError as error:
            raise ValueError(
                'no encoding; allowed are names such as "windows-1252" or "iso-8859-2"'
            ) from error

    @model_validator(mode="after")
    def _marks_differ(self) -> TableSource:
        if self.thousands is not None and self.thousands == self.decimal:
            raise ValueError(f'decimal and thousands are both "{self.decimal}"')
        return self

    @field_serializer("path")
    def _shown(self, path: str) -> str:
        return without_password(path)


def without_password(text: str) -> str:
    """A text to be shown: what may be a user or a password in an address is masked, wherever it stands.

    Before the host everything up to the last @ goes, in the query every value, and so does what follows a
    word such as password in a connection string.

    >>> without_password("postgresql://ann:sec@ret@host/shop?sslmode=require&password=secret")
    'postgresql://...@host/shop?sslmode=...&password=...'
    >>> without_password("host=db password=secret")
    'host=db password=...'
    """
    hidden = re.sub(r"://[^\n]*@", "://...@", text)
    hidden = re.sub(
        r"(://[^\s?#]*)([?#]\S*)", lambda found: found[1] + re.sub(r"=[^&;\s]*", "=...", found[2]), hidden
    )
    return re.sub(rf"(?i)(\b\w*(?:{SECRETS})\w*\s*=\s*)('[^']*'|\"[^\"]*\"|[^\s&;]+)", r"\1...", hidden)


def as_text(value: Value) -> str:
    """A value of the configuration as a text file would hold it.

    >>> as_text(True), as_text(5), as_text(dt.date(2026, 7, 1))
    ('true', '5', '2026-07-01')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Channel:
    """What is known of a channel beforehand.

    Parameters
    ----------
    group
        Channels with the same group share a subtotal; by default a channel is its own group.
    origin
        Who acts: the ``customer`` (proof of life) or the ``firm`` (only exposure).
    credited
        ``false`` for contacts that happen with the purchase itself, such as a redeemed coupon: they stay in
        the history and earn no credit.
    """

    group: str | None = None
    origin: Literal["customer", "firm"] | None = None
    credited: bool = True


@dataclass(frozen=True, kw_only=True, config=STRICT)
class IdentityLinks:
    """Which links of handles to customers count.

    Parameters
    ----------
    min_probability
        Links with a `probability` below this are set aside, 0 to 1.
    country
        Two letters, e.g. "GB": phone numbers without a country's code are of it, and meet international ones.
        By default such numbers meet only those that are written alike.
    key_file
        File with the secret under which bundles hold handles as digests, 16 bytes or more, where
        `TRIBUTARY_IDENTITY_KEY` does not say it. Without either a bundle holds no handles at all, and the
        service finds nobody by them.
    """

    min_probability: float = Field(default=0.95, ge=0.0, le=1.0)
    country: str | None = None
    key_file: str | None = None

    @field_validator("country")
    @classmethod
    def _country_is_known(cls, country: str | None) -> str | None:
        if country is not None and country not in COUNTRIES:
            raise ValueError("allowed: two capital letters of a country (ISO 3166), e.g. GB")
        return country


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Limits:
    """When a run stops, and how much memory it may plan with.

    Parameters
    ----------
    max_rejected_share
        Largest share of rejected rows in a table, 0 to 1.
    memory
        A number with KB, MB, GB or TB.
    """

    max_rejected_share: float = 0.01
    memory: str = "2GB"

    @field_validator("max_rejected_share")
    @classmethod
    def _share(cls, share: float) -> float:
        if not 0 <= share <= 1:
            raise ValueError(f"max_rejected_share is {share}; allowed: 0 to 1")
        return share

    @field_validator("memory")
    @classmethod
    def _memory(cls, memory: str) -> str:
        memory_bytes(memory)
        return memory

    @property
    def bytes(self) -> int:
        """Memory in bytes."""
        return memory_bytes(self.memory)


def memory_bytes(memory: str) -> int:
    """Bytes of a text such as ``2GB``.

    >>> memory_bytes("1.5 KB")
    1536
    """
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d+)?)\s*([KMGT])i?B\s*", memory, flags=re.IGNORECASE)
    size = int(float(match[1]) * 1024 ** (1 + "KMGT".index(match[2].upper()))) if match else 0
    if size == 0:
        raise ValueError(
            f'memory is "{memory}"; allowed: a number with KB, MB, GB or TB, above 0, e.g. "2GB"'
        )
    return size
