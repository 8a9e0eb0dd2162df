"""Read numbers as people and spreadsheets write them; what could be read in two ways is not read.

Numbers, and lengths of time as desks export them: numbers of some unit, `1:02:03`, `2 h 5 min`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

SIGNS = "£$€¥￥₹₽₺₩₪฿₫₴₦₱₡₸₮₵"
"""Currency signs that may stand before or after an amount, some with letters before them (US$, R$)."""
CODES = (
    "AED ALL AMD ARS AUD AZN BAM BDT BGN BHD BIF BND BOB BRL BWP BYN CAD CDF CHF CLP CNY COP CRC CZK "
    "DKK DOP DZD EGP ETB EUR GBP GEL GHS GTQ HKD HNL HRK HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES "
    "KHR KRW KWD KZT LAK LBP LKR LYD MAD MDL MKD MMK MNT MOP MUR MXN MYR MZN NAD NGN NIO NOK NPR NZD "
    "OMR PAB PEN PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SEK SGD THB TND TRY TTD TWD TZS UAH UGX USD "
    "UYU UZS VES VND XAF XOF YER ZAR ZMW"
)
"""Codes (ISO 4217) that may stand there too."""
WORDS = (
    "Kč",
    "Ft",
    "zł",
    "kr.",
    "kr",
    "SFr.",
    "Fr.",
    "Rs.",
    "Rs",
    "Rp",
    "RM",
    "TL",
    "руб.",
    "руб",
    "лв.",
    "лв",
    "円",
    "元",
)
"""And what people write instead."""
MARK = rf"(?:[A-Z]{{0,2}}[{SIGNS}]|{CODES.replace(' ', '|')}|{'|'.join(map(re.escape, WORDS))})"
"""One of them, as a regular expression."""
SPACES = "\u00a0\u202f\u2009"
"""Spaces that do not break, with which French and Swiss programs group digits."""
MINUS = "\u2212\u2013"
ZEROS = "\u0660\u06f0\u0966\u09e6\u0e50\uff10"
"""The zeros of Arabic, Persian, Devanagari, Bengali, Thai and full-width digits; the nine others follow."""
OTHER_DIGITS = {chr(ord(zero) + digit): str(digit) for zero in ZEROS for digit in range(10)}


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberOptions:
    """The marks in a source's numbers: `thousands` None when digits are not grouped."""

    decimal: str = "."
    thousands: str | None = None

    @property
    def pattern(self) -> str:
        """A whole or decimal number whose groups, where there are any, are complete."""
        decimal = re.escape(self.decimal)
        plain = rf"\d+(?:{decimal}\d*)?|{decimal}\d+"
        if self.thousands is None:
            return rf"^[+-]?(?:{plain})(?:[eE][+-]?\d+)?$"
        group = f"[ {SPACES}]" if self.thousands == " " else re.escape(self.thousands)
        grouped = rf"\d{{1,3}}(?:{group}\d{{2,3}})*{group}\d{{3}}(?:{decimal}\d*)?"
        return rf"^[+-]?(?:{grouped}|{plain})$"


def numbers(text: pl.Expr, options: NumberOptions) -> pl.Expr:
    """Float64 of texts; null where a text is no number.

    Plain numbers are read at once; of the others, amounts with one currency sign, in parentheses or with
    the minus behind (both negative, as accountants write them) are read, with the source's marks.

    >>> texts = pl.lit(pl.Series(["1.350,00 €", "(12,5)", "1.35"]))
    >>> pl.select(numbers(texts, NumberOptions(decimal=",", thousands="."))).to_series().to_list()
    [1350.0, -12.5, None]
    """
    return text.map_batches(
        lambda found: _numbers(found, options), return_dtype=pl.Float64, is_elementwise=True
    )


