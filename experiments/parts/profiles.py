"""What the input says of customers besides what was estimated: columns that audiences are chosen by."""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from clv.tables import CUSTOMERS_SCHEMA

MOST_TEXTS: Final = 256
FEW_TEXTS: Final = 20
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_ ]{0,63}")
_ALREADY: Final = frozenset({*CUSTOMERS_SCHEMA, "referred_by"})


def profiles_table(customers: pl.DataFrame) -> pl.DataFrame:
    """customer_id and the columns that sort customers into kinds: few texts, days, yes or no.

    A text column with many different values holds names or addresses rather than kinds, and stays out: at
    most 256 values, and at most one for each 20 customers (but always 20) are taken. So does one with a value
    of its own for each customer, or with an @ in it, however few they are.

    >>> mails = [f"{n}@example.org" for n in range(40)]
    >>> frame = pl.DataFrame({"customer_id": range(40), "region": ["n", "s"] * 20, "mail": mails})
    >>> profiles_table(frame).columns
    ['customer_id', 'region']
    """
    return customers.select("customer_id", *filter(_NAME.fullmatch, _kinds(customers)))


def unnamed_kinds(customers: pl.DataFrame) -> list[str]:
    """Columns that sort customers into kinds, but whose names no filter and no address can say.

    >>> unnamed_kinds(pl.DataFrame({"customer_id": [1, 2, 3], "Größe": ["S", "S", "L"]}))
    ['Größe']
    """
    return [name for name in _kinds(customers) if not _NAME.fullmatch(name)]


def _kinds(customers: pl.DataFrame) -> list[str]:
    most = min(MOST_TEXTS, max(FEW_TEXTS, customers.height // 20))
    return [
        series.name
        for series in customers.drop("customer_id")
        if series.name not in _ALREADY
        and (
            series.dtype in (pl.Date, pl.Boolean)
            or (series.dtype == pl.String and _sorts(series.drop_nulls(), most))
        )
    ]


def _sorts(texts: pl.Series, most: int) -> bool:
    """Whether texts sort customers into kinds rather than name them."""
    different = texts.n_unique()
    one_each = different == texts.len() > 1
    return different <= most and not one_each and not texts.str.contains("@", literal=True).any()
