"""Read instants, local times and dates, however they are written.

An instant is a point in time; a local time is one only together with its zone. What is read becomes an
instant in the company's zone, so that differences are elapsed time and days are the company's. A date alone
is a day in every zone: it becomes the first instant of that day in the company's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from histories.errors import ConfigError
from histories.periods import start_of_day
from histories.reading.numbers import OTHER_DIGITS, western

EPOCHS = {"epoch_s": 1_000_000, "%s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
"""Microseconds in a unit of each count since 1970-01-01T00:00Z."""
EXCEL = "excel"
EXCEL_START = -25_569
"""Day of Excel's day 0, 1899-12-30, counted from 1970-01-01."""
DAY_MILLISECONDS = 86_400_000

ISO_TIMES = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y%m%d%H%M%S", "%Y%m%d %H%M%S")
ISO_DATES = ("%Y-%m-%d", "%Y%m%d")
ISO_INSTANTS = ("%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z", "%Y%m%d %H%M%S%#z")
MIDNIGHT = r"^\d{4}-\d\d-\d\d(?:[T ]00:00(?::00(?:\.0+)?)?)? ?(?:Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?$"
UTC_NAMES = ("UTC", "GMT", "Z")
TIME_OF_DAY = re.compile(r"%[-_0.]*(?:[HIMSTRXcsrpfk+l]|\.?\d*f)")
DAY = re.compile(r"%[-_0.]*[deDFxcjsuawAVUW]")
MONTH = re.compile(r"%[-_0.]*[mbBh]")
OFFSET = re.compile(r"%#?:*[z+]")
ZONE_NAME = re.compile(r"(?:\s+|(?<=%[SMfTR]))(%Z|[A-Z]{1,5})$")
COUNTED = (
    (10, "seconds", "epoch_s"),
    (13, "milliseconds", "epoch_ms"),
    (16, "microseconds", "epoch_us"),
)
"""Digits of a count since 1970 in this century, its unit and its name."""
LETTERS = {
    **{"YYYY": "%Y", "yyyy": "%Y", "YY": "%y", "yy": "%y", "MM": "%m", "DD": "%d", "dd": "%d"},
    **{"HH": "%H", "hh": "%I", "mm": "%M", "SS": "%S", "ss": "%S"},
}
"""Other programs' letters of a format, the longer first, in strftime's."""
LAST_SECOND = 8.2e12
"""Seconds from 1970 to the last year that a calendar here can write, about 262,000."""
INCOMPLETE = (
    ("%[-_0]?H(?=.*%[pP])", "%[-_0]?[Il]", "%I", "has AM or PM, and hours up to 24"),
    ("%[-_0]?I", "%[pP]", "%H", "has hours up to 12 without AM or PM (%p)"),
    ("%[-_0]?H", "%[-_0]?[MTRSs]", "%H:%M", "has hours without minutes"),
)
"""Letters that go without others: what is there, what is missing, what is meant, and why."""
SEEN = 100
"""Rows that are looked at before a whole column is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeOptions:
    """How times are written, and the zones they are written in and converted to.

    Attributes
    ----------
    timezone
        The company's zone: days are counted in it.
    source_zone
        Zone of the source's local times; the company's where None.
    form
        A format in strftime's letters, `epoch_s`, `epoch_ms`, `epoch_us`, `excel`; None for ISO 8601.
    """

    timezone: str = "UTC"
    source_zone: str | None = None
    form: str | None = None

    @property
    def local_zone(self) -> str:
        """Zone of times that name none."""
        return self.source_zone or self.timezone

    @property
    def counts(self) -> bool:
        """Whether times are numbers."""
        return self.form in EPOCHS or self.form == EXCEL

    @property
    def dated_only(self) -> bool:
        """Whether the format has a date and no time of day."""
        return self.form is not None and not self.counts and not has_time(self.form)

    def check(self, key: str) -> None:
        """Refuse a format in other letters than strftime's, or whose zone nobody can be sure of.

        Raises
        ------
        ConfigError
            When it has no %, or ends with a zone's name that is not UTC's and the source's zone is not given.
        """
        if self.form is not None and not self.counts and "%" not in self.form:
            meant = re.sub("|".join(LETTERS), lambda found: LETTERS[found[0]], self.form)
            meant = meant if "%" in meant else "%d/%m/%Y"
            raise ConfigError(
                f'{key}.timestamp_format = "{self.form}" holds none of strftime\'s letters: write '
                f'"{meant}" or the like, epoch_s, epoch_ms, epoch_us or excel; leave it out for ISO dates.'
            )
        if self.form is not None and not self.counts:
            for have, lack, meant, why in INCOMPLETE:
                if re.search(have, self.form) and not re.search(lack, self.form):
                    raise ConfigError(
                        f'{key}.timestamp_format = "{self.form}" {why}: write '
                        f'"{re.sub(have, meant, self.form, count=1)}" or the like.'
                    )
        name = ZONE_NAME.search(self.form) if self.form and not self.counts else None
        if name is None or name[1] in {"%Z", *UTC_NAMES} or self.source_zone is not None:
            return
        raise ConfigError(
            f'{key}.timestamp_format = "{self.form}" ends with "{name[1]}", which may be one of many zones. '
            f'Name the right one, e.g. {key}.timezone = "America/New_York", or have offsets written (%z).'
        )


def beyond_calendars(times: pl.Series) -> pl.Series:
    """Whether dates or instants lie so far that no program can write them, as a database's infinity does.

    >>> beyond_calendars(pl.Series([2**31 - 1, 19_000], dtype=pl.Int32).cast(pl.Date)).to_list()
    [True, False]
    """
    unit = {"ns": 1e9, "us": 1e6, "ms": 1e3}.get(getattr(times.dtype, "time_unit", ""), 1 / 86_400)
    return (times.to_physical().cast(pl.Float64) / unit).abs() > LAST_SECOND


def has_time(form: str) -> bool:
    """Whether a strftime format has a time of day.

    >>> has_time("%Y%m%d"), has_time("%d/%m/%Y %H:%M")
    (False, True)
    """
    return TIME_OF_DAY.search(form) is not None


def last_day(days: pl.Expr, form: str | None) -> pl.Expr:
    """The last day of what a format names where that is a month or a year, for the end of a period.

    >>> from datetime import date
    >>> pl.select(last_day(pl.lit(date(2024, 2, 1)), "%b %Y")).item()
    datetime.date(2024, 2, 29)
    """
    if form is None or "%" not in form or DAY.search(form):
        return days
    length = "1mo" if MONTH.search(form) else "1y"
    return days.dt.truncate(length).dt.offset_by(length) - timedelta(days=1)


def why_no_time(value: str, options: TimeOptions, key: str) -> str:
    """The format to set for a time like this one; empty where none comes to mind.

    >>> why_no_time("1767607200", TimeOptions(), "inputs.costs")
    'If that counts seconds since 1970, set inputs.costs.timestamp_format = "epoch_s".'
    """
    text, setting = value.strip(), f"{key}.timestamp_format"
    if options.form is not None and "%Z" in options.form:
        return (
            f"Of zone names only {', '.join(UTC_NAMES)} are read: others stand for several zones. Set the "
            f'right one, e.g. {key}.timezone = "America/New_York", or have offsets written (%z).'
        )
    if options.form is not None:
        return ""
    for digits, unit, form in COUNTED:
        if re.fullmatch(rf"[12]\d{{{digits - 1}}}(\.\d*)?", text):
            return f'If that counts {unit} since 1970, set {setting} = "{form}".'
    if re.fullmatch(r"[2-6]\d{4}(\.\d*)?", text):
        return f'If that is a date of Excel\'s, set {setting} = "excel".'
    slashed = re.fullmatch(r"(\d\d?)([./-])(\d\d?)\2(\d{4}|\d\d)(\D.*)?", text)
    if slashed is None:
        form = _spelled(text)
        if not re.search("%[mbB]", form) or re.search(r"\d", form):
            return ""
        read = pl.select(moments(pl.lit(text), pl.String(), TimeOptions(form=form))).item()
        return f'To read it as {read:%Y-%m-%d %H:%M}, set {setting} = "{form}".' if read is not None else ""
    mark, year = slashed[2], "%Y" if len(slashed[4]) == 4 else "%y"
    first, second = ("%m", "%d") if int(slashed[3]) > 12 else ("%d", "%m")
    rest = re.sub(r"\d\d?([:.])\d\d\1\d\d", r"%H\1%M\1%S", slashed[5] or "")
    rest = re.sub(r"\d\d?:\d\d", "%H:%M", rest)
    if re.search(r"(?i)\b[ap]m\b", rest) or re.search(r"(?i)%[MS][ap]m\b", rest):
        rest = re.sub(r"(?i)[ap]m\b", "%p", rest.replace("%H", "%I"))
    leads = "month" if first == "%m" else "day"
    example = f"{first}{mark}{second}{mark}{year}{rest}"
    return f'Expected ISO dates; set {setting} otherwise, e.g. "{example}" if the {leads} comes first.'


_LETTERS = (
    (r"\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b", "%A"),
    (r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b", "%a"),
    (r"\b(?:January|February|March|April|June|July|August|September|October|November|December)\b", "%B"),
    (r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b", "%b"),
    (r"(?<!\d)\d\d?([:.])\d\d\1\d\d\.\d+", r"%H\1%M\1%S%.f"),
    (r"(?<!\d)\d\d?([:.])\d\d\1\d\d", r"%H\1%M\1%S"),
    (r"\d\d?:\d\d(?!\d)(?<![+-]\d\d:\d\d)", "%H:%M"),
    (r"\b\d\d?h\d\d\b", "%Hh%M"),
    (r"(?<=[\dMSf ])[+-]\d\d:?\d\d\b", "%z"),
    (r"\b(?:19|20)\d\d\b", "%Y"),
    (r"(?<=%Y[./-])\d\d?([./-])\d\d?", r"%m\1%d"),
    (r"(?<=^%Y[./-])\d\d?$", "%m"),
    (r"(?<![\d%])\d\d?(?!\d)", "%d"),
)
"""What stands in a time, in the order of looking, and strftime's letters for it."""


