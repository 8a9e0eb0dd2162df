"""Is care worth it, for whom, until when, and what if it were faster? Four answers and what silence costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from histories.cuts import ALL
from reports.context import Column, Ledger, Row, Section, Sentence, Verdict
from reports.numbers import money, percent
from reports.sentences import without_notes
from reports.sources import ReportSources
from reports.words import count_words, join, segment_title, upper_first

_OPEN: Final = Verdict(text="not supported", tone="caution")
_MOST: Final = 2  # segments that are named


def worth_section(sources: ReportSources) -> Section | None:
    """The answers as a ledger of sentences; absent without the account of care."""
    if sources.table("returns").is_empty():
        return None
    rows = [_worth(sources), _whom(sources), _until(sources), _faster(sources), _silence(sources)]
    shown = [row for row in rows if row is not None]
    if not shown:
        return None
    return Section(
        key="worth",
        title="Care",
        question="Is care worth it?",
        finding=worth_finding(sources),
        blocks=(
            Ledger(
                label="Question",
                columns=(
                    Column(title="What the data say", form="text"),
                    Column(title="", form="verdict", phone=True),
                ),
                rows=tuple(shown),
            ),
        ),
        foot="Margin rests on estimated effects of answers, cost on the costs table; ranges are 95%.",
    )


def line_of(
    sources: ReportSources, line: str, *, scenario: str = "actual", segment: str = ALL
) -> Mapping[str, Any] | None:
    """A line of the account over all months; None where there is no such line."""
    table = sources.table("returns")
    if table.is_empty():
        return None
    rows = table.filter(
        (pl.col("scenario") == scenario)
        & (pl.col("line") == line)
        & (pl.col("segment") == segment)
        & (pl.col("period") == ALL)
    )
    return rows.row(0, named=True) if rows.height else None


def _scenario(sources: ReportSources) -> str:
    """The actual account where it has a net, else the plan where there is one."""
    actual, plan = line_of(sources, "net"), line_of(sources, "net", scenario="plan")
    has_net = actual is not None and actual["value"] is not None
    return "plan" if actual is None and plan is not None and not has_net else "actual"


def _amount(row: Mapping[str, Any], currency: str | None) -> str:
    """A figure with its range."""
    told = money(row["value"], currency)
    if row["low"] is None or row["high"] is None:
        return told
    return f"{told} ({money(row['low'], currency)} to {money(row['high'], currency)})"


def _why(row: Mapping[str, Any] | None, otherwise: str) -> str:
    return upper_first(without_notes(str(row["reason"]))) if row is not None and row["reason"] else otherwise


def worth_finding(sources: ReportSources) -> Sentence:
    """What care brought for what it cost, or why that cannot be said."""
    scenario = _scenario(sources)
    net, cost, margin = (
        line_of(sources, one, scenario=scenario) for one in ("net", "cost", "incremental margin")
    )
    chance = line_of(sources, "chance above 0", scenario=scenario)
    currency = sources.currency
    if (
        net is not None
        and net["value"] is not None
        and margin is not None
        and cost is not None
        and chance is not None
    ):
        outlay = line_of(sources, "outlay", scenario=scenario)
        spent = cost["value"] + (outlay["value"] if outlay is not None else 0.0)
        planned = "is planned to bring" if scenario == "plan" else "brought"
        return Sentence(
            text=f"Answering {planned} {money(margin['value'], currency)} of margin for "
            f"{money(spent, currency)} of cost; the chance that it pays is "
            f"{percent(chance['value'])}",
            figures={"net": net["value"], "chance": chance["value"]},
        )
    if margin is not None and margin["value"] is not None:
        return Sentence(text=_fast(margin, currency), figures={"margin": margin["value"]})
    if margin is None and cost is None:
        return Sentence(text="Whether care pays cannot be said: no cost of its channels is known")
    return Sentence(text="Whether care pays is not supported by these data")


def _fast(margin: Mapping[str, Any], currency: str | None) -> str:
    """What answers in time added to later ones, where that is all that is known."""
    rest = "; what answering at all brings is not known"
    low, high = margin["low"], margin["high"]
    if low is not None and high is not None and low <= 0 <= high:
        ends = f"anything from {money(low, currency)} to {money(high, currency)} fits the data"
        return f"That fast answers added margin is not shown: {ends}{rest}"
    verb = "added" if margin["value"] >= 0 else "took away"
    if low is None or high is None:
        return f"Fast answers {verb} {money(abs(margin['value']), currency)} of margin{rest}"
    ends = " to ".join(money(end, currency) for end in sorted((abs(low), abs(high))))
    return f"Fast answers, not late ones, {verb} {ends} of margin{rest}"


def _worth(sources: ReportSources) -> Row | None:
    scenario = _scenario(sources)
    net, roi = (line_of(sources, one, scenario=scenario) for one in ("net", "roi"))
    if net is None:
        return None
    if net["value"] is None:
        return _row("Is it worth it?", _why(net, "No margin is supported"), _OPEN)
    text = f"Net {_amount(net, sources.currency)}"
    if roi is not None and roi["value"] is not None:
        text += f", {percent(roi['value'])} of the cost"
    if scenario == "plan":
        return _row(
            "Is it worth it?", f"{text}; planned, on assumptions alone", Verdict(text="plan", tone="open")
        )
    return _row("Is it worth it?", text, _verdict(net))


def _verdict(row: Mapping[str, Any]) -> Verdict:
    if row["low"] is not None and row["low"] > 0:
        return Verdict(text="pays", tone="clear")
    if row["high"] is not None and row["high"] < 0:
        return Verdict(text="does not pay", tone="clear")
    return Verdict(text="not shown", tone="open")


def _row(name: str, text: str, verdict: Verdict) -> Row:
    return Row(name=name, cells=(text, verdict))


def _whom(sources: ReportSources) -> Row | None:
    """Segments whose effect differs from 0 after Holm, and whether segments differ at all."""
    table = sources.table("returns").filter(
        (pl.col("scenario") == "actual") & (pl.col("segment") != ALL) & (pl.col("period") == ALL)
    )
    told = table.filter(pl.col("line") == "effect per case")
    effects = told.filter(pl.col("value").is_not_null())
    if effects.is_empty():
        return None
    tests = table.filter(pl.col("line").str.starts_with("equal effects"))["p_value"].drop_nulls()
    clear = effects.filter((pl.col("p_holm") < 0.05) & (pl.col("value") > 0)).sort("value", descending=True)
    number = count_words(effects.height)
    if clear.is_empty():
        only = f"{segment_title(effects['segment'][0])} alone could be told, and does not stand out"
        text = f"None of {number} segments stands out" if effects.height > 1 else only
        verdict = Verdict(text="not shown", tone="open")
    else:
        named = [
            f"{segment_title(row['segment'])} ({money(row['value'], sources.currency)} per case)"
            for row in clear.head(_MOST).iter_rows(named=True)
        ]
        text, verdict = f"{join(named)} of {number} segments", Verdict(text="clear", tone="clear")
    if tests.len():
        least = float(tests.min())  # type: ignore[arg-type]
        text += "; they differ" if least < 0.05 else f"; that all are alike fits the data (p = {least:.2f})"
    if told.height > effects.height:
        text += f"; not told of {told.height - effects.height} more, too small or with a check that failed"
    return _row("For whom?", upper_first(text), verdict)


def _until(sources: ReportSources) -> Row | None:
    """When it has paid back, what a case must bring, and assumptions that end."""
    scenario = _scenario(sources)
    payback, needed = (
        line_of(sources, one, scenario=scenario) for one in ("payback", "break-even spend per case")
    )
    told = []
    if payback is not None and payback["value"] is not None:
        months = float(payback["value"])
        told.append(
            "it has paid from the first month"
            if months == 0
            else f"it has paid back after {months:.1f} months"
        )
    elif payback is not None and payback["supported"]:
        told.append("it has not paid back by the end of the data")
    if needed is not None and needed["value"] is not None:
        must = f"must bring {money(needed['value'], sources.currency)} of spend to break even"
        brings = _brings(sources, scenario, needed["value"])
        told.append(f"a case {must}" if brings is None else f"a case brings {brings} and {must}")
    gone = [str(row["name"]) for row in sources.manifest.get("assumptions") or () if row.get("expired")]
    if gone:
        told.append(
            f"{count_words(len(gone))} {'assumption has' if len(gone) == 1 else 'assumptions have'} expired"
        )
    if not told:
        return None
    if scenario == "plan":
        words = upper_first("; ".join(told)).replace("It has paid", "It would pay")
        return _row("Until when?", words, Verdict(text="plan", tone="open"))
    net = line_of(sources, "net", scenario=scenario)
    done = payback is not None and payback["value"] is not None
    sure = done and net is not None and _verdict(net).tone == "clear"
    return _row(
        "Until when?",
        upper_first("; ".join(told)),
        Verdict(
            text="paid back" if sure else "not shown" if done else "open", tone="clear" if sure else "open"
        ),
    )


def _brings(sources: ReportSources, scenario: str, needed: float) -> str | None:
    """Spend that a case brings: the part of what it must bring that the margin is of all it has to cover."""
    margin, net = (line_of(sources, one, scenario=scenario) for one in ("incremental margin", "net"))
    if margin is None or net is None or margin["value"] is None or net["value"] is None:
        return None
    to_cover = margin["value"] - net["value"]
    return money(needed * margin["value"] / to_cover, sources.currency) if to_cover > 0 else None


def _faster(sources: ReportSources) -> Row | None:
    """The first promise kept as often as in its best week."""
    course = sources.picture("what_if")
    if course.is_empty():
        return None
    found = course.row(-1, named=True)
    if found["share"] <= found["share_now"]:
        return None
    asked = (
        f"{percent(found['share'])} instead of {percent(found['share_now'])} within the promise "
        f"({found['cases']:,.0f} more cases)"
    )
    if not found["supported"]:
        settle = f"; to settle it: {found['settled_by']}" if found["settled_by"] else ""
        return _row("What if faster?", f"{asked}: {without_notes(found['reason'])}{settle}", _OPEN)
    name = "net" if found["net"] is not None else "margin"
    shown = {end: found[f"{name}_{end}"] for end in ("low", "high")} | {"value": found[name]}
    text = f"{asked}: {name} {_amount(shown, sources.currency)}"
    if found["chance"] is not None:
        text += f", chance {percent(found['chance'])}"
    elif found["hours"]:
        text += f", for {found['hours']:,.0f} hours of work whose cost is not known"
    return _row("What if faster?", text, _verdict(shown))


def _silence(sources: ReportSources) -> Row | None:
    known = line_of(sources, "silence: known customers")
    if known is None or not known["n"]:
        return None
    cases = f"{known['n']:,} requests of known customers got no answer"
    if known["value"] is None:
        return _row("What does silence cost?", f"{cases}: {without_notes(known['reason'])}", _OPEN)
    text = f"{cases}: {_amount(known, sources.currency)} of margin"
    clear = known["low"] is not None and known["low"] > 0
    return _row(
        "What does silence cost?",
        text,
        Verdict(text="clear" if clear else "not shown", tone="clear" if clear else "open"),
    )
