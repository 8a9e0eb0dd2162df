"""Appendix G: what was set out to be reached, what is still to be learnt, and what was promised."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import polars as pl

from care.objectives import objective_scores
from reports.context import Block, Cell, Column, Ledger, Mark, Plot, Row, Section, Sentence, Verdict
from reports.facts import EffectFact, added, effects_of, preferred, whole
from reports.numbers import decimal, money, points, signed
from reports.sections.decisions import size_of_a_test
from reports.sections.promises import promises_ledger
from reports.sentences import effect_range, outcome_word
from reports.sources import ReportSources
from reports.words import count_words, day, inside, label, upper_first

ALL_SEVEN: Final = (
    "service",
    "reputation",
    "community",
    "leads and sales",
    "awareness",
    "public relations",
    "product ideas",
)
_LEARNING: Final = 8
_CLEAR: Final = 0.05


def objectives_section(sources: ReportSources) -> Section | None:
    """Bullets of the objectives, all seven where any is set; the learning table; absent without both."""
    objectives = _objectives(sources)
    learning = _learning(sources)
    blocks: list[Block] = []
    if objectives is not None:
        blocks.append(objectives)
    if learning is not None:
        blocks.append(learning)
    changes = _changes(sources)
    if changes is not None:
        blocks.append(changes)
    promises = promises_ledger(sources)
    if promises is not None:
        blocks.append(promises)
    if not blocks:
        return None
    if promises is not None and blocks == [promises]:
        return Section(
            key="objectives",
            letter="G",
            title="Promises",
            question="What was promised, and what came of it?",
            finding=Sentence(text=promises.subtitle),
            blocks=(replace(promises, title="", subtitle=""),),
        )
    if objectives is None and learning is None:
        return Section(
            key="objectives",
            letter="G",
            title="Changes",
            question="What did each change do?",
            finding=Sentence(text=_changes_title(sources.picture("changes"))),
            blocks=tuple(blocks),
        )
    finding = _objective_finding(sources) if objectives is not None else _learning_finding(sources)
    return Section(
        key="objectives",
        letter="G",
        title="Objectives and learning" if objectives is not None else "Learning",
        question="Did we reach what we set out to? What next?"
        if objectives is not None
        else "What is still to be learnt?",
        finding=finding,
        blocks=tuple(blocks),
    )


def _changes(sources: ReportSources) -> Ledger | None:
    """The change log: for each entry the figures that moved, and how many did not."""
    frame = sources.picture("changes")
    if frame.is_empty():
        return None
    rows = []
    for (name, when), found in frame.group_by("intervention", "date", maintain_order=True):
        read = found.filter("supported")
        moved = read.filter(pl.col("p_holm") < _CLEAR)
        told = [f"{inside(row['figure'])} {_moved(row, sources)}" for row in moved.iter_rows(named=True)]
        refused = found.height - read.height
        words = "; ".join(told[:3]) or f"none of {read.height} figures moved beyond chance"
        if refused:
            words += f"; {refused} could not be read"
        verdict = (
            Verdict(text="moved", tone="clear") if told
            else Verdict(text="not shown", tone="open") if read.height
            else Verdict(text="not supported", tone="caution")
        )  # fmt: skip
        rows.append(Row(name=f"{name}, {day(when)}", cells=(words, verdict)))
    return Ledger(
        label="Change",
        title=_changes_title(frame),
        subtitle="By week, against the continued trend; per active customer; Holm over all",
        columns=(
            Column(title="What moved with it", form="text"),
            Column(title="", form="verdict", phone=True),
        ),
        rows=tuple(rows[:_LEARNING]),
    )


def _changes_title(frame: pl.DataFrame) -> str:
    clear = frame.filter(pl.col("supported") & (pl.col("p_holm") < _CLEAR))["intervention"].n_unique()
    entries = frame["intervention"].n_unique()
    return upper_first(
        f"{count_words(clear) if clear else 'none'} of {count_words(entries)} "
        f"{'change' if entries == 1 else 'changes'} moved a figure beyond chance"
    )


def _moved(row: dict[str, Any], sources: ReportSources) -> str:
    value = float(row["change"])
    if row["unit"] == "share":
        return f"{points(value)} points"
    return signed(money(value, sources.currency) if row["unit"] == "currency" else decimal(value, 2))


def _entries(sources: ReportSources) -> list[dict[str, Any]]:
    """Objectives with what was measured: objective, kpi, baseline, target, value, attainment."""
    frame = sources.table("objectives")
    if frame.is_empty():
        frame = sources.picture("objectives")
    if frame.is_empty() or "objective" not in frame.columns:
        return []
    return frame.to_dicts()


def _objectives(sources: ReportSources) -> Ledger | None:
    entries = _entries(sources)
    if not entries:
        return None
    rows = []
    for entry in entries:
        now, target, base = (
            entry.get("now", entry.get("value")),
            entry.get("target"),
            entry.get("baseline") or 0.0,
        )
        name, kpi = label(str(entry["objective"])), inside(str(entry.get("kpi") or ""))
        if now is None or target is None:
            rows.append(_unmeasured(name))
            continue
        attained = (now - base) / (target - base) if target != base else float(now >= target)
        met = attained >= 1
        verdict = Verdict(text="met" if met else "not met", tone="clear" if met else "caution")
        drawn: Cell = (Mark(form="bullet", value=min(max(attained, 0.0), 1.5), target=1.0),)
        rows.append(Row(name=name, detail=kpi, cells=(drawn, now, target, verdict)))
    known = {str(entry["objective"]).strip().lower().replace("_", " ") for entry in entries}
    rows += [_unmeasured(label(name)) for name in ALL_SEVEN if name not in known]
    return Ledger(
        label="Objective",
        columns=(
            Column(title="from baseline; the mark is the target", form="plot", plot=Plot(low=0.0, high=1.5)),
            Column(title="now", decimals=2, phone=True, strong=True),
            Column(title="target", decimals=2),
            Column(title="verdict", form="verdict", phone=True),
        ),
        rows=tuple(rows),
    )


def _unmeasured(name: str) -> Row:
    return Row(name=name, role="muted", cells=((), None, None, Verdict(text="not measured", tone="open")))


def _objective_finding(sources: ReportSources) -> Sentence:
    entries = _entries(sources)
    measured, met = 0, 0
    for entry in entries:
        now, target, base = (
            entry.get("now", entry.get("value")),
            entry.get("target"),
            entry.get("baseline") or 0.0,
        )
        if now is None or target is None:
            continue
        measured += 1
        met += int(((now - base) / (target - base) if target != base else float(now >= target)) >= 1)
    if not measured:
        return Sentence(text="None of the objectives is measured")
    rest = len(ALL_SEVEN) - measured
    more = f"; {count_words(rest)} more are not measured" if rest > 1 else ""
    score, _ = objective_scores(
        pl.Series([entry.get("attainment") for entry in entries], dtype=pl.Float64),
        pl.Series([entry.get("weight") for entry in entries], dtype=pl.Float64),
    )
    more += "" if score is None else f"; the weighted score is {score:.2f}"
    return Sentence(
        text=upper_first(
            f"{count_words(met)} of {count_words(measured)} measured objectives "
            f"{'is' if met == 1 else 'are'} met{more}"
        ),
        figures={"met": met, "measured": measured},
    )


def _questions(sources: ReportSources) -> list[tuple[str, str, str, Verdict]]:
    """Question, what the data allow, what would settle it, state; failed experiments stay in."""
    found = _agenda(sources)
    asked = {name for one in _asked(sources) for name in one.get("effects") or ()}
    for effect in preferred(effects_of(sources.table("effects"))):
        if effect.name not in asked:
            found.append((_question(effect), _allowed(effect, sources), _settles(effect), _state(effect)))
    spend = added(whole(sources.table("credits")), "spend")
    for group, estimate in spend.groups.items() if spend is not None and spend.supported else ():
        if estimate.state == "negative":
            found.append(
                (
                    f"Why do customers spend less after {inside(group)}?",
                    f"{money(estimate.value or 0.0, sources.currency)} of spend",
                    "read the cases; vary the offer at random",
                    Verdict(text="open", tone="open"),
                )
            )
    return found[:_LEARNING]


def _asked(sources: ReportSources) -> list[dict[str, Any]]:
    """Questions of the learning agenda, as the configuration has them."""
    care = (sources.manifest.get("configuration") or {}).get("care") or {}
    return list(care.get("agenda") or ())


def _agenda(sources: ReportSources) -> list[tuple[str, str, str, Verdict]]:
    """Each question of the agenda with its owner, the evidence so far, and its state."""
    effects = preferred(effects_of(sources.table("effects")))
    found = []
    for one in _asked(sources):
        linked = [effect for effect in effects if effect.name in (one.get("effects") or ())]
        evidence = [f"{inside(effect.name)}: {_allowed(effect, sources)}" for effect in linked[:2]]
        best = max(linked, key=lambda effect: effect.rungs, default=None)
        owner = f" ({one['owner']})" if one.get("owner") else ""
        found.append(
            (
                f"{one['question']}{owner}",
                "; ".join(evidence) or "no effect is estimated for it",
                "an experiment" if best is None else _settles(best),
                Verdict(text="open", tone="open") if best is None else _state(best),
            )
        )
    return found


def _question(effect: EffectFact) -> str:
    verb = "keep customers" if effect.outcome == "retention" else f"change {outcome_word(effect.outcome)}"
    return f"Does {effect.called} {verb}?"


def _allowed(effect: EffectFact, sources: ReportSources) -> str:
    if effect.estimate.state == "not_supported":
        return "nothing: a check failed"
    return effect_range(effect.estimate, effect.outcome, sources.currency)


def _settles(effect: EffectFact) -> str:
    state = effect.estimate.state
    if state in ("positive", "negative"):
        return "answered by experiment" if effect.rungs >= 4 else "an experiment would confirm it"
    if state == "not_supported":
        return "an experiment"
    size = size_of_a_test(effect)
    if effect.rungs >= 4:
        return "a larger experiment, if a smaller effect matters"
    return f"a test, {size:,} customers in each group" if size else "a test; the estimate is near zero"


def _state(effect: EffectFact) -> Verdict:
    if effect.estimate.state in ("positive", "negative") and effect.rungs >= 4:
        return Verdict(text="settled", tone="clear")
    return Verdict(text="open", tone="open")


def _learning(sources: ReportSources) -> Ledger | None:
    questions = _questions(sources)
    if not questions:
        return None
    return Ledger(
        label="Question",
        title="What we still want to know" if _entries(sources) else "",
        columns=(
            Column(title="What the data allow today", form="text"),
            Column(title="What would settle it", form="text"),
            Column(title="state", form="verdict", phone=True),
        ),
        rows=tuple(
            Row(name=name, cells=(allowed, settles, state)) for name, allowed, settles, state in questions
        ),
    )


def _learning_finding(sources: ReportSources) -> Sentence:
    questions = _questions(sources)
    settled = sum(verdict.text == "settled" for *_, verdict in questions)
    left = len(questions) - settled
    if not left:
        return Sentence(text="Every question asked is settled")
    verb = "is" if left == 1 else "are"
    return Sentence(
        text=upper_first(f"{count_words(left)} of {count_words(len(questions))} questions {verb} open"),
        figures={"open": left, "asked": len(questions)},
    )