def _spelled(text: str) -> str:
    """A format in which a time may be written; whether it is one, reading shows.

    >>> _spelled("Fri, 05 Jan 2024 10:00:00 +0100"), _spelled("Jan 5, 2024 at 3:07 PM")
    ('%a, %d %b %Y %H:%M:%S %z', '%b %d, %Y at %I:%M %p')
    """
    form = text
    for pattern, letters in _LETTERS[:-1]:
        form = re.sub(pattern, letters, form, count=1, flags=re.IGNORECASE)
    pattern, letters = _LETTERS[-1]
    if "%d" not in form:
        form = re.sub(pattern, letters, form, count=1)
    if "%Y" not in form:
        form = re.sub(pattern, "%y", form, count=1)
    if re.search(r"\b[AP]M\b", form, re.IGNORECASE):
        form = re.sub(r"\b[AP]M\b", "%p", form.replace("%H", "%I"), flags=re.IGNORECASE)
    return form


def moments(column: pl.Expr, dtype: pl.DataType, options: TimeOptions, *, as_dates: bool = False) -> pl.Expr:
    """Instants in the company's zone, in microseconds; null where a value cannot be read.

    Texts have no blanks around them.
    `as_dates`: every time of the column is a midnight, so only the date as it is written counts.
    """
    target = pl.Datetime("us", options.timezone)
    return column.map_batches(
        lambda found: _read(found, dtype, options, as_dates=as_dates),
        return_dtype=target,
        is_elementwise=True,
    )


