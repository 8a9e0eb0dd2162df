"""View Compare: what moved between the run being served and another one beside it, and whether by chance."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import polars as pl

from api.explore.credit import Choice
from api.explore.library import Shelf
from api.served import Served
from experiments.bundle.reading import read_bundle
from experiments.comparing import Compared, FoundInBundle, Moved, found_in, moved_figures, moved_scores
from histories.errors import BundleError
from reports.context import Block, Cell, Column, Ledger, Mark, Plot, Row, Section, Sentence, Verdict
from reports.numbers import MINUS, money, percent, points, short, signed
from reports.sections.care_figures import NAMES
from reports.sentences import MONEY_OUTCOMES, SHARE_OUTCOMES, outcome_word
from reports.words import ESTIMATORS, count_words, day, duration, inside, join, label, upper_first

_MOST_RUNS: Final = 20
_MOST_FIGURES: Final = 60
_MOST_CUSTOMERS: Final = 10
_MOST_SETTINGS: Final = 30
_PLOT: Final = Plot(low=-3.0, high=3.0, zero=0.0, ticks=((-2.0, "−2"), (0.0, "0"), (2.0, "+2")))
_KEPT: Final = 4
_ERRORS: Final = {"mae": "Mean absolute error of a customer", "deviance": "Deviance of a customer"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareView:
    """Everything that the view shows for its choice."""

    others: tuple[Choice, ...]
    parts: tuple[Section, ...]
    moved: tuple[Moved, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Other:
    """Another run whose bundle lies in the same folder."""

    run_id: str
    path: Path
    as_of: str
    name: str


def compare_view(shelf: Shelf, served: Served, home: Path | None, *, other: str | None) -> CompareView:
    """What moved since the run that is asked for, else since the newest other one."""
    found = _others(home, served)
    chosen = next((one for one in found if one.run_id == other), found[0] if found else None)
    choices = tuple(
        Choice(value=one.run_id, label=_run_words(one, served), chosen=one is chosen) for one in found
    )
    if chosen is None:
        return CompareView(others=(), parts=(), moved=())
    key = ("explored", chosen.run_id, chosen.path)
    made = served.comparisons.get(key)
    if made is None:
        try:
            before = read_bundle(chosen.path, found_in, verify=False)
        except (BundleError, OSError, KeyError, pl.exceptions.PolarsError):
            return CompareView(others=choices, parts=(_unreadable(),), moved=())
        now = found_in(served.bundle)
        made = _compared(shelf, served, before, now, chosen)
        for old in list(served.comparisons)[:-_KEPT]:
            served.comparisons.pop(old, None)
        served.comparisons[key] = made
    parts, moved = made
    return CompareView(others=choices, parts=parts, moved=moved)


def compared_rows(view: CompareView) -> pl.DataFrame:
    """The figures behind the view: each with its interval then and now, and how far chance goes."""
    schema = dict.fromkeys(
        ("before", "before_low", "before_high", "now", "now_low", "now_high", "change", "chance"), pl.Float64
    )
    rows = [
        (
            one.name,
            one.before,
            *(one.before_range or (None, None)),
            one.now,
            *(one.now_range or (None, None)),
            one.change,
            one.chance,
            one.beyond_chance,
        )
        for one in view.moved
    ]
    return pl.DataFrame(
        rows, schema={"figure": pl.String, **schema, "beyond_chance": pl.Boolean}, orient="row"
    )


def _others(home: Path | None, served: Served) -> list[_Other]:
    """Bundles beside the one being served, those of the same name and the newest first."""
    if home is None:
        return []
    own = served.bundle.path.resolve()
    found: list[tuple[tuple[bool, str, float], _Other]] = []
    for path in home.iterdir():
        manifest = path / "manifest.json"
        if path.name.startswith(".") or path.is_symlink() or path.resolve() == own:
            continue
        try:
            content, written = orjson.loads(manifest.read_bytes()), manifest.stat().st_mtime
            one = _Other(
                run_id=str(content["run_id"]),
                path=path,
                as_of=str(content["as_of"])[:10],
                name=str(content["name"]),
            )
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            continue
        found.append(((one.name == served.bundle.manifest.get("name"), one.as_of, written), one))
    found.sort(key=lambda pair: pair[0], reverse=True)
    return [one for _, one in found[:_MOST_RUNS]]


def _run_words(one: _Other, served: Served) -> str:
    name = "" if one.name == served.bundle.manifest.get("name") else f", {one.name}"
    return f"{one.run_id[:12]}, data to {_date_words(one.as_of)}{name}"


def _date_words(text: str) -> str:
    try:
        return day(dt.date.fromisoformat(text))
    except ValueError:
        return text


def _unreadable() -> Section:
    text = "That run's bundle cannot be read"
    return Section(key="moved", title="", question="", finding=Sentence(text=text))


def _compared(
    shelf: Shelf, served: Served, before: FoundInBundle, now: FoundInBundle, other: _Other
) -> tuple[tuple[Section, ...], tuple[Moved, ...]]:
    moved = sorted(moved_figures(before, now), key=_rank)
    scores = moved_scores(before, now, most=_MOST_CUSTOMERS, hidden=served.is_erased)
    figures = Section(
        key="moved",
        title="What moved",
        question=f"Run {other.run_id[:12]}, data to {_date_words(other.as_of)}, against the one being served",
        finding=Sentence(text=_finding(moved)),
        blocks=_figures(shelf, moved),
        foot="Drawn: the change with its interval; 1 is as far as chance goes between independent runs. "
        "Runs that share data share their chance too, so that less may already be a change."
        + (f" {len(moved) - _MOST_FIGURES} more are in the download." if len(moved) > _MOST_FIGURES else ""),
    )
    parts = (figures, _went_in(before, now), _customers(scores, shelf.sources.currency))
    return tuple(part for part in parts if part is not None), tuple(moved)


def _rank(one: Moved) -> tuple[int, float]:
    """What went beyond chance first, then what has no interval, then the rest; the largest first in each."""
    size = abs(one.change) / one.chance if one.chance else abs(one.change) / (abs(one.before) or 1.0)
    return {True: 0, None: 1, False: 2}[one.beyond_chance], -size


def _finding(moved: list[Moved]) -> str:
    if not moved:
        return "No figure moved"
    beyond = [one for one in moved if one.beyond_chance]
    judged = [one for one in moved if one.beyond_chance is not None]
    if not judged:
        return "No figure that moved has an interval in both runs"
    if not beyond:
        return f"None of {len(judged)} figures with an interval moved further than chance goes"
    names = join([_told(one.name) for one in beyond], most=2)
    number = upper_first(count_words(len(beyond)))
    return f"{number} of {len(judged)} figures moved further than chance goes: {names}"


def _told(name: str) -> str:
    """A figure inside a sentence."""
    head, _, rest = name.partition(".")
    words = _words(name)[1]
    if head == "credit":
        outcome, _, place = rest.split(".", 2)
        end = "that would have come anyway" if place.startswith("baseline") else f"added by {inside(words)}"
        return f"{outcome_word(outcome)} {end}"
    return words[:1].lower() + words[1:]


def _figures(shelf: Shelf, moved: list[Moved]) -> tuple[Block, ...]:
    if not moved:
        return ()
    rows: list[Row] = []
    for group in dict.fromkeys(_words(one.name)[0] for one in moved):
        shown = [one for one in moved[:_MOST_FIGURES] if _words(one.name)[0] == group]
        if shown:
            rows.append(Row(name=group, cells=(), role="group"))
            rows += [_row(shelf, one) for one in shown]
    columns = (
        Column(title="change against chance", form="plot", plot=_PLOT),
        Column(title="then", form="text", right=True),
        Column(title="now", form="text", right=True, strong=True),
        Column(title="change", form="text", right=True, phone=True),
        Column(title="reading", form="verdict", phone=True),
    )
    return (Ledger(label="Figure", columns=columns, rows=tuple(rows), dense=True),)


def _row(shelf: Shelf, one: Moved) -> Row:
    show = _shower(one.name, shelf)
    marks: tuple[Mark, ...] = ()
    if one.chance:
        ratio = one.change / one.chance
        at = max(-2.9, min(2.9, ratio))
        hollow = not one.beyond_chance
        marks = (Mark(form="dot", value=at, low=at - 1, high=at + 1, hollow=hollow),)
    verdict = {
        True: Verdict(text="rose" if one.change > 0 else "fell", tone="clear"),
        False: Verdict(text="within chance", tone="open"),
        None: Verdict(text="no interval", tone="open"),
    }[one.beyond_chance]
    change = f"{points(one.change)} pts" if show is _share else signed(show(one.change))
    cells: tuple[Cell, ...] = (marks, show(one.before), show(one.now), change, verdict)
    return Row(name=_words(one.name)[1], cells=cells, role="child")


def _words(name: str) -> tuple[str, str]:
    """The group and the words of a figure, as MLflow names it."""
    head, _, rest = name.partition(".")
    if head == "credit":
        outcome, _, channel = rest.split(".", 2)
        level, _, who = channel.partition(".")
        what = "Would have come anyway" if level == "baseline" else label(who)
        return f"Added to {outcome_word(outcome)}", what
    if head == "effect":
        parts = rest.rsplit(".", 4)
        if len(parts) == 5:
            title, outcome, _, estimator, estimand = parts
            how = ESTIMATORS.get(estimator, label(estimator))
            return f"Effects on {outcome_word(outcome)}", f"{upper_first(title)}: {how.lower()}, {estimand}"
        return "Effects", upper_first(rest)
    if head == "care":
        kpi, _, clock = rest.partition(".")
        return "Service", NAMES.get(kpi, label(kpi)) + (
            f" ({clock.replace('_', ' ')} clock)" if clock else ""
        )
    if head == "holdout":
        return "Forecast on months held back", _ERRORS.get(rest, label(rest))
    return "Customers and their value", {
        "customers": "Customers",
        "customer_lifetime_value": "Value of all customers",
        "total.expected_purchases": "Purchases expected",
    }.get(name, label(rest or name))


def _shower(name: str, shelf: Shelf) -> Callable[[float], str]:
    """How a figure is shown: money, a share, or a number alone."""
    head, _, rest = name.partition(".")
    outcome = rest.split(".", 1)[0] if head == "credit" else ""
    if head == "effect" and rest.count(".") >= 4:
        outcome = rest.rsplit(".", 4)[1]
    currency = shelf.sources.currency
    unit = shelf.care_units.get(rest.partition(".")[0], "") if head == "care" else ""
    if outcome in MONEY_OUTCOMES or name == "customer_lifetime_value" or unit == "currency":
        return lambda value: money(value, currency)
    shares = ("holdout.total_error", "holdout.revenue_error")
    if name in shares or unit == "share" or (head == "effect" and outcome in SHARE_OUTCOMES):
        return _share
    if unit.endswith("minutes"):
        return _minutes
    return short


def _minutes(value: float) -> str:
    return f"{MINUS if value < 0 else ''}{duration(abs(value))}"


def _share(value: float) -> str:
    return percent(value, 1)


def _went_in(before: Compared, now: Compared) -> Section | None:
    """Data and settings that are not the same in both."""
    rows = [*_data(before, now), *_settings(before, now)]
    if not rows:
        return Section(
            key="input",
            title="What went in",
            question="What went in?",
            finding=Sentence(text="Both runs read the same rows with the same settings"),
        )
    data = sum(row.key == "data" for row in rows)
    told = [
        f"{count_words(data)} {'table has' if data == 1 else 'tables have'} other rows" if data else "",
        f"{count_words(len(rows) - data)} {'setting differs' if len(rows) - data == 1 else 'settings differ'}"
        if len(rows) > data
        else "",
    ]
    columns = (
        Column(title="then", form="text", phone=True),
        Column(title="now", form="text", phone=True),
    )
    shown = tuple(rows[:_MOST_SETTINGS])
    more = len(rows) - len(shown)
    return Section(
        key="input",
        title="What went in",
        question="What went in?",
        finding=Sentence(text=upper_first("; ".join(text for text in told if text))),
        blocks=(Ledger(label="Table or setting", columns=columns, rows=shown),),
        foot=f"{more:,} more settings differ; tributary compare lists them." if more else "",
    )


def _data(before: Compared, now: Compared) -> Iterator[Row]:
    for name in sorted(before.datasets | now.datasets):
        if before.datasets.get(name) != now.datasets.get(name):
            counts = [run.metrics.get(f"rows.{name}.valid") for run in (before, now)]
            cells = tuple("absent" if n is None else f"{n:,.0f} rows" for n in counts)
            yield Row(name=name.replace("_", " "), cells=cells, key="data")


def _settings(before: Compared, now: Compared) -> Iterator[Row]:
    for name in sorted(before.parameters | now.parameters):
        then, is_now = before.parameters.get(name), now.parameters.get(name)
        if then != is_now:
            yield Row(name=name, cells=(_cut(then), _cut(is_now)), key="setting")


def _cut(text: str | None) -> str:
    return "not set" if text is None else text if len(text) <= 80 else f"{text[:79]}…"


def _customers(scores: pl.DataFrame, currency: str | None) -> Section | None:
    if scores.is_empty():
        return None
    rows = tuple(
        Row(
            name=row["customer_id"],
            key=row["customer_id"],
            cells=(
                money(row["before"], currency),
                money(row["now"], currency),
                signed(money(row["now"] - row["before"], currency)),
                row["why"].replace("_", " "),
            ),
        )
        for row in scores.iter_rows(named=True)
    )
    first = rows[0]
    columns = (
        Column(title="then", form="text", right=True),
        Column(title="now", form="text", right=True, strong=True),
        Column(title="change", form="text", right=True, phone=True),
        Column(title="because", form="text", phone=True),
    )
    return Section(
        key="customers",
        title="Customers",
        question="Whose value moved most?",
        finding=Sentence(text=f"The largest move is that of customer {first.name}: {first.cells[2]}"),
        blocks=(Ledger(label="Customer", columns=columns, rows=rows),),
    )