def _numbers(text: pl.Series, options: NumberOptions) -> pl.Series:
    is_plain = options.decimal == "." and options.thousands is None
    read = (
        text.cast(pl.Float64, strict=False)
        if is_plain
        else pl.repeat(None, len(text), dtype=pl.Float64, eager=True)
    )
    unread = read.is_null() & text.is_not_null()
    if not unread.any():
        return read
    places = unread.arg_true()
    return read.scatter(places, _written(text.gather(places), options))


def _written(text: pl.Series, options: NumberOptions) -> pl.Series:
    found = western(pl.col("text"), options.decimal)
    bare = found.str.replace_all(f"[{MINUS}]", "-").str.strip_chars(f" \t{SPACES}")
    in_brackets = bare.str.contains(r"^\(.*\)$")
    bare = bare.str.strip_chars("()")
    behind = bare.str.contains(r"\d\s*-$")
    bare = pl.when(behind).then(bare.str.strip_chars_end(f"- {SPACES}")).otherwise(bare)
    sign = rf"^([+-]?)[{SPACES} ]*{MARK}[{SPACES} ]*|[{SPACES} ]*{MARK}$"
    bare = bare.str.replace(sign, "${1}").str.strip_chars(f" {SPACES}")
    fits = bare.str.contains(options.pattern)
    plain = bare
    if options.thousands is not None:
        group = f"[ {SPACES}]" if options.thousands == " " else re.escape(options.thousands)
        plain = plain.str.replace_all(group, "")
    plain = plain.str.replace(options.decimal, ".", literal=True)
    value = pl.when(fits).then(plain).cast(pl.Float64, strict=False)
    turned = pl.when(in_brackets | behind).then(-value.abs()).otherwise(value)
    return pl.DataFrame({"text": text}).select(turned).to_series()


def western(text: pl.Expr, decimal: str = ".") -> pl.Expr:
    """Texts with the digits 0 to 9 for those of other scripts, and Arabic's own marks in numbers as ours.

    >>> pl.select(western(pl.lit("٢٧٫٥"))).item()
    '27.5'
    """
    marks = {"\u066b": decimal, "\u066c": ""}
    return text.str.replace_many(OTHER_DIGITS | marks)


def why_unreadable(value: str, options: NumberOptions, key: str) -> str:
    """What to set, or to change in the file, so that a number like this one can be read.

    >>> why_unreadable("1.350,00", NumberOptions(), "inputs.costs")
    'If that is a decimal comma, set inputs.costs.decimal = "," and inputs.costs.thousands = ".".'
    """
    around = f" ()+-{SPACES}{MINUS}"
    digits = re.sub(f"^{MARK}|{MARK}$", "", value.strip(around)).strip(around)
    if "%" in value:
        return "A percentage is not read: have shares written as fractions, .45 and not 45 %."
    if re.fullmatch(r"[A-Z]{3} ?[\d.,]+|[\d.,]+ ?[A-Z]{3}", digits):
        return (
            f"Of codes beside an amount those of ISO 4217 are read; {digits.strip('0123456789., ')} is none."
        )
    if re.fullmatch(rf"\d{{1,3}}(?:[ {SPACES}]\d{{3}})+([.,]\d+)?", digits):
        also = f' and {key}.decimal = ","' if "," in digits and options.decimal != "," else ""
        return f'If spaces group the digits, set {key}.thousands = " "{also}.'
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})*,\d+", digits) and options.decimal != ",":
        also = f' and {key}.thousands = "."' if "." in digits else ""
        return f'If that is a decimal comma, set {key}.decimal = ","{also}.'
    if re.fullmatch(r"\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)?", digits) and options.thousands != ",":
        return f'If commas group the digits, set {key}.thousands = ",".'
    if re.fullmatch(r"\d{1,3}(?:['’]\d{3})+(?:\.\d+)?", digits):
        return f"If {digits.strip('0123456789.')[:1]} groups the digits, set it as {key}.thousands."
    return ""


