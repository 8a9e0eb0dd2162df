"""Open a text table: its encoding, its header, and the lines that do not fit it.

Every line is looked at once before the table is read: whether it has as many fields as the header, and
whether its quotes close. The table itself is then read by Polars, which is fast and says nothing of either.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import polars as pl

from histories.errors import DataError
from histories.reading.files import open_bytes, reading
from histories.reading.sources import TableSource

FURTHER: Final = ("further field 1", "further field 2", "further field 3")
"""Columns for fields beyond the header's last; where a row has more still, the last are cut."""
WHITESPACE: Final = "whitespace"
NOT_IN_TEXT: Final = "\x01"
SNIFFED: Final = 2**16
LONGEST_HEADER: Final = 2**20
NARROWEST: Final = 3
"""Columns of a table below which a line without a separator may be a footer."""
MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, the longer before those that begin like them."""
NO_TEXT: Final = (
    (b"PAR1", "a Parquet file", 'set format = "parquet"'),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "unpack it, or save the sheet as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV UTF-8"),
    (b"%PDF", "a PDF", "export the table as CSV"),
    (b"<!DOCTYPE", "a web page", "look whether the download asked for a login, and export the table as CSV"),
    (b"<html", "a web page", "look whether the download asked for a login, and export the table as CSV"),
    (b"<?xml", "an XML document", "export the table as CSV"),
    (b"BZh", "packed by bzip2", "unpack it, or pack it as .gz or .zst"),
    (b"\xfd7zXZ", "packed by xz", "unpack it, or pack it as .gz or .zst"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A text table, opened.

    Attributes
    ----------
    frame
        Its columns as text, beside `row` (from 1, the header not counted) and, where some row has more fields
        than the header, `FURTHER`. Rows without any value are left out.
    ragged
        Fields of each row that has more or fewer than the header, by row; none of a line below the table.
    width
        Fields of the header.
    notes
        What to say of the file.
    """

    frame: pl.LazyFrame
    ragged: dict[int, int]
    width: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """How a file is written."""

    file: Path
    name: str
    separator: str
    quote: str | None
    end_of_line: str
    skipped: int
    names: tuple[str, ...]


def open_text(source: TableSource, file: Path, *, table: str, work_dir: Path) -> TextTable:
    """Open one text file of a table.

    Raises
    ------
    DataError
        When it is no text, cannot be decoded, or a quote is not closed.
    """
    key = f"inputs.{table}"
    with reading(file.name):
        head = _head(file)
        _refuse_other_formats(head, file.name, key)
        encoding = source.encoding or _encoding(head)
        plain = file if encoding in {"utf-8", "ascii"} else _as_utf8(file, encoding, work_dir, key)
        form, notes = _form(source, plain, file.name, key)
        ragged, joined, has_empty = _fitting(form, file, key)
        has_more = any(fields > len(form.names) for fields in ragged.values())
        frame = _scan(form, has_more=has_more, has_empty=has_empty)
    if joined:
        ragged = _rows_of_lines(ragged, joined)
    return TextTable(frame=frame, ragged=ragged, width=len(form.names), notes=tuple(notes))


def encoding_of(file: Path) -> str:
    """How a file of text is encoded, by its first bytes; UTF-8 where nothing says another."""
    return _encoding(_head(file))


def _head(file: Path) -> bytes:
    with open_bytes(file) as content:
        return content.read(SNIFFED)


def _refuse_other_formats(head: bytes, name: str, key: str) -> None:
    for mark, what, remedy in NO_TEXT:
        if head.lstrip().startswith(mark):
            raise DataError(f"{name} is {what} and no text. Correct {key}: {remedy}.")


def _encoding(head: bytes) -> str:
    """By the byte order mark, or by the zeros that UTF-16 puts beside every Latin letter."""
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding
    pairs = len(head) // 2
    for place, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if pairs and head[place::2].count(0) > 0.4 * pairs and head[1 - place :: 2].count(0) == 0:
            return encoding
    return "utf-8"


def _as_utf8(file: Path, encoding: str, work_dir: Path, key: str) -> Path:
    """A copy in UTF-8; every byte must mean something."""
    copy = work_dir / f"{file.name}-{abs(hash(file)):x}.utf8"
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    lines = 0
    with open_bytes(file) as content, copy.open("w", encoding="utf-8", newline="") as written:
        while chunk := content.read(2**20):
            try:
                text = decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise _undecodable(file.name, encoding, lines, key) from error
            lines += text.count("\n")
            written.write(text)
    return copy


def _undecodable(name: str, encoding: str, lines: int, key: str) -> DataError:
    return DataError(
        f"{name}: line {lines + 1} or one soon after it holds bytes that are not {encoding}. Set "
        f'{key}.encoding to the one it was written in, e.g. "windows-1252" for a CSV of Excel on Windows, or '
        "export it as UTF-8."
    )


def _refuse_bytes(file: Path, key: str) -> None:
    """Name the first line that is no UTF-8."""
    with open_bytes(file) as content:
        for number, line in enumerate(content, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{file.name}: line {number} holds bytes that are not UTF-8. Set {key}.encoding to "
                    'the one it was written in, e.g. "windows-1252" for a CSV of Excel on Windows, or export '
                    "it as UTF-8."
                ) from error