def are_dates(frame: pl.LazyFrame, column: pl.Expr, dtype: pl.DataType, options: TimeOptions) -> bool:
    """Whether every time of a column is a midnight as it is written, so that the column holds dates.

    The first rows are looked at, and the others only when all of those are.
    """
    if dtype == pl.Date or options.dated_only:
        return True

    def all_midnight(rows: pl.LazyFrame) -> bool:
        at = column.str.strip_chars() if dtype == pl.String else column
        found = rows.select(at.alias("at")).select(_is_midnight(dtype, options).alias("is"))
        is_any, is_all = found.select(any=pl.col("is").any(), all=pl.col("is").all()).collect().row(0)
        return bool(is_any and is_all)

    return all_midnight(frame.head(SEEN)) and all_midnight(frame)


def _is_midnight(dtype: pl.DataType, options: TimeOptions) -> pl.Expr:
    """True or false of each time; null of what is no time."""
    at = pl.col("at")
    if dtype == pl.String and options.form is None:
        return pl.when(at.str.contains(r"^\d")).then(at.str.contains(MIDNIGHT))
    written = at.map_batches(
        lambda found: _as_written(found, dtype, options), return_dtype=pl.Datetime("us"), is_elementwise=True
    )
    return written == written.dt.truncate("1d")


def _as_written(found: pl.Series, dtype: pl.DataType, options: TimeOptions) -> pl.Series:
    """The times on the page, whatever their zone; those of counts and offsets in UTC."""
    if isinstance(dtype, pl.Datetime):
        return found.dt.replace_time_zone(None).cast(pl.Datetime("us"))
    plain = TimeOptions(form=options.form)
    return _read(found, dtype, plain, as_dates=False).dt.replace_time_zone(None)


def _read(found: pl.Series, dtype: pl.DataType, options: TimeOptions, *, as_dates: bool) -> pl.Series:
    zone = options.timezone
    if as_dates:
        return _days(_written_days(found, dtype, options), zone)
    if dtype == pl.Date:
        return _days(found, zone)
    if isinstance(dtype, pl.Datetime):
        times = found.cast(pl.Datetime("us", dtype.time_zone))
        if dtype.time_zone is None:
            times = local_instants(times, options.local_zone)
        return times.dt.convert_time_zone(zone)
    if options.form in EPOCHS:
        return _since_1970(found, EPOCHS[str(options.form)]).dt.convert_time_zone(zone)
    if options.form == EXCEL:
        return local_instants(_excel_times(found), options.local_zone).dt.convert_time_zone(zone)
    text = _text(found)
    times = _times(text, options)
    if times.null_count() == text.null_count():
        return times
    others = (times.is_null() & text.str.contains(f"[{''.join(OTHER_DIGITS)}]")).arg_true()
    return times.scatter(others, _times(pl.select(western(pl.lit(text.gather(others)))).to_series(), options))


