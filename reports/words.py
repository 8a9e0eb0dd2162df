"""One table of words: what the report calls methods, outcomes, covariates, periods and numbers of things."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from histories.cuts import CROSS

OUTCOME_NAMES: Final = {
    "conversion": "purchases",
    "repeat_purchase": "repeat purchases",
    "spend": "spend",
    "retention": "customers kept",
    "retention_periods": "customer-months kept",
    "lifetime_value": "lifetime value",
}
OUTCOMES: Final = OUTCOME_NAMES | {
    "issues": "contacts about problems",
    "margin": "margin",
    "csat": "satisfaction",
    "visit": "visits",
}
"""How an outcome is called inside a sentence; unknown ones: underscores to spaces."""

DESIGNS: Final = {
    "randomised": (4, "experiment"),
    "landmark": (3, "like-for-like"),
    "matched_before_after": (3, "like-for-like, before and after"),
    "dose": (3, "like-for-like, by amount"),
    "queue": (3, "by the queue"),
    "agent": (3, "by who was at work"),
    "incident": (1, "association, like-for-like"),
    "response_curve": (3, "like-for-like, by speed"),
    "before_after": (2, "before and after"),
    "interrupted_series": (2, "before and after"),
    "staggered": (2, "before and after, staggered"),
    "synthetic_control": (2, "before and after, against a mix of others"),
}
"""Rungs of the ladder of evidence, and the word for the design."""

ESTIMATORS: Final = {
    "difference_in_means": "Difference",
    "cuped": "Adjusted for earlier spend",
    "lin": "Regression",
    "aipw": "Doubly robust",
    "ipw": "Weighted",
    "naive": "Not adjusted",
    "ols": "Regression",
    "difference_in_differences": "Difference before and after",
    "segmented_regression": "Regression in segments",
    "group_time": "By start and period",
    "synthetic_control": "Mix of others",
    "discrete_hazard": "Hazard by period",
    "isotonic": "Doubly robust, monotone",
    "two_stage": "By the instrument",
    "two_stage_all_days": "By the instrument, with days of surge",
}
TARGETS: Final = {
    "ATE": "",
    "ATT": "those treated",
    "ATO": "comparable ones",
    "ATU": "those not treated",
    "LATE": "those whom it moved",
}
COVARIATES: Final = {
    "idle_days": "Days since last purchase",
    "tenure_days": "Days as customer",
    "purchases_before": "Purchases before",
    "mean_spend_before": "Mean spend before",
    "recent_spend": "Recent spend",
    "recent_purchases": "Recent purchases",
    "recent_contacts": "Recent contacts",
    "csat": "Satisfaction",
    "csat=missing": "Satisfaction unknown",
    "issues_before": "Problems before",
    "calendar": "Calendar time",
    "backlog": "Open cases",
    "outside_hours": "Opened outside working hours",
    "sentiment_first": "First tone",
    "audience": "Followers",
}
_PROPER: Final = {
    name.lower(): name
    for name in (
        "Twitter",
        "Facebook",
        "Instagram",
        "WhatsApp",
        "YouTube",
        "TikTok",
        "LinkedIn",
        "Reddit",
        "Google",
        "Trustpilot",
        "SMS",
        "SEO",
        "TV",
        "X",
    )
}
_NUMBERS: Final = (
    *("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    *("nineteen", "twenty"),
)
_ORDINALS: Final = (
    "Best",
    "Second",
    "Third",
    "Fourth",
    "Fifth",
    "Sixth",
    "Seventh",
    "Eighth",
    "Ninth",
    "Last",
)
_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_CURRENCIES: Final = {"GBP": "pounds", "EUR": "euros", "USD": "dollars"}


def upper_first(text: str) -> str:
    """The text with a capital at its start, the rest as it is."""
    return text[:1].upper() + text[1:]


def inside(name: str) -> str:
    """A name from the data as it stands inside a sentence.

    >>> inside("paid_search"), inside("twitter"), inside("all channels")
    ('paid search', 'Twitter', 'all channels')
    """
    text = name.strip().strip("()").replace("_", " ")
    return " ".join(_PROPER.get(word.lower(), word) for word in text.split())


def method_name(method: str) -> str:
    """How a method of credit is called inside a sentence.

    >>> method_name("linear"), method_name("incremental")
    ('equal shares', 'added')
    """
    from attribution.paths.methods import METHODS  # the service starts without the arithmetic behind it

    if method == "incremental":
        return "added"
    return METHODS[method].label if method in METHODS else inside(method)


def label(name: str) -> str:
    """A name from the data as it stands alone.

    >>> label("paid_search"), label("sms")
    ('Paid search', 'SMS')
    """
    return upper_first(inside(name))


def covariate(name: str) -> str:
    """What a covariate is called.

    >>> covariate("idle_days"), covariate("region=east")
    ('Days since last purchase', 'Region east')
    """
    if name in COVARIATES:
        return COVARIATES[name]
    return label(name.replace("=", " ").replace(": ", " "))


def segment_parts(segment: str) -> tuple[str, str]:
    """Column and value of a segment, in either spelling.

    >>> segment_parts("region=east"), segment_parts("region: north west")
    (('region', 'east'), ('region', 'north west'))
    """
    mark = ": " if ": " in segment else "="
    column, _, value = segment.partition(mark)
    return column, value


def segment_title(segment: str) -> str:
    """A segment as it stands alone; a value that says nothing by itself keeps its column.

    >>> segment_title("region: north"), segment_title("newbie=1"), segment_title("spend: above 113.4")
    ('North', 'Newbie 1', 'Spend above 113.4')
    >>> segment_title("tenure: up to 184"), segment_title("care_user x spend: non-user x above 113.4")
    ('Tenure up to 184 days', 'Non-user, spend above 113.4')
    """
    column, value = segment_parts(segment)
    if CROSS not in column:
        return label(_segment_value(column, value))
    pairs = zip(column.split(CROSS), value.split(CROSS), strict=False)
    return label(", ".join(_segment_value(name, own) for name, own in pairs))


def _segment_value(column: str, value: str) -> str:
    counted = any(sign.isdigit() for sign in value)
    bare = counted or value.lower() in ("true", "false", "yes", "no")
    unit = " days" if counted and column == "tenure" else ""
    return f"{column} {value}{unit}" if bare else value


def join(names: Sequence[str], *, most: int = 3) -> str:
    """Names in a row; beyond `most` only the first are told.

    >>> join(["a"]), join(["a", "b", "c"]), join(["a", "b", "c", "d", "e"])
    ('a', 'a, b and c', 'a, b, c and two more')
    """
    if len(names) > most:
        return f"{', '.join(names[:most])} and {count_words(len(names) - most)} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def count_words(number: int) -> str:
    """A small count as a word.

    >>> count_words(4), count_words(21), count_words(0)
    ('four', '21', 'none')
    """
    return _NUMBERS[number] if 0 <= number < len(_NUMBERS) else f"{number:,}"


def ordinal(place: int, of: int) -> str:
    """The name of a tenth of the customers, or of any other share.

    >>> ordinal(1, 10), ordinal(10, 10), ordinal(2, 4)
    ('Best tenth', 'Last tenth', 'Part 2 of 4')
    """
    if of != len(_ORDINALS):
        return f"Part {place} of {of}"
    return _ORDINALS[place - 1] + (" tenth" if place in (1, of) else "")


def day(date: dt.date) -> str:
    """A date.

    >>> day(dt.date(2026, 6, 30))
    '30 June 2026'
    """
    return f"{date.day} {_MONTHS[date.month - 1]} {date.year}"


def months(first: dt.date, last: dt.date, *, short: bool = False) -> str:
    """A span of days, in months.

    >>> months(dt.date(2026, 4, 1), dt.date(2026, 6, 30)), months(dt.date(2025, 1, 1), dt.date(2026, 6, 30))
    ('April to June 2026', 'January 2025 to June 2026')
    >>> months(dt.date(2026, 4, 1), dt.date(2026, 6, 30), short=True)
    'Apr to Jun'
    """
    names = [_MONTHS[d.month - 1][:3] if short else _MONTHS[d.month - 1] for d in (first, last)]
    if (first.year, first.month) == (last.year, last.month):
        return names[0] if short else f"{names[0]} {first.year}"
    if short:
        return f"{names[0]} to {names[1]}"
    year = "" if first.year == last.year else f" {first.year}"
    return f"{names[0]}{year} to {names[1]} {last.year}"


def quarter(first: dt.date) -> str:
    """A calendar quarter, short.

    >>> quarter(dt.date(2026, 4, 1))
    '2026 Q2'
    """
    return f"{first.year} Q{(first.month + 2) // 3}"


def duration(minutes: float) -> str:
    """A duration in the largest whole unit.

    >>> duration(57), duration(360), duration(4320), duration(0.4)
    ('57 minutes', '6 hours', '3 days', '1 minute')
    """
    for size, name in ((1440, "day"), (60, "hour")):
        if minutes >= 1.5 * size or minutes == size:
            number = round(minutes / size)
            return f"{number} {name}{'' if number == 1 else 's'}"
    number = max(1, round(minutes))
    return f"{number} minute{'' if number == 1 else 's'}"


def amounts(currency: str | None) -> str:
    """What amounts are in.

    >>> amounts("GBP"), amounts("CHF"), amounts(None)
    ('amounts in pounds', 'amounts in CHF', 'amounts without a currency')
    """
    return f"amounts in {_CURRENCIES.get(currency, currency)}" if currency else "amounts without a currency"
