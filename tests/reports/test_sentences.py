"""Each rule of wording, and the ban on what a board must never read."""

import dataclasses
import re
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attribution.effects.effect import effects_frame
from reports.build import build_context, render_json
from reports.context import Asks, ReportContext
from reports.facts import Estimate, Return, effects_of
from reports.html import render_html
from reports.numbers import money
from reports.sections.decisions import asks_of, size_of_a_test
from reports.sentences import added_sentence, effect_sentence, paid_back, paid_finding, proven_finding
from reports.settings import ReportSettings

from .company import (
    PREVIOUS,
    care,
    credits,
    customers,
    effect,
    effects,
    paths_only,
    roi,
    sources,
    touchpoints,
)


@pytest.mark.parametrize(
    ("estimate", "sentence"),
    [
        (
            Estimate(value=150257.0, low=125437.0, high=175078.0),
            "Social conversations added £150,000 of spend, between £125,000 and £175,000.",
        ),
        (
            Estimate(value=-23840.0, low=-42791.0, high=-4889.0),
            "Social conversations reduced spend by £23,800, between −£42,800 and −£4,890.",
        ),
        (
            Estimate(value=1000.0, low=-2000.0, high=4000.0),
            "That social conversations changed spend is not shown: anything from −£2,000 to £4,000 fits the "
            "data.",
        ),
        (
            Estimate(value=1000.0, supported=False, reason="two starts differ (3.1); more words"),
            "Social conversations: not supported, because two starts differ.",
        ),
        (Estimate(value=1000.0), "Social conversations added £1,000 of spend, without a range."),
    ],
)
def test_what_was_added_is_worded_by_its_interval(estimate: Estimate, sentence: str) -> None:
    assert added_sentence("Social conversations", estimate, "spend", "GBP").text == sentence


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"outcome": "spend", "estimate": 9.53, "low": 0.81, "high": 18.24},
            "Reply within an hour raised spend by £9.53 per customer, between £0.81 and £18.24.",
        ),
        (
            {},
            "Reply within an hour on customers kept is not shown: anything from −1.3 to +7.6 points fits the "
            "data.",
        ),
        (
            {"estimate": -0.05, "low": -0.08, "high": -0.02},
            "Reply within an hour reduced customers kept by 5.0 points, between −8.0 and −2.0 points.",
        ),
    ],
)
def test_what_an_effect_did_is_worded_by_its_interval(changes: dict[str, Any], sentence: str) -> None:
    (fact,) = effects_of(effects_frame([effect(**changes)]))
    assert effect_sentence(fact, "GBP").text == sentence


@pytest.mark.parametrize(
    ("chance", "words"),
    [
        (0.99, "have paid for themselves."),
        (0.90, "have probably paid for themselves; a small loss cannot be ruled out."),
        (0.5, "may or may not have paid for themselves."),
        (0.1, "have probably not paid for themselves."),
        (0.01, "have not paid for themselves."),
    ],
)
def test_paying_back_is_worded_by_its_chance(chance: float, words: str) -> None:
    assert paid_back(chance) == f"They {words}"


def test_a_care_channel_is_a_cost_of_service_and_never_lost_money() -> None:
    def group(name: str, net: float, care: bool) -> Return:
        half = abs(net) / 2
        return Return(
            name=name,
            margin=net + 10,
            cost=10.0,
            net=Estimate(value=net, low=net - half, high=net + half),
            chance=None,
            care=care,
        )

    told = paid_finding(
        [group("newsletter", 37.0, False), group("phone", -90.0, True), group("chat", -34.0, True)]
    )
    assert told.text == "Newsletter paid for itself; phone and chat are costs of service"
    assert "did not earn its cost back" in paid_finding([group("ads", -5.0, False)]).text


def test_a_baseline_beyond_the_total_is_told_in_words() -> None:
    tables = {
        "credits": credits({"social": -40.0, "ads": -50.0}),
        "roi": roi({"social": -40.0, "ads": -50.0}),
    }
    context = build_context(sources("credits", tables=tables))
    earned = context.section("earned")
    assert earned is not None
    assert earned.finding.text.startswith("More than all of spend would have come anyway")
    assert context.deck[0].text == "More than the £910,000 that customers spent would have come anyway."