def _times(text: pl.Series, options: TimeOptions) -> pl.Series:
    """Instants of texts, by the format or by ISO 8601."""
    if options.form is not None:
        return _parse(text, options.form, options)
    times = _parse(text.str.replace("T", " ", literal=True), ISO_TIMES[0], options)
    unread = times.is_null() & text.is_not_null()
    if not unread.any():
        return times
    places = unread.arg_true()
    rest = text.gather(places).str.to_uppercase().str.replace(" ?(?:UTC|GMT)$", "Z")
    rest = rest.str.replace("T", " ", literal=True).str.replace(r"(:\d\d),(\d)", "${1}.${2}")
    return times.scatter(places, _first_that_fits(rest, (*ISO_DATES, *ISO_INSTANTS, *ISO_TIMES[1:]), options))


def _written_days(found: pl.Series, dtype: pl.DataType, options: TimeOptions) -> pl.Series:
    if dtype == pl.String and options.form is None:
        text = _text(found)
        days = text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
        return (
            days if days.null_count() == text.null_count() else _as_written(found, dtype, options).dt.date()
        )
    if dtype == pl.Date:
        return found
    return _as_written(found, dtype, options).dt.date()


def _first_that_fits(text: pl.Series, forms: tuple[str, ...], options: TimeOptions) -> pl.Series:
    """Formats are tried in turn on what is still unread, so a uniform column is parsed once."""
    times = _parse(text, forms[0], options)
    for form in forms[1:]:
        unread = times.is_null() & text.is_not_null()
        if not unread.any():
            break
        places = unread.arg_true()
        times = times.scatter(places, _parse(text.gather(places), form, options))
    return times


def _parse(text: pl.Series, form: str, options: TimeOptions) -> pl.Series:
    zone = options.timezone
    if OFFSET.search(form):
        instants = text.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
        return instants.dt.convert_time_zone(zone)
    local_zone = options.local_zone
    name = ZONE_NAME.search(form)
    if name is not None and (name[1] in UTC_NAMES or options.source_zone is None):
        local_zone = "UTC"
    if name is not None and name[1] == "%Z":
        known = text.str.contains(f"(?:{'|'.join(UTC_NAMES)})$") | (options.source_zone is not None)
        text = pl.select(pl.when(known).then(text.str.replace(r"\s*[A-Za-z]+$", ""))).to_series()
        form = form[: name.start()].rstrip()
    if has_time(form):
        times = text.str.to_datetime(form, strict=False, time_unit="us")
        return local_instants(times, local_zone).dt.convert_time_zone(zone)
    return _days(text.str.to_date(form, strict=False), zone)


def local_instants(times: pl.Series, zone: str) -> pl.Series:
    """Local times of a zone as instants.

    Of the two instants of an hour that comes twice the first is taken. A time in the hour that is left out
    is read by the clock before the change, as PEP 495 has it: 01:30 is the instant shown as 02:30.

    >>> from datetime import datetime
    >>> local_instants(pl.Series([datetime(2026, 3, 29, 1, 30)]), "Europe/London")[0].isoformat()
    '2026-03-29T02:30:00+01:00'
    """
    found = times.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    if found.null_count() == times.null_count():
        return found
    before = (times - timedelta(hours=3)).dt.replace_time_zone(
        zone, ambiguous="earliest", non_existent="null"
    )
    return found.fill_null(before + timedelta(hours=3)) if before.len() == found.len() else found


def _days(days: pl.Series, zone: str) -> pl.Series:
    return pl.select(start_of_day(pl.lit(days), zone)).to_series()


def _since_1970(found: pl.Series, scale: int) -> pl.Series:
    number = found if found.dtype.is_numeric() else _text(found).cast(pl.Float64, strict=False)
    if number.dtype.is_integer():
        since = number.cast(pl.Int64) * scale
    else:
        since = (number * scale).round().cast(pl.Int64, strict=False)
    return since.cast(pl.Datetime("us", "UTC"))


def _excel_times(found: pl.Series) -> pl.Series:
    """Excel's days, exact to a millisecond."""
    number = found if found.dtype.is_numeric() else _text(found).cast(pl.Float64, strict=False)
    milliseconds = ((number.cast(pl.Float64) + EXCEL_START) * DAY_MILLISECONDS).round()
    return (milliseconds * 1000).cast(pl.Int64, strict=False).cast(pl.Datetime("us"))


def _text(found: pl.Series) -> pl.Series:
    return found if found.dtype == pl.String else found.cast(pl.String)
