"""Amounts are added: they are in one currency, and their sum is a whole number that can be held."""

from __future__ import annotations

import re

import polars as pl

from histories.errors import DataError
from histories.money import LARGEST_SUM, to_currency
from histories.reading.casts import text_value
from histories.reading.numbers import MARK
from histories.reading.schemas import Kind
from histories.reading.staging import RULE, Staged

LOOKED_AT = 1_000
_CODE = r"^[A-Za-z]{3}$"
_OF_MARK = {
    **{"£": "GBP EGP LBP SYP SDG GIP FKP", "¥": "JPY CNY", "￥": "JPY CNY", "円": "JPY", "元": "CNY TWD"},
    **{"₹": "INR", "₽": "RUB", "руб": "RUB BYN", "₺": "TRY", "TL": "TRY", "₩": "KRW", "₪": "ILS"},
    **{"฿": "THB", "₫": "VND", "₴": "UAH", "₦": "NGN", "₱": "PHP", "₡": "CRC", "₸": "KZT", "₮": "MNT"},
    **{"₵": "GHS", "Kč": "CZK", "Ft": "HUF", "zł": "PLN", "kr": "SEK NOK DKK ISK", "Fr": "CHF", "SFr": "CHF"},
    **{"Rs": "INR PKR LKR NPR MUR", "Rp": "IDR", "RM": "MYR", "лв": "BGN", "R$": "BRL", "NT$": "TWD"},
    **{"US$": "USD", "CA$": "CAD", "C$": "CAD NIO", "A$": "AUD", "AU$": "AUD", "NZ$": "NZD", "HK$": "HKD"},
    **{"S$": "SGD", "MX$": "MXN", "CN¥": "CNY", "JP¥": "JPY"},
}
"""The currencies that a sign or word beside an amount may stand for."""
_SIGNED = {
    *" ".join(_OF_MARK[sign] for sign in "£¥₹₽₺₩₪฿₫₴₦₸₮₵").split(),
    *["EUR", "CHF", "PLN", "CZK", "HUF", "SEK", "NOK", "DKK"],
}
"""Currencies beside whose amounts nobody writes a bare dollar sign."""


def check_currency(staged: Staged, currency: str | None, *, says: str = "configuration says") -> str | None:
    """The one currency of the table, else the configured one; `says` is who says that one.

    Raises
    ------
    DataError
        When the table has two, or another than the configuration names.
    """
    if "currency" not in staged.frame.collect_schema():
        return currency
    code = pl.col("currency")
    code = pl.when(code.str.contains(r"^[a-z]{3}$")).then(code.str.to_uppercase()).otherwise(code)
    counted = (
        staged.frame.filter(pl.col(RULE).is_null(), pl.col("currency").is_not_null())
        .group_by(code)
        .len()
        .sort("len", "currency", descending=[True, False])
        .collect()
    )
    if counted.height > 1:
        listed = ", ".join(f"{name} ({count} rows)" for name, count in counted.head(5).iter_rows())
        raise DataError(
            f"{staged.place}: {staged.table.name} has {counted.height} currencies: {listed}. "
            "Allowed: one. Convert the amounts to one currency, or run each on its own."
        )
    only = counted.item(0, "currency") if counted.height else currency
    if currency is not None and only != currency:
        raise DataError(
            f'{staged.place}: {staged.table.name} is in "{only}", but the {says} '
            f'currency = "{currency}". Correct one of them.'
        )
    return str(only) if only is not None else None


def refuse_unasked_currencies(staged: Staged, currency: str | None) -> None:
    """Refuse amounts of several currencies, in a column that nobody named or beside the amounts.

    Raises
    ------
    DataError
        With the currencies and their rows; where a code beside the amounts is not that of `currency`.
    """
    money = [name for name, column in staged.table.columns.items() if column.kind is Kind.MONEY]
    for part in staged.parts:
        amounts = [part.found[name] for name in (*money, "unit_price") if name in part.found]
        if "currency" in part.dtypes or not amounts:
            continue
        for name in part.unread:
            if "currency" in name.casefold():
                code = text_value(pl.col(name), pl.String())
                rows = part.kept.select(code.alias("code")).drop_nulls()
                if rows.select(pl.col("code").str.contains(_CODE).all()).collect().item():
                    codes = rows.select(pl.col("code").str.to_uppercase())
                    _refuse_several(staged, codes, name)
                    _refuse_another(staged, codes, name, currency)
        for amount in amounts:
            if part.scanned.schema[amount] == pl.String:
                mark = pl.col(amount).str.extract(f"({MARK})").replace("€", "EUR")
                marks = part.kept.select(mark.alias("code"))
                if marks.head(LOOKED_AT).select(pl.col("code").count()).collect().item():
                    _refuse_several(staged, marks.drop_nulls(), amount)
                    _refuse_another(staged, marks.drop_nulls(), amount, currency)


def _refuse_several(staged: Staged, codes: pl.LazyFrame, column: str) -> None:
    counted = codes.group_by("code").len().sort("len", "code", descending=[True, False]).collect()
    if counted.height < 2:
        return
    listed = ", ".join(f"{code} ({count} rows)" for code, count in counted.head(5).iter_rows())
    key = f"inputs.{staged.table.name}"
    said = f'{key}.constants = {{ currency = "{counted.item(0, "code")}" }}'
    said = f", or, where all amounts are in one, say so: {said}" if "currency" in staged.table.columns else ""
    raise DataError(
        f'{staged.place}: column "{column}" holds {counted.height} currencies: {listed}, and amounts are '
        f"added. Convert them to one currency, or choose rows by {key}.where{said}."
    )


def _refuse_another(staged: Staged, codes: pl.LazyFrame, column: str, currency: str | None) -> None:
    """Refuse code or sign of another currency than the table or the configuration names."""
    first = codes.head(1).collect()
    if currency is None or first.is_empty() or _may_be(first.item().rstrip("."), currency):
        return
    said = f'inputs.{staged.table.name}.constants = {{ currency = "{currency}" }}'
    said = f", or, where the amounts are in {currency} all the same, set {said}"
    raise DataError(
        f'{staged.place}: by column "{column}" amounts are in "{first.item()}", but the currency is '
        f'"{currency}". Correct one of them{said if "currency" in staged.table.columns else ""}.'
    )


def _may_be(mark: str, currency: str) -> bool:
    if mark == "$":
        return currency not in _SIGNED
    if re.fullmatch("[A-Z]{3}", mark):
        return mark == currency
    return mark not in _OF_MARK or currency in _OF_MARK[mark].split()


def refuse_sums_too_large(staged: Staged) -> None:
    """Refuse amounts whose sum the whole numbers that hold it would not.

    Raises
    ------
    DataError
        With the column and its sum.
    """
    money = [name for name, column in staged.table.columns.items() if column.kind is Kind.MONEY]
    there = [name for name in money if name in staged.frame.collect_schema()]
    sums = staged.frame.select(to_currency(pl.col(there).abs().cast(pl.Float64)).sum()).collect()
    for name in there:
        if (total := sums[name].item()) > LARGEST_SUM:
            raise DataError(
                f"{staged.place}: column {name} adds up to {total:.2g}; allowed: {LARGEST_SUM:.0e}. Give "
                "amounts in thousands of the currency where the table is made."
            )