def test_a_tile_takes_an_effect_that_stands_before_one_that_is_refused() -> None:
    rows = [
        effect(outcome="csat").refused("few answers"),
        effect(name="late", outcome="csat", estimate=0.1, low=0.05),
    ]
    told = build_context(
        sources(
            "effects",
            tables={"effects": effects_frame(rows), "care": care(), "credits": credits()},
            settings=ReportSettings(),
        )
    )
    (tile,) = [tile for tile in told.tiles if tile.label.startswith("Satisfaction")]
    assert (tile.label, tile.figure) == ("Satisfaction: late", "+10.0")


def test_a_finding_says_what_is_clear_before_what_is_not() -> None:
    told = proven_finding(
        [e for e in effects_of(effects()) if e.segment == "(all)" and e.estimator != "naive"]
    )
    assert told.text == "Newsletter test raised spend; an effect on customers kept is not shown"


def test_segments_differ_only_where_the_joint_test_says_so() -> None:
    def finding(p: float) -> str:
        tests = pl.DataFrame(
            {
                "name": ["reply within an hour"],
                "outcome": ["retention"],
                "test": ["equal effects across region"],
                "hypothesis": ["region"],
                "p_value": [p],
            }
        )
        section = build_context(sources("effects", pictures={"tests": tests})).section("segments")
        assert section is not None
        return section.finding.text

    assert finding(0.4).endswith("the regions differ no more than chance explains")
    assert finding(0.01).endswith("most in West, least in East")


def asked(context: ReportContext) -> list[str]:
    return [
        ask.text
        for section in context.sections
        for b in section.blocks
        if isinstance(b, Asks)
        for ask in b.asks
    ]


def test_each_ask_is_fired_by_its_rule() -> None:
    texts = {ask.rule: ask.text for ask in asks_of(sources())}
    assert texts["keep"] == "Keep newsletter and ads, which returned £32 and £3.15 for each £1."
    assert texts["service"] == "Treat phone and chat as service, and ask what a case should cost."
    assert texts["test"] == "Decide whether reply within an hour is worth a test for customers kept."
    assert texts["why"] == "Find out why 35% of requests on Twitter get no answer."
    assert "cut" not in texts
    assert "refusal" not in texts


def test_marketing_that_returns_less_than_it_costs_is_to_be_cut_or_tested() -> None:
    tables = {
        "credits": credits({"social": 1.0, "ads": 5.0}),
        "roi": roi({"social": 1.0, "ads": 5.0}, {"social": 0.1, "ads": 90.0}),
    }
    (cut,) = [ask for ask in asks_of(sources("credits", tables=tables)) if ask.rule == "cut"]
    assert cut.text == "Cut or test ads."


def test_a_figure_that_failed_its_check_is_the_first_ask() -> None:
    refused = credits(supported=False).with_columns(reason=pl.lit("two starts differ"))
    given = sources("credits", tables={"credits": refused, "effects": effects(), "roi": roi()})
    first = asks_of(given)[0]
    assert first.text == "Do not use the figure for what conversations added yet."
    assert first.detail == "Two starts differ."


def test_an_assumption_is_to_be_renewed_from_sixty_days_ahead() -> None:
    from .company import MANIFEST

    def renewals(expires: str) -> list[str]:
        manifest = MANIFEST | {
            "assumptions": [{"name": "margin", "value": 0.45, "owner": "finance", "expires": expires}]
        }
        return [ask.text for ask in asks_of(sources("validation", manifest=manifest)) if ask.rule == "renew"]

    assert renewals("2026-08-01") == renewals("2026-01-01") == ["Renew the assumption margin."]
    assert renewals("2027-01-01") == []


def test_at_most_four_asks_stand_on_the_page() -> None:
    assert len(asked(build_context(sources()))) == 4


def test_nothing_to_decide_is_said() -> None:
    quiet = credits({"social": 1.0}, half=4.0)
    section = build_context(sources("credits", tables={"credits": quiet})).section("decisions")
    assert section is not None
    assert section.finding.text == "Nothing in these data calls for a decision."


