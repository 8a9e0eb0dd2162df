"""Which effects by segment are drawn, and what is said of the others."""

from __future__ import annotations

import polars as pl

from attribution.effects.effect import Effect, effects_frame
from reports.context import Ledger
from reports.sections.segments import segments_section
from tests.reports.company import sources

LETTERS = "abcdefgh"


def effect(segment: str, value: float, outcome: str = "spend", n: int = 500) -> Effect:
    return Effect(
        name="fast answers", treatment="fast", control="slow", outcome=outcome, segment=segment,
        design="landmark", estimator="aipw", estimand="ATE", estimate=value, std_error=1.0,
        low=value - 1.96, high=value + 1.96, n_treated=n, n_control=n,
    )  # fmt: skip


def joint_test(column: str, p: float) -> dict[str, object]:
    return {
        "name": "fast answers", "outcome": "spend", "test": f"equal effects across {column}",
        "hypothesis": column, "statistic": 1.0, "p_value": p, "p_holm": None, "family": 1,
    }  # fmt: skip


def section(p_values: dict[str, float], extra: tuple[Effect, ...] = ()):
    rows = [effect("(all)", 3.0)]
    rows += [
        effect(f"{column}: {side}", value) for column in p_values for side, value in (("x", 2), ("y", 4))
    ]
    tests = pl.DataFrame([joint_test(column, p) for column, p in p_values.items()])
    made = segments_section(
        sources(tables={"effects": effects_frame([*rows, *extra])}, pictures={"tests": tests})
    )
    assert made is not None
    return made


def test_the_six_whose_segments_differ_most_are_drawn_and_the_others_named() -> None:
    found = section({letter: 0.9 - 0.1 * place for place, letter in enumerate(LETTERS)})
    assert len([block for block in found.blocks if isinstance(block, Ledger)]) == 6
    assert "Shown are the six whose segments differ most." in found.foot
    assert "Not drawn, but in the table of effects: fast answers: spend by a and b." in (found.foot)


def test_one_small_p_of_many_is_corrected_for_being_chosen() -> None:
    """.03 of one column is a difference; the smallest of eight at .03 is none (Holm: .24)."""
    alone = section({"a": 0.03}).finding.text
    many = section({letter: 0.03 if letter == "h" else 0.5 for letter in LETTERS})
    assert "most in Y, least in X" in alone
    assert "differ no more than chance explains" in many.finding.text
    assert "Joint tests (Holm over 8), hs on spend: p = 0.24" in many.foot


def test_other_outcomes_and_columns_of_one_large_group_are_named_too() -> None:
    small = effect("tier: gold", 2.0), effect("tier: grey", 2.0, n=2), effect("tier: lead", 2.0, n=2)
    found = section({"a": 0.03}, (effect("a: x", 0.1, outcome="issues"), *small))
    assert "Shown are the six" not in found.foot
    told = found.foot.split("Not drawn, but in the table of effects: ")[1]
    assert told == "fast answers: contacts about problems by a, spend by tier."


def test_crossed_segments_have_a_title_that_reads() -> None:
    rows = [effect("(all)", 3.0)]
    rows += [effect(f"care_user x spend: {who} x above 113.4", 3.0) for who in ("user", "non-user")]
    found = segments_section(sources(tables={"effects": effects_frame(rows)}))
    assert found is not None
    (ledger,) = found.blocks
    assert isinstance(ledger, Ledger)
    names = [row.name for row in ledger.rows]
    assert names == [
        "User, spend above 113.4",
        "Non-user, spend above 113.4",
        "All users and non-users of care by spend",
    ]