def _form(source: TableSource, file: Path, name: str, key: str) -> tuple[_Form, list[str]]:
    """The marks, the lines before the rows, and the columns' names."""
    quote = None if source.quote == "none" or source.separator == WHITESPACE else source.quote
    head = _head(file)
    end_of_line = "\r" if b"\r" in head and b"\n" not in head else "\n"
    with open_bytes(file) as content:
        text = content.read(LONGEST_HEADER).decode("utf-8-sig", errors="replace")
    lines = text.split(end_of_line)
    skipped = source.skip_rows
    separator = source.separator
    while skipped < len(lines) - 1 and not lines[skipped].strip():
        skipped += 1
    if (
        lines[skipped : skipped + 1]
        and lines[skipped].strip().lower().startswith("sep=")
        and source.has_header
    ):
        separator = lines[skipped].strip()[4:5] if separator == "," else separator
        skipped += 1
    if skipped >= len(lines) or not lines[skipped].strip():
        raise DataError(f"{name} holds only empty lines. Export it again, or correct {key}.skip_rows.")
    if separator == WHITESPACE:
        first, used = lines[skipped].split(), 1
    else:
        csv.field_size_limit(2**27)
        given = (f"{line}\n" for line in lines[skipped:])
        reader = csv.reader(
            given,
            delimiter=separator,
            quotechar=quote or '"',
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        )
        try:
            first, used = next(reader), reader.line_num
        except csv.Error as error:
            raise DataError(
                f"{name}: line {skipped + 1} cannot be split into fields ({error}). Its lines end in "
                f"different ways, or it is no text with separators: export it again, or mend {key}.separator."
            ) from error
    form = _Form(
        file=file,
        name=name,
        separator=separator,
        quote=quote,
        end_of_line=end_of_line,
        skipped=skipped + used if source.has_header else skipped,
        names=_names(first) if source.has_header else tuple(str(place) for place in range(1, len(first) + 1)),
    )
    repeated = sorted(
        {name for name in map(str.strip, first) if name and [*map(str.strip, first)].count(name) > 1}
    )
    if not source.has_header or not repeated:
        return form, []
    return form, [
        f"{name}: columns with the same name: {', '.join(repeated)}. The first of each is read; if the "
        f'second is meant, name "{repeated[0]} (2)" in {key}.columns.'
    ]


def _names(first: list[str]) -> tuple[str, ...]:
    """Names of the header, made distinct: a second `amount` is `amount (2)`, one without a name its position.

    >>> _names(["id", " amount", "amount", ""])
    ('id', 'amount', 'amount (2)', '(column 4)')
    """
    names: list[str] = []
    for place, found in enumerate(first, 1):
        name = found.strip() or f"(column {place})"
        count = 1
        distinct = name
        while distinct in names:
            count += 1
            distinct = f"{name} ({count})"
        names.append(distinct)
    return tuple(names)


def _lines(form: _Form) -> pl.LazyFrame:
    return pl.scan_csv(
        form.file,
        separator=NOT_IN_TEXT,
        quote_char=None,
        has_header=False,
        skip_lines=form.skipped,
        schema={"line": pl.String},
        eol_char=form.end_of_line,
        truncate_ragged_lines=True,
        glob=False,
    ).with_row_index("number", offset=1)


def _fitting(form: _Form, file: Path, key: str) -> tuple[dict[int, int], list[tuple[int, int]], bool]:
    """Fields of each line that does not fit the header, and the lines that a quoted field joins.

    And whether some line is so short that it may hold nothing.
    """
    line = pl.col("line")
    width = len(form.names)
    if form.separator == WHITESPACE:
        fields = line.str.strip_chars().str.count_matches(r"\s+") + 1
        odd = pl.lit(False)
    else:
        bare = line
        if form.quote is not None:
            has_quote = line.str.contains(form.quote, literal=True)
            inside = f"{_escaped(form.quote)}[^{_escaped(form.quote)}]*{_escaped(form.quote)}"
            bare = pl.when(has_quote).then(line.str.replace_all(inside, "")).otherwise(line)
        fields = bare.str.count_matches(form.separator, literal=True) + 1
        closes = (fields == width + 1) & bare.str.ends_with(form.separator)
        fields = pl.when(closes).then(width).otherwise(fields)
        is_odd = line.str.count_matches(form.quote or NOT_IN_TEXT, literal=True) % 2 == 1
        odd = is_odd if form.quote is not None else pl.lit(False)
        if form.quote is not None:
            odd = pl.when(has_quote).then(is_odd).otherwise(pl.lit(False))
    looked = _lines(form).select(
        "number",
        fields.alias("fields"),
        odd.alias("odd"),
        line.str.contains("\0", literal=True).alias("zero"),
        (line.is_null() | (line.str.len_bytes() <= 2 * width + 2)).alias("short"),
    )
    try:
        found = looked.filter(
            (pl.col("fields") != width) | pl.col("odd") | pl.col("zero") | pl.col("short")
        ).collect()
    except pl.exceptions.ComputeError:
        _refuse_bytes(file, key)
        raise
    if found["zero"].any():
        row = found.filter("zero").item(0, "number")
        raise DataError(
            f"{form.name}: row {row} holds NUL bytes. The file is damaged, or of another encoding: export it "
            f"again, or set {key}.encoding."
        )
    joined = _joined(form, found.filter("odd")["number"].to_list(), key)
    inside_joined = pl.lit(False)
    for first, last in joined:
        inside_joined |= pl.col("number").is_between(first, last)
    ragged = found.filter((pl.col("fields") != width) & ~inside_joined) if joined else found
    fields_of = dict(ragged.filter(pl.col("fields") != width).select("number", "fields").iter_rows())
    fields_of |= dict.fromkeys(_below(form, fields_of), 0)
    return fields_of, joined, bool(found["short"].any())