def test_the_size_of_a_test_finds_the_estimate_with_power_eighty() -> None:
    (fact,) = effects_of(effects_frame([effect(estimate=0.031686, std_error=0.022562)]))
    assert size_of_a_test(fact) == 3900


def sentences(context: ReportContext) -> list[str]:
    told = [context.headline.text, *(s.text for s in context.deck)]
    for section in context.sections:
        told.append(section.finding.text)
        told += [ask.text for b in section.blocks if isinstance(b, Asks) for ask in b.asks]
        told += [b.title for b in section.blocks if getattr(b, "title", "")]
    return [text for text in told if text]


CAUSAL = re.compile(r"\b(added|earned|raised|reduced|kept customers|took away|lost)\b")


def check_words(context: ReportContext) -> None:
    for text in sentences(context):
        for part in re.split(r"(?<=[.!?]) ", text):
            assert len(part.split()) <= 25, part
        assert not re.search(r"\bnan\b|None|_|GBP|n =|[(\[!]|[+−]{2}|\binf\b", text), text


WORTH = st.floats(-500, 500).map(lambda x: round(x, 3))


@settings(max_examples=25, deadline=None)
@given(
    groups=st.dictionaries(
        st.sampled_from(["social", "paid_search", "chat", "phone", "sms"]), WORTH, min_size=1
    ),
    half=st.floats(0.05, 3),
    scale=st.sampled_from([1.0, 1000.0, 1e6]),
    estimate=st.floats(-0.5, 0.5),
    width=st.floats(0.001, 0.5),
    currency=st.sampled_from(["GBP", "CHF", "JPY", None]),
)
def test_no_sentence_holds_what_a_board_must_not_read(
    groups: dict[str, float], half: float, scale: float, estimate: float, width: float, currency: str | None
) -> None:
    from .company import MANIFEST

    assume(sum(groups.values()) != -1000.0)  # with the baseline's 1,000: nothing was spent
    tables = {
        "credits": credits(groups, half=half, scale=scale),
        "roi": roi(groups, dict.fromkeys(groups, 20.0)),
        "touchpoints": touchpoints(),
        "effects": effects_frame([effect(estimate=estimate, low=estimate - width, high=estimate + width)]),
        "customers": customers(),
        "care": care(),
    }
    given_sources = sources(
        "credits",
        tables=tables,
        manifest=MANIFEST | {"currency": currency},
        settings=ReportSettings(headline_effect="reply within an hour"),
        previous=PREVIOUS,
    )
    context = build_context(given_sources)
    check_words(context)
    check_amounts(context, currency)


def check_amounts(context: ReportContext, currency: str | None) -> None:
    """Amounts in words are those of the JSON, parts add up to the total, and every number is one."""
    content = orjson.loads(render_json(context))
    for sentence in (content["headline"], *content["deck"]):
        told = [sentence["figures"].get(name) for name in ("value", "total", "margin", "cost")]
        amounts = [money(abs(figure), currency) for figure in told if figure is not None]
        assert all(amount in sentence["text"] for amount in amounts) or "not support" in sentence["text"]
    (waterfall,) = next(part for part in content["sections"] if part["key"] == "earned")["blocks"]
    parts = [row["cells"][1] for row in waterfall["rows"]]
    assert sum(parts[:-1]) == pytest.approx(parts[-1], abs=1e-6 * max(map(abs, parts)))
    assert not re.search(r"nan|\binf", repr(dataclasses.asdict(context)))
    shown = re.sub(r"<style.*?</style>|<[^>]*>", " ", render_html(context), flags=re.S)
    assert not re.search(r"\bnan\b|\binf\b|\bNone\b(?! of the|”)", shown)


def test_no_causal_verb_stands_where_nothing_is_supported() -> None:
    for tables in ({"credits": paths_only()}, {"credits": credits(supported=False, reason="placebo failed")}):
        context = build_context(sources("credits", tables=tables))
        causal = [text for text in sentences(context) if CAUSAL.search(text)]
        allowed = ("not known from these data", "do not support a figure", "Do not use the figure")
        assert all(any(words in text for words in allowed) for text in causal), causal
