"""The report as one value: sentences, asks, ledgers and charts, with numbers in their own units.

HTML, PDF, the explorer and JSON are renderings of a `ReportContext`; none of them computes a figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Final, Literal

FORMAT_VERSION: Final = 2

AXIS_CHARACTERS: Final = 14
"""Characters of a label that stand beside each other under the narrowest drawn column."""

Tone = Literal["lead", "other", "base", "total", "grey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A claim, and the figures that it was made of (in their own units)."""

    text: str
    figures: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a row's figure may be called: `clear` is filled, `open` dashed, `caution` amber."""

    text: str
    tone: Literal["clear", "open", "caution"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One drawn thing, in the units of its plot.

    Attributes
    ----------
    form
        ``dot`` (value, with its interval), ``bar`` (from start to value, with a whisker), ``span`` (low to
        high, no value), ``bullet`` (0 to value on a track, with target), ``pair`` (start hollow, value
        filled), ``spark`` (points, the last one marked).
    hollow
        The interval holds zero (or break-even), or the bar reduces the outcome.
    """

    form: Literal["dot", "bar", "span", "bullet", "pair", "spark"]
    value: float | None = None
    low: float | None = None
    high: float | None = None
    start: float | None = None
    target: float | None = None
    points: tuple[float | None, ...] = ()
    tone: Tone = "other"
    hollow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """The axis that the marks of a column share: its ends, labelled ticks, and lines to compare with.

    Of ticks whose labels would run into each other every second (third, …) stays.

    >>> ticks = tuple((at, f"${at:g}") for at in (0.0, 100.0, 200.0, 300.0))
    >>> [label for _, label in Plot(low=-100.0, high=320.0, ticks=ticks).ticks]
    ['$0', '$200']
    """

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...] = ()
    zero: float | None = None
    limit: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ticks", self._apart())

    def _middle(self, at: float, label: str) -> float:
        """Where a label's middle stands, in characters from the left; no label leaves the axis."""
        span = self.high - self.low or 1.0
        half = min(len(label), AXIS_CHARACTERS) / 2
        return min(max((at - self.low) / span * AXIS_CHARACTERS, half), AXIS_CHARACTERS - half)

    def _apart(self) -> tuple[tuple[float, str], ...]:
        """Every tick, or every second, third, ... from zero on: the most whose labels fit side by side."""
        zero = next((place for place, (at, _) in enumerate(self.ticks) if at == 0.0), 0)
        for step in range(1, len(self.ticks)):
            kept = [tick for place, tick in enumerate(self.ticks) if (place - zero) % step == 0]
            if all(
                self._middle(*two) - self._middle(*one) >= (len(one[1]) + len(two[1]) + 1) / 2
                for one, two in pairwise(kept)
            ):
                return tuple(kept)
        return self.ticks[zero : zero + 1]


Pair = tuple[float, float]
Cell = float | int | str | Pair | Verdict | tuple[Mark, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What the cells of a column are, and how numbers in it are shown.

    Attributes
    ----------
    form
        ``number``, ``range`` (two numbers), ``text``, ``verdict``, ``plot`` (marks) or ``tint`` (a share
        from 0 to 1, shaded).
    divisor, decimals, signed, prefix, suffix
        A number is divided, rounded, given its sign and what stands around it.
    phone
        Whether the column stays on a narrow screen beside the name.
    strong, right
        Set in the weight of what matters; text that is a figure stands to the right.
    """

    title: str
    form: Literal["number", "range", "text", "verdict", "plot", "tint"] = "number"
    divisor: float = 1.0
    decimals: int = 1
    signed: bool = False
    prefix: str = ""
    suffix: str = ""
    plot: Plot | None = None
    phone: bool = False
    strong: bool = False
    right: bool = False

    @property
    def aligned_right(self) -> bool:
        """Whether the figures stand under each other's last digit."""
        return self.right or self.form in ("number", "range", "verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One channel, effect or measure.

    `rungs` is how far up the ladder of evidence its design stands (4 experiment, 3 like for like, 2 before
    and after, 1 not adjusted); `detail` is the small line under the name; `unsigned` figures are no
    differences.
    """

    name: str
    cells: tuple[Cell, ...]
    role: Literal["lead", "child", "plain", "total", "muted", "group"] = "plain"
    detail: str = ""
    rungs: int = 0
    key: str = ""
    unsigned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """A table that is the chart: a name, drawn estimates, figures aligned on the decimal point."""

    label: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    title: str = ""
    subtitle: str = ""
    foot: str = ""
    half: bool = False
    dense: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SlopePoint:
    """One line of a slope chart, with the interval of its right end."""

    name: str
    left: float
    right: float
    low: float | None = None
    high: float | None = None
    lead: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """Two stems and a line for each row between them."""

    points: tuple[SlopePoint, ...]
    left: str
    right: str
    alt: str
    divisor: float = 1.0
    decimals: int = 1
    title: str = ""
    subtitle: str = ""
    foot: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line over time; x are positions from 0 to 1."""

    name: str
    points: tuple[tuple[float, float], ...]
    lead: bool = False
    dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Lines over time, labelled at their ends, with an optional band around the leading one."""

    series: tuple[Series, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    low: float
    high: float
    alt: str
    band: tuple[tuple[float, float, float], ...] = ()
    divider: tuple[float, str] | None = None
    title: str = ""
    subtitle: str = ""
    foot: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked of the board, by which rule, on what evidence."""

    text: str
    detail: str
    reading: str
    evidence: str
    rule: str
    at_stake: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """The asks in their order."""

    asks: tuple[Ask, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """Sentences that belong together."""

    sentences: tuple[str, ...]
    title: str = ""
    lead: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One illustration."""

    lead: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """Illustrations side by side."""

    cards: tuple[Card, ...]
    title: str = ""
    subtitle: str = ""


Block = Ledger | Slope | Lines | Asks | Prose | Cards


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A question, the finding that answers it, and what it rests on.

    `letter` is that of the appendix; the two pages of the board have none. `terms` are definitions: word and
    meaning.
    """

    key: str
    title: str
    question: str
    finding: Sentence
    blocks: tuple[Block, ...] = ()
    foot: str = ""
    letter: str = ""
    terms: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One figure that opens the report, with its drawn interval where it has one.

    `unit` stands small behind the figure; `tone` is lead for the subject, grey where nothing is shown.
    """

    label: str
    figure: str
    unit: str = ""
    detail: str = ""
    strong: str = ""
    tone: Tone = "other"
    plot: Plot | None = None
    mark: Mark | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A figure that the next report compares its own with."""

    key: str
    value: float
    low: float | None = None
    high: float | None = None
    as_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContext:
    """Everything that a rendering needs, and nothing else.

    Attributes
    ----------
    period, span, amounts
        What the report covers, in words for its head.
    measures
        Headline figures of this report and, oldest first, of those before it.
    notes
        What the run remarked, as it stands in the manifest: for the machine that reads the JSON.
    """

    title: str
    period: str
    span: str
    amounts: str
    as_of: str
    as_of_words: str
    currency: str | None
    run_id: str
    model_version: str
    headline: Sentence
    deck: tuple[Sentence, ...] = ()
    tiles: tuple[Tile, ...] = ()
    tiles_foot: str = ""
    sections: tuple[Section, ...] = ()
    measures: tuple[Measure, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def board(self) -> tuple[Section, ...]:
        """The sections of the first two pages."""
        return tuple(section for section in self.sections if not section.letter)

    @property
    def appendix(self) -> tuple[Section, ...]:
        """The sections behind them."""
        return tuple(section for section in self.sections if section.letter)

    def section(self, key: str) -> Section | None:
        """The section of this key, where the run has it."""
        return next((section for section in self.sections if section.key == key), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; every block and mark says its form."""
        content = asdict(self)
        for section, made in zip(content["sections"], self.sections, strict=True):
            for block, source in zip(section["blocks"], made.blocks, strict=True):
                block["form"] = type(source).__name__.lower()
        return {"format_version": FORMAT_VERSION, **content}