MoneyUnit = Literal["whole", "cents", "thousandths", "micros", "thousands", "millions"]
TO_ONE: Final = {
    **{"whole": 1.0, "cents": 100.0, "thousandths": 1e3, "micros": 1e6, "thousands": 1e-3, "millions": 1e-6}
}
"""How many of each unit that an amount may count are one of the currency."""
Unit = Literal["milliseconds", "seconds", "minutes", "hours", "days", "hours:minutes", "minutes:seconds"]
SECONDS: Final = {"milliseconds": 1e-3, "seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86_400.0}
"""Seconds of each unit that a plain number may count."""

_NUMBER = r"(\d+(?:\.\d+)?)"
_CLOCK = r"^(?:(\d+)(?:\s*d(?:ays?)?[ ,]+|\.))?(\d+):(\d\d):(\d\d(?:\.\d+)?)(?:\s*h(?:rs?|ours?)?)?$"
_HOURS = r"^(\d+):(\d\d)\s*h(?:rs?|ours?)?$"
_WORDS = (
    rf"^(?:{_NUMBER}\s*d(?:ays?)?)?[ ,]*(?:{_NUMBER}\s*h(?:rs?|ours?)?)?[ ,]*"
    rf"(?:{_NUMBER}\s*m(?:ins?|inutes?)?)?[ ,]*(?:{_NUMBER}\s*s(?:ecs?|econds?)?)?$"
)
_ISO = r"^p(?:(\d+(?:\.\d+)?)d)?(?:t(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?)?$"
_PAIR = r"^(\d+):(\d\d)$"
_D, _H, _M, _S = 86_400.0, 3600.0, 60.0, 1.0


def durations(text: pl.Expr, options: NumberOptions, *, ours: str, given: Unit | None = None) -> pl.Expr:
    """Float64 of texts in the unit `ours`; null where a text is no length of time.

    A plain number counts the unit `given`, `ours` without it. Hours, minutes and seconds (`1:02:03`, days
    before them), and numbers with their units (`2 h 5 min`), say themselves what they are; `22:15` does
    only where `given` says so.

    >>> texts = pl.lit(pl.Series(["1:02:00", "2 h 5 min", "1 day 0:30:00", "PT1H5M", "7.5", "22:15"]))
    >>> pl.select(durations(texts, NumberOptions(), ours="minutes")).to_series().to_list()
    [62.0, 125.0, 1470.0, 65.0, 7.5, None]
    """
    said = text.str.to_lowercase()
    pairs = {"hours:minutes": (_PAIR, (_H, _M)), "minutes:seconds": (_PAIR, (_M, _S))}
    whole = (_D, _H, _M, _S)
    forms = [(_CLOCK, whole), (_HOURS, (_H, _M)), (_WORDS, whole), (_ISO, whole)]
    forms += [pairs[given]] if given in pairs else []
    plain = numbers(text, options) * SECONDS.get(given or ours, SECONDS[ours])
    return pl.coalesce(plain, *(_summed(said, form, parts) for form, parts in forms)) / SECONDS[ours]


def _summed(text: pl.Expr, form: str, parts: tuple[float, ...]) -> pl.Expr:
    found = [
        text.str.extract(form, place).cast(pl.Float64, strict=False).fill_null(0.0) * seconds
        for place, seconds in enumerate(parts, start=1)
    ]
    return pl.when(text.str.contains(form) & text.str.contains(r"\d")).then(pl.sum_horizontal(found))


def why_no_duration(value: str, options: NumberOptions, key: str, name: str) -> str:
    """What to set, or to change in the file, so that a length like this one can be read.

    >>> why_no_duration("22:15", NumberOptions(), "inputs.cases", "handling_seconds")
    'Set inputs.cases.units = { handling_seconds = "hours:minutes" }, or "minutes:seconds".'
    """
    if re.fullmatch(_PAIR, value.strip()):
        return f'Set {key}.units = {{ {name} = "hours:minutes" }}, or "minutes:seconds".'
    return why_unreadable(value, options, key)
