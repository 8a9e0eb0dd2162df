"""Landmark designs on companies whose truth is known: recovery, immortal time, hidden causes, refusals."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from attribution.effects.data.covariates import known_before
from attribution.effects.data.history import build_history, day_of
from attribution.effects.data.index_dates import find_index_dates
from attribution.effects.data.tables import EffectTables
from attribution.effects.design import EffectDesign
from attribution.effects.designs.landmark import build_landmark_units
from attribution.effects.findings import EffectsResult
from attribution.effects.run import estimate_effect, estimate_effects
from benchmarks.worlds import CareWorld, simulate_care_world
from histories.errors import DataError, SchemaError
from histories.money import MONEY_SCALE

EFFECT = 0.2


def fast_reply(**choices: object) -> EffectDesign:
    entry = {
        "name": "reply within the hour",
        "design": "landmark",
        "treatment": {"channel": "twitter", "kind": "care", "first_response_minutes": 60},
        "control": "slower",
        "landmark_days": 28,
        "follow_up_days": 180,
        "outcomes": ["retention", "spend"],
        "covariates": ["score", "region"],
    }
    return EffectDesign(**{**entry, **choices})


def letters(**choices: object) -> EffectDesign:
    return fast_reply(
        **{"name": "letters", "treatment": {"channel": "letter"}, "control": "no_contact", **choices}
    )


def estimate(design: EffectDesign, world: CareWorld, **tables: object) -> EffectsResult:
    held = replace(world.tables, **tables) if tables else world.tables
    return estimate_effect(design, tables=held, observation_end=world.end.date(), gross_margin=0.5)


def world(n: int = 4000, seed: int = 1, **choices: float) -> CareWorld:
    return simulate_care_world(n, np.random.default_rng(seed), **choices)


def truth(design: EffectDesign) -> dict[str, float]:
    """Mean outcome when everybody is answered fast less when nobody is, all else equal."""
    means = []
    for force in (True, False):
        made = simulate_care_world(20_000, np.random.default_rng(99), effect=EFFECT, force=force)
        history = build_history(made.tables, observation_end=made.end.date())
        index = find_index_dates(design, history, made.tables, np.random.default_rng(0))
        units = build_landmark_units(design, history, index, made.tables)
        means.append({name: float(values.mean()) for name, values in units.outcomes.items()})
    return {name: means[0][name] - means[1][name] for name in means[0]}


@pytest.fixture(scope="module")
def reply_effects() -> EffectsResult:
    return estimate(fast_reply(segments=["region"]), world(effect=EFFECT))


def test_a_fast_reply_is_worth_what_the_simulation_says(reply_effects):
    true = truth(fast_reply())
    for outcome in ("retention", "spend"):
        rows = {
            (e.estimator, e.estimand): e
            for e in reply_effects.effects
            if e.outcome == outcome and e.segment == "(all)"
        }
        for key in [("aipw", "ATE"), ("aipw", "ATO"), ("aipw", "ATT"), ("lin", "ATE")]:
            assert rows[key].low <= true[outcome] <= rows[key].high, (outcome, key)
            assert rows[key].supported, rows[key].reason
    naive = rows["naive", "ATE"]
    assert naive.low > 1.5 * true["spend"]
    assert not naive.supported


def test_the_headline_is_the_estimate_chosen_beforehand(reply_effects):
    headline = reply_effects.headline("reply within the hour", "spend")
    assert (headline.estimator, headline.estimand, headline.segment) == ("aipw", "ATE", "(all)")


def test_every_check_is_listed_with_its_value_and_limit(reply_effects):
    checks = reply_effects.pictures["checks"].filter(estimator="aipw", estimand="ATE", outcome="spend")
    assert checks["check"].to_list() == [
        "overlap",
        "balance",
        "effective size",
        "shuffled label",
        "size",
        "placebo outcome",
        "possible",
        "omitted variable",
    ]
    assert checks["passed"].all()


def test_weighting_balances_what_was_apart(reply_effects):
    love = reply_effects.pictures["love"]
    assert love["before"].abs().max() > 0.3
    assert love["after"].abs().max() < 0.05


def test_segments_are_means_of_the_same_scores(reply_effects):
    rows = {
        e.segment: e
        for e in reply_effects.effects
        if (e.outcome, e.estimator, e.estimand) == ("spend", "aipw", "ATE")
    }
    north, south, everybody = rows["region: north"], rows["region: south"], rows["(all)"]
    sizes = [e.n_treated + e.n_control for e in (north, south)]
    assert np.average([north.estimate, south.estimate], weights=sizes) == pytest.approx(everybody.estimate)
    margins = reply_effects.pictures["segment_margins"].filter(segment="region: north")
    assert margins["incremental_margin"][0] == pytest.approx(0.5 * north.estimate * north.n_treated)


def test_a_hidden_cause_is_caught_by_the_placebo():
    result = estimate(fast_reply(outcomes=["spend"]), world(effect=0.0, hidden=1.0))
    headline = result.headline("reply within the hour", "spend")
    assert headline.low > 0, "the estimate itself is fooled"
    assert not headline.supported
    assert "already differed before the start" in headline.reason


def test_letters_to_the_idle_that_do_nothing_do_nothing():
    result = estimate(letters(), world(idle_contacts=1.0))
    for outcome in ("retention", "spend"):
        effect = result.headline("letters", outcome)
        assert effect.low <= 0 <= effect.high
    naive = next(e for e in result.effects if e.estimator == "naive" and e.outcome == "spend")
    assert naive.high < 0, "the idle were chosen, so that the naive figure blames the letters"


def test_immortal_time_makes_a_letter_without_effect_look_like_a_cure():
    """Ever against never contacted: the contacted seem to leave far less; the landmark finds nothing."""
    made = world(idle_contacts=1.0, seed=4)
    customers = made.tables.customers.collect()
    ever = customers["customer_id"].is_in(made.tables.touchpoints.collect()["customer_id"].implode())
    left = customers["ended_at"].is_not_null()
    assert left.filter(ever).mean() < 0.75 * left.filter(~ever).mean()
    effect = estimate(letters(outcomes=["retention"]), made).headline("letters", "retention")
    assert effect.low <= 0 <= effect.high


def test_ever_contacted_is_refused_with_the_reason():
    design = EffectDesign(name="ever", design="ever_contacted", outcomes=["retention"])
    (effect,) = estimate_effects([design]).effects
    assert effect.estimate is None
    assert not effect.supported
    assert "stay long enough to be contacted" in effect.reason


def test_a_landmark_needs_a_control():
    with pytest.raises(ValidationError, match="slower, unanswered, no_contact"):
        fast_reply(control=None)


def test_without_unanswered_problems_there_is_nothing_to_compare():
    design = fast_reply(control="unanswered", treatment={"channel": "twitter"})
    result = estimate(design, world(effect=EFFECT))
    assert all(not effect.supported for effect in result.effects)
    assert "no unanswered problems to compare" in result.effects[0].reason


def test_unanswered_problems_are_the_comparison_where_there_are_some():
    made = world(effect=EFFECT)
    answered = pl.when(pl.col("first_response_at") - pl.col("opened_at") <= pl.duration(minutes=60))
    cases = made.tables.cases.with_columns(first_response_at=answered.then("first_response_at"))
    design = fast_reply(control="unanswered", treatment={"channel": "twitter"}, outcomes=["spend"])
    effect = estimate(design, made, cases=cases).headline("reply within the hour", "spend")
    assert effect.control == "not answered"
    assert effect.low > 0


def test_own_contacts_against_silence_are_refused_where_leaving_is_not_recorded():
    made = world(idle_contacts=1.0)
    inbound = made.tables.touchpoints.with_columns(direction=pl.lit("inbound"), origin=pl.lit("customer"))
    customers = made.tables.customers.drop("ended_at")
    effect = estimate(letters(outcomes=["spend"]), made, touchpoints=inbound, customers=customers).effects[0]
    assert not effect.supported
    assert "proves that the customer was still there" in effect.reason


def test_controls_are_at_risk_on_the_day_and_not_contacted_before_the_landmark():
    made, design = world(1500, idle_contacts=1.0), letters()
    history = build_history(made.tables, observation_end=made.end.date())
    index = find_index_dates(design, history, made.tables, np.random.default_rng(0))
    who, day = index.customers[~index.treated], index.day[~index.treated]
    assert history.at_risk(who, day, design.at_risk_days).all()
    assert (history.ended[who] > day + design.landmark_days).all()
    contacts = made.tables.touchpoints.select(
        "customer_id", contacted=pl.col("timestamp").dt.date().cast(pl.Int32).cast(pl.Int64)
    ).collect()
    drawn = pl.DataFrame({"customer_id": who, "day": day}).join(contacts, on="customer_id")
    near = (pl.col("contacted") >= pl.col("day") - design.washout_days) & (
        pl.col("contacted") <= pl.col("day") + design.landmark_days
    )
    assert drawn.filter(near).is_empty()
    later = drawn.filter(pl.col("contacted") > pl.col("day"))
    assert later.height > 0, "customers who are contacted later serve until then"


def test_nothing_after_the_index_day_enters_the_covariates():
    made, design = world(1500), fast_reply()
    history = build_history(made.tables, observation_end=made.end.date())
    index = find_index_dates(design, history, made.tables, np.random.default_rng(0))
    units = build_landmark_units(design, history, index, made.tables)
    own_day = pl.LazyFrame({"customer_id": index.customers, "own_day": index.day})
    from_index = pl.col("date").cast(pl.Int32) >= pl.col("own_day")
    later = made.tables.purchases.join(own_day, on="customer_id", how="left").with_columns(
        amount=pl.when(from_index).then(pl.col("amount") * 9).otherwise("amount")
    )
    changed = build_history(replace(made.tables, purchases=later), observation_end=made.end.date())
    again = build_landmark_units(design, changed, index, made.tables)
    # running sums of floats differ in their last digits
    np.testing.assert_allclose(units.covariates, again.covariates, rtol=1e-8)
    assert again.outcomes["spend"].sum() == pytest.approx(9 * units.outcomes["spend"].sum())


def test_a_satisfaction_of_the_same_case_is_not_known_when_it_opens():
    made = world(1500)
    cases = made.tables.cases.with_columns(
        resolved_at=pl.col("opened_at") + pl.duration(days=3), csat=pl.col("customer_id") % 5 + 1
    )
    tables = replace(made.tables, cases=cases)
    design = fast_reply(covariates=["csat"])
    history = build_history(tables, observation_end=made.end.date())
    index = find_index_dates(design, history, tables, np.random.default_rng(0))
    units = build_landmark_units(design, history, index, tables)
    flag = units.covariate_names.index("csat=missing")
    # everybody has one case only
    assert units.covariates[:, flag].all()


def test_segments_by_spend_loyalty_tenure_and_generation_are_made_from_the_history():
    made = world(2500)
    customers = made.tables.customers.with_columns(birth_year=1940 + pl.col("customer_id") % 80)
    segments = ("spend", "loyalty", "tenure", "generation")
    result = estimate(fast_reply(segments=segments, outcomes=["spend"]), made, customers=customers)
    by_column = {name: [] for name in segments}
    for effect in result.effects:
        if effect.segment != "(all)":
            by_column[effect.segment.split(": ")[0]].append(effect)
    assert len(by_column["spend"]) == 4
    assert len(by_column["tenure"]) == 4
    assert {e.segment for e in by_column["generation"]} >= {"generation: boomer", "generation: millennial"}
    for effects in by_column.values():
        assert sum(e.n_treated for e in effects) == result.effects[0].n_treated


def test_tenure_and_the_use_of_care_are_those_of_the_day_before():
    day = dt.date(2026, 3, 1)
    bought = {"customer_id": [1, 2, 3], "date": [dt.date(2026, 1, 10)] * 3, "amount": [MONEY_SCALE] * 3}
    opened = {"customer_id": [1, 2], "opened_at": [dt.datetime(2026, 3, 1, 8), dt.datetime(2026, 2, 28, 9)]}
    tables = EffectTables(
        purchases=pl.LazyFrame(bought),
        cases=pl.LazyFrame(opened),
        customers=pl.LazyFrame({"customer_id": [1, 2, 3], "acquired_at": [dt.date(2025, 3, 1), None, None]}),
    )
    history = build_history(tables, observation_end=dt.date(2026, 6, 30))
    three = np.arange(3)
    known = known_before(("tenure", "care_user"), history, tables, three, np.full(3, day_of(day)))
    assert known["tenure"].to_list() == [365, 50, 50]
    assert known["care_user"].to_list() == ["non-user", "user", "non-user"]
    unborn = known_before(("tenure",), history, tables, three, np.full(3, day_of(dt.date(2025, 12, 1))))
    assert unborn["tenure"].to_list() == [275, None, None]


def test_a_landmark_may_count_minutes_of_opening_hours():
    made = world(1500)
    history = build_history(made.tables, observation_end=made.end.date())
    design = fast_reply(clock="business")
    with pytest.raises(DataError, match=r'clock = "business" needs \[care.hours\]'):
        find_index_dates(design, history, made.tables, np.random.default_rng(0))
    calendar = (pl.col("first_response_at") - pl.col("opened_at")).dt.total_seconds() / 60
    cases = made.tables.cases.with_columns(first_response_business_minutes=calendar / 10)
    timed = replace(made.tables, cases=cases)
    fast = find_index_dates(design, history, timed, np.random.default_rng(0)).opening
    assert fast["treated"].to_list() == (fast["calendar_minutes"] <= 600).to_list()
    assert (fast["calendar_minutes"] <= 600).sum() > (fast["calendar_minutes"] <= 60).sum()
    with pytest.raises(ValidationError, match="clock belongs to"):
        fast_reply(clock="business", control="unanswered", treatment={"kind": "care"})


def test_a_misspelt_covariate_names_the_nearest_column():
    with pytest.raises(SchemaError, match='did you mean "region"'):
        estimate(fast_reply(covariates=["regoin"]), world(500))


def test_an_unknown_outcome_is_listed_with_the_allowed_ones():
    made = world(1500)
    result = estimate_effects(
        [fast_reply(outcomes=["spent"])], tables=made.tables, observation_end=made.end.date()
    )
    assert 'did you mean "spend"' in result.effects[0].reason


def test_without_purchases_no_design_on_customers_works():
    with pytest.raises(DataError, match="need purchases"):
        estimate_effect(fast_reply(), tables=EffectTables())


def _written_or_asked(
    n: int = 3000, *, recorded: bool = True, seed: int = 8, effect: float = 5.0, leave: bool = False
) -> EffectTables:
    """The brand writes first to those who spend much; that brings `effect` after, and an answer nothing.

    With `leave` half of those who spend little leave in the months after, and a seventh of the others.
    """
    rng = np.random.default_rng(seed)
    worth, day = rng.gamma(2.0, 10.0, n), rng.integers(200, 300, n)
    began = rng.random(n) < 1 / (1 + np.exp(1.5 - 0.05 * worth))
    first = dt.datetime(2025, 1, 1)
    ids = np.arange(n)
    at = lambda days: [first + dt.timedelta(days=int(d)) for d in days]  # noqa: E731
    amounts = [(day - back, worth) for back in (15, 45, 75, 105)]
    amounts.append((day + rng.integers(40, 80, n), worth + effect * began + rng.normal(0, 3, n)))
    purchases = pl.concat(
        pl.DataFrame({"customer_id": ids, "timestamp": at(days), "amount": (spent * MONEY_SCALE).astype(int)})
        for days, spent in amounts
    ).with_columns(date=pl.col("timestamp").dt.date())
    touches = pl.DataFrame(
        {
            "customer_id": ids, "timestamp": at(day), "channel": ["mail"] * n, "channel_group": ["mail"] * n,
            "kind": ["care"] * n, "direction": np.where(began, "outbound", "inbound"), "proactive": began,
        }
    )  # fmt: skip
    gone = (rng.random(n) < np.where(worth < 20, 0.5, 0.15)) if leave else ids == 0
    days = day + rng.integers(100, 200, n) if leave else np.full(n, 424)
    ended = pl.Series("ended_at", [(first + dt.timedelta(days=int(d))).date() if g and recorded else None
                                   for g, d in zip(gone, days, strict=True)])  # fmt: skip
    people = pl.DataFrame({"customer_id": ids, "acquired_at": [first.date()] * n}).with_columns(ended)
    return EffectTables(
        touchpoints=touches.lazy(), purchases=purchases.lazy(),
        customers=(people if recorded else people.drop("ended_at")).lazy(),
    )  # fmt: skip


def _proactive(**choices: object) -> EffectDesign:
    entry = {"treatment": {"kind": "care", "proactive": True}, "control": "reactive", "outcomes": ["spend"]}
    return fast_reply(**{**entry, "landmark_days": 30, "follow_up_days": 90, "covariates": [], **choices})


def test_care_that_the_brand_began_is_held_against_care_that_was_asked_for():
    found = estimate_effect(
        _proactive(), tables=_written_or_asked(), observation_end=dt.date(2026, 3, 31), gross_margin=0.5
    )
    rows = {(e.estimator, e.estimand): e for e in found.effects}
    assert rows["aipw", "ATE"].low < 5 < rows["aipw", "ATE"].high
    assert rows["aipw", "ATE"].supported, rows["aipw", "ATE"].reason
    assert rows["naive", "ATE"].low > 8
    assert (rows["aipw", "ATE"].treatment, rows["aipw", "ATE"].control) == ("proactive care", "asked first")


@pytest.mark.slow
@pytest.mark.parametrize(("effect", "first"), [(5.0, 0), (0.0, 1000)])
def test_what_the_brand_began_is_told_right_in_nine_of_ten_companies_and_naive_in_none(effect, first):
    """Spend, where writing first brings 5 or nothing, and retention, which it never moves; 80 companies."""
    held, naive, supported = {"spend": 0, "retention": 0}, 0, 0
    for seed in range(first, first + 80):
        found = estimate_effects(
            [_proactive(outcomes=["spend", "retention"])],
            tables=_written_or_asked(2000, seed=seed, effect=effect, leave=True),
            observation_end=dt.date(2026, 6, 30),
        )
        rows = {(e.outcome, e.estimator): e for e in found.effects if e.estimand == "ATE"}
        for outcome, true in (("spend", effect), ("retention", 0.0)):
            told = rows[outcome, "aipw"]
            held[outcome] += told.low <= true <= told.high
            supported += told.supported
        naive += rows["spend", "naive"].low <= effect <= rows["spend", "naive"].high
    said = held, naive, supported
    assert min(held.values()) >= 72, said
    assert naive == 0, said
    assert supported >= 144, said


def test_who_asks_proves_to_be_there_so_the_two_are_not_held_together_where_nobody_knows_who_left():
    tables = _written_or_asked(recorded=False)
    found = estimate_effect(_proactive(), tables=tables, observation_end=dt.date(2026, 3, 31))
    assert "proves to be still there" in found.effects[0].reason
    unknown = tables.touchpoints.drop("proactive")
    with pytest.raises(DataError, match="no proactive to select by"):
        estimate_effect(_proactive(), tables=replace(tables, touchpoints=unknown))
    with pytest.raises(ValidationError, match=r"reactive.* belongs to a landmark"):
        fast_reply(control="reactive")