def _below(form: _Form, fields_of: dict[int, int]) -> list[int]:
    """Lines of one field each that follow the last row, behind an empty line or several of them: a footer."""
    single = [number for number, fields in fields_of.items() if fields == 1]
    if not single or len(form.names) < NARROWEST:
        return []
    is_row = (pl.col("line").str.strip_chars() != "") & ~pl.col("number").is_in(single)
    last = _lines(form).filter(is_row).select(pl.col("number").max()).collect().item() or 0
    below = [number for number in single if number > last]
    return below if len(below) > 1 or (below and below[0] > last + 1) else []


def _escaped(mark: str) -> str:
    return f"\\{mark}" if mark in r"\^$.|?*+()[]{}-" else mark


def _joined(form: _Form, odd: list[int], key: str) -> list[tuple[int, int]]:
    """First and last line of each record that spans several.

    Raises
    ------
    DataError
        When the lines between two quotes are no record: then one of them is a stray.
    """
    pairs = list(zip(odd[::2], odd[1::2], strict=False))
    alone = odd[-1:] if len(odd) % 2 else []
    if not odd or form.quote is None:
        return []
    records = _records(form, pairs)
    extra = 0
    for (first, last), text in zip(pairs, records, strict=True):
        if not _is_one_record(form, text):
            raise _stray_quote(form, first - extra, key)
        extra += last - first
    if alone:
        raise _stray_quote(form, alone[0] - extra, key)
    return pairs


def _records(form: _Form, pairs: list[tuple[int, int]]) -> Iterator[list[str]]:
    with open_bytes(form.file) as content:
        decoded = (line.decode("utf-8") for line in _split(content.read, form.end_of_line.encode()))
        at = 1 - form.skipped
        for first, last in pairs:
            lines = list(islice(decoded, first - at, last - at + 1))
            at = last + 1
            yield lines


def _split(read: object, end: bytes) -> Iterator[bytes]:
    rest = b""
    while chunk := read(2**20):  # type: ignore[operator]
        *lines, rest = (rest + chunk).split(end)
        yield from (line + b"\n" for line in lines)
    if rest:
        yield rest


def _is_one_record(form: _Form, lines: list[str]) -> bool:
    csv.field_size_limit(2**27)
    try:
        records = list(csv.reader(lines, delimiter=form.separator, quotechar=form.quote, strict=True))
    except csv.Error:
        return False
    return len(records) == 1


def _stray_quote(form: _Form, row: int, key: str) -> DataError:
    return DataError(
        f"{form.name}: a quote in row {row} is not closed before the next separator: the rows after it would "
        f'be read as one text. Mend the row; where quotes are part of the text, set {key}.quote = "none".'
    )


def _rows_of_lines(ragged: dict[int, int], joined: list[tuple[int, int]]) -> dict[int, int]:
    """The same by rows, where some rows have several lines."""
    rows, extra = {}, 0
    steps = iter([*joined, (2**62, 2**62)])
    first, last = next(steps)
    for number, fields in sorted(ragged.items()):
        while number > last:
            extra += last - first
            first, last = next(steps)
        rows[number - extra] = fields
    return rows


def _scan(form: _Form, *, has_more: bool, has_empty: bool) -> pl.LazyFrame:
    further = FURTHER if has_more else ()
    if form.separator == WHITESPACE:
        names = [*form.names, *further]
        cut = (
            pl.col("line")
            .str.strip_chars()
            .str.replace_all(r"\s+", "\t")
            .str.split_exact("\t", len(names) - 1)
        )
        fields = cut.struct.rename_fields(names).alias("fields")
        frame = _lines(form).select(pl.col("number").alias("row"), fields).unnest("fields")
    else:
        frame = pl.scan_csv(
            form.file,
            separator=form.separator,
            quote_char=form.quote,
            has_header=False,
            skip_lines=form.skipped,
            schema=dict.fromkeys((*form.names, *further), pl.String),
            missing_columns="insert",
            extra_columns="ignore",
            truncate_ragged_lines=True,
            eol_char=form.end_of_line,
            glob=False,
        ).with_row_index("row", offset=1)
    return frame.filter(pl.any_horizontal(pl.col(*form.names).is_not_null())) if has_empty else frame
