"""What an answer is worth by how long it took, on companies whose truth is known.

``python -m benchmarks.waiting --world care --companies 20 --customers 12000``

`care` and `care_no_effect` are the desks of `histories.simulation`. `rush` is of another form: open day and
night, agents on three shifts, two channels that do not help each other, one case per customer. A customer's
spend in the weeks after the case is 40 + 3 v + effect T - 10 anger + noise, with v the value that former
purchases show and T an answer within the hour; the tone that is seen is anger and as much noise again, and
agents take the angriest first. So fast answers go to the angry: the naive difference is off by what anger
costs, one adjusted for tone by half of it. In `rush_busy` every open case per agent costs 1 by itself, which
nothing in the tables tells. In `rota` the agents of each line take turns by lot and differ in speed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import heapq
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.data.cases import build_case_units
from attribution.effects.data.history import build_history
from attribution.effects.data.index_dates import find_index_dates
from attribution.effects.data.tables import EffectTables, Setting
from attribution.effects.design import EffectDesign
from attribution.effects.designs.landmark import build_landmark_units
from attribution.effects.designs.observational import estimate_adjusted
from attribution.effects.designs.queue import queue_findings
from attribution.effects.designs.response_curve import curve_findings
from attribution.effects.effect import Effect
from attribution.effects.run import estimate_effects
from experiments.config import load_config
from experiments.inputs import read_inputs
from experiments.parts.care import find_cases
from experiments.parts.evidence import effect_tables
from experiments.parts.histories import build_histories
from histories.money import MONEY_SCALE
from histories.simulation.desk import DAY, ZONE, gain_of
from histories.simulation.desk_company import DeskCompany, simulate_care, write_care

Vector = NDArray[np.float64]

DAYS = 200
FIRST = dt.datetime(2025, 3, 1)
HOUR = 3600
COST_OF_ANGER = 10.0
OVERLOOKED = 0.05
CHANNELS = ("chat", "phone")
LOAD = 0.75
"""Share of the time that agents are at work on a case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RushWorld:
    """Tables of a company that answers day and night, and how long each case waited, in minutes."""

    tables: EffectTables
    end: dt.date
    waited: Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Rota:
    """Agents who take turns by lot, and how they differ.

    Attributes
    ----------
    spread
        Standard deviation of log work on a case between agents.
    skill
        Standard deviation of what an agent's being at work adds to spend, fast or not.
    better
        How much more worth those are who write while agents faster by one standard deviation are at work.
    """

    spread: float = 0.6
    skill: float = 0.0
    better: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Who of a line is at work in each third of a day, from two days before the first.

    Attributes
    ----------
    at_work : shape (thirds, agents)
        Numbers of agents.
    slow, skill : shape (all agents of the line,)
        Factor on work; what being at work adds to spend.
    """

    at_work: NDArray[np.int64]
    slow: Vector
    skill: Vector

    def now(self, seconds: float) -> NDArray[np.int64]:
        """Who is at work so many seconds after the first day began."""
        found: NDArray[np.int64] = self.at_work[int(seconds // (8 * HOUR)) + 6]
        return found


def simulate_rush(
    n: int,
    rng: np.random.Generator,
    *,
    effect: float = 5.0,
    busy: float = 0.0,
    jump: float = 3.0,
    rota: Rota | None = None,
    drawn: float = 0.0,
) -> RushWorld:
    """One case of each of n customers.

    Parameters
    ----------
    n, rng
        Customers, and the source of chance.
    effect
        What an answer within the hour adds to spend, in currency.
    busy
        What each open case per agent adds to spend by itself.
    jump
        How many cases of a calm person an angry one (by one standard deviation) passes over, as exp(jump).
    rota
        Agents who take turns and differ; None: all are alike, and each always has the same third of the day.
    drawn
        Share of the cases that are drawn by lot to go before all others.
    """
    started = _arrivals(n, rng)
    anger, value = rng.normal(size=n), rng.gamma(2.0, 1.0, n)
    line = rng.integers(0, 2, n)
    agents = max(2, round(n / 4000))
    turns = [_turns(agents, rota, rng) for _ in (0, 1)]
    first = rng.random(n) < drawn if drawn else np.zeros(n, dtype=bool)
    urgency = jump * anger + np.where(first, 24.0 * DAYS, 0.0)
    ended, length, skill, who = np.empty(n), np.empty(n), np.zeros(n), np.empty(n, dtype=np.int64)
    for number in (0, 1):
        mine = np.flatnonzero(line == number)
        ended[mine], length[mine], who[mine] = _answer(started[mine], urgency[mine], turns[number], rng)
        if rota is not None:
            there = [turns[number].now(at) for at in started[mine]]
            skill[mine] = [turns[number].skill[those].sum() for those in there]
            quick = np.array([-np.log(turns[number].slow[those]).mean() for those in there])
            value[mine] = np.maximum(
                value[mine] + rota.better * (quick - quick.mean()) / (quick.std() + 1e-9), 0.1
            )
    ended[rng.random(n) < OVERLOOKED] = np.inf
    waited = (ended - started) / 60
    fast = waited <= 60
    spend = (
        40 + 3 * value + effect * fast - COST_OF_ANGER * anger + busy * length + skill + rng.normal(0, 8, n)
    )
    tables = _tables(started, ended, anger, value, line, np.maximum(spend, 0.01), turns, rng)
    if rota is not None:
        named = pl.Series([f"{CHANNELS[k]} {agent}" for k, agent in zip(line, who, strict=True)])
        cases = tables.cases.collect().with_columns(agent=named).lazy()  # type: ignore[union-attr]
        tables = replace(tables, cases=cases)
    if drawn:
        tables = replace(tables, assignments=_arms(tables, first))
    return RushWorld(
        tables=tables,
        end=(FIRST + dt.timedelta(days=DAYS + 60)).date(),
        waited=waited,
    )


def _arms(tables: EffectTables, first: NDArray[np.bool_]) -> pl.LazyFrame:
    """Who was drawn, as the table `assignments` has it."""
    assert tables.cases is not None
    arm = pl.Series("arm", np.where(first, "priority", "usual"))
    return tables.cases.select(
        "customer_id", experiment=pl.lit("lottery"), arm=arm, assigned_at=pl.col("opened_at")
    )


def _arrivals(n: int, rng: np.random.Generator) -> Vector:
    """Seconds from the first day, by the hour, on days of uneven load; sorted."""
    hours = np.arange(DAYS * 24)
    rhythm = 1 + 0.5 * np.sin(2 * np.pi * (hours % 24 - 9) / 24)
    load = np.exp(rng.normal(0, 0.35, DAYS)).repeat(24) * np.exp(rng.normal(0, 0.25, len(hours)))
    weights = rhythm * load
    at = rng.choice(hours, n, p=weights / weights.sum()) * HOUR + rng.integers(0, HOUR, n)
    return np.sort(at).astype(float)


def _turns(agents: int, rota: Rota | None, rng: np.random.Generator) -> Turns:
    """Who is at work when: the same by the third of the day, or by lot out of ten."""
    thirds = 3 * (DAYS + 62)
    if rota is None:
        at_work = np.arange(agents) + agents * (np.arange(thirds) % 3)[:, None]
        return Turns(at_work=at_work, slow=np.ones(3 * agents), skill=np.zeros(3 * agents))
    pool = max(10, 3 * agents)
    slow = np.exp(rng.normal(0, rota.spread, pool))
    return Turns(
        at_work=np.array([rng.choice(pool, agents, replace=False) for _ in range(thirds)]),
        slow=slow * np.mean(1 / slow),  # together as fast as agents who are alike
        skill=rng.normal(0, rota.skill, pool),
    )


def _answer(
    started: Vector, urgency: Vector, turns: Turns, rng: np.random.Generator
) -> tuple[Vector, Vector, NDArray[np.int64]]:
    """When each case of a line is answered, how many per agent were open before it, and by whom."""
    n, agents = len(started), turns.at_work.shape[1]
    work = DAYS * 24 * HOUR * agents / n * LOAD * rng.gamma(4.0, 0.25, n)
    ended, length, who = np.empty(n), np.empty(n), np.empty(n, dtype=np.int64)
    free = [(0.0, desk) for desk in range(agents)]
    waiting: list[tuple[float, int]] = []
    place = 0
    while place < n or waiting:
        at, desk = heapq.heappop(free)
        if not waiting:
            at = max(at, started[place])
        while place < n and started[place] <= at:
            length[place] = (len(waiting)) / agents
            heapq.heappush(waiting, (started[place] / HOUR - urgency[place], place))
            place += 1
        _, case = heapq.heappop(waiting)
        who[case] = turns.now(at)[desk]
        needed = work[case] * turns.slow[who[case]]
        ended[case] = at + min(0.2 * needed, 600.0)
        heapq.heappush(free, (at + needed, desk))
    return ended, length, who


def _tables(
    started: Vector,
    ended: Vector,
    anger: Vector,
    value: Vector,
    line: NDArray[np.int64],
    spend: Vector,
    turns: Sequence[Turns],
    rng: np.random.Generator,
) -> EffectTables:
    """Customers bought in each of the five months before the case, and once in the weeks after it."""
    n = len(started)
    ids = np.arange(n)
    zero = np.datetime64(FIRST, "us")

    def at(seconds: Vector) -> NDArray[np.datetime64]:
        return zero + (seconds * 1e6).astype("timedelta64[us]")

    cases = pl.DataFrame(
        {
            "case_id": ids.astype(str),
            "customer_id": ids,
            "channel": np.array(CHANNELS)[line],
            "opened_at": at(started),
            "first_response_at": pl.Series(at(np.where(np.isfinite(ended), ended, 0.0))).set(
                pl.Series(np.isinf(ended)), None
            ),
            "topic": rng.choice(["order", "return", "advice"], n),
            "sentiment_first": np.clip(-(anger + rng.normal(size=n)) / 6, -1, 1),
        }
    )
    before = [
        (ids, started - days * 86_400, 10 * value + rng.gamma(2.0, 4.0, n)) for days in (15, 45, 75, 105, 135)
    ]
    rows = [*before, (ids, started + 86_400 * rng.integers(2, 28, n), spend)]
    bought = pl.DataFrame(
        {
            "customer_id": np.concatenate([row[0] for row in rows]),
            "timestamp": np.concatenate([at(row[1]) for row in rows]),
            "amount": np.concatenate([np.round(row[2] * MONEY_SCALE).astype(np.int64) for row in rows]),
        }
    ).with_columns(date=pl.col("timestamp").dt.date())
    shifts = [
        (f"{channel} {agent}", (third - 6) * 8)
        for channel, of_line in zip(CHANNELS, turns, strict=True)
        for third, those in enumerate(of_line.at_work)
        for agent in those
    ]
    begins = at(np.array([start * float(HOUR) for _, start in shifts]))
    hours = pl.DataFrame({"agent": [name for name, _ in shifts], "start": begins}).with_columns(
        end=pl.col("start") + pl.duration(hours=8)
    )
    return EffectTables(cases=cases.lazy(), purchases=bought.lazy(), hours=hours.lazy())


def waiting_designs(outcomes: Sequence[str] = ("spend",), *, days: int = 30) -> tuple[EffectDesign, ...]:
    """The queue and the curve, as a reader would write them."""
    return (
        EffectDesign(
            name="by the queue",
            design="queue",
            treatment={"first_response_minutes": 60},
            outcomes=tuple(outcomes),
            follow_up_days=days,
        ),
        EffectDesign(
            name="by speed",
            design="response_curve",
            outcomes=tuple(outcomes),
            follow_up_days=days,
        ),
    )


AGENT = EffectDesign(
    name="by who was at work",
    design="agent",
    treatment={"first_response_minutes": 60},
    outcomes=("spend",),
    follow_up_days=30,
)


Row = tuple[str, float, float, float | None, float | None, float | None, bool]


def rush_rows(seed: int, customers: int, world: str) -> Iterator[Row]:
    """Estimates of one company of the other form, with their truth."""
    effect = 5.0 if world in ("rush", "rota") else 0.0
    busy, rota = (-1.0 if world == "rush_busy" else 0.0), (Rota() if world.startswith("rota") else None)
    made = simulate_rush(customers, np.random.default_rng(seed), effect=effect, busy=busy, rota=rota)
    designs = waiting_designs()[:1] if rota is None else (AGENT,)
    found = estimate_effects(designs, tables=made.tables, observation_end=made.end, seed=seed)
    for e in found.effects:
        if (e.estimator, e.estimand) in RUSH_ROWS and e.estimate is not None:
            what = f"{e.estimator} {e.estimand}"
            yield what, effect, e.estimate, e.std_error, e.low, e.high, e.supported


RUSH_ROWS = {("two_stage", "LATE"), ("two_stage_all_days", "LATE"), ("aipw", "ATO"), ("naive", "ATE")}


def care_rows(seed: int, customers: int, scenario: str, weeks: int) -> Iterator[Row]:
    """Estimates of one simulated desk; the truth of each is the same estimate of what answers brought.

    What an answer brought is known case by case, without the noise of other orders: the estimators are given
    that in place of spend, so that each truth is of the same cases with the same weights.
    """
    company = simulate_care(customers=customers, weeks=weeks, seed=seed, scenario=scenario)
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(write_care(company, Path(folder)))
        histories = build_histories(config, read_inputs(config))
        tables = effect_tables(config, histories, find_cases(config, histories))
    setting = Setting(
        tables=tables, base_dir=Path(), observation_end=company.observation_end, gross_margin=None
    )
    queue, curve = waiting_designs()
    slower = LANDMARK
    for design, find in ((curve, curve_findings), (queue, None)):
        cases = build_case_units(design, setting)
        if design is queue:
            cases = cases.where(np.isfinite(cases.queue))
        brought = _brought(company, cases.opening["case_id"], 1, cases.minutes)
        clean = replace(cases, units=replace(cases.units, outcomes={"spend": brought}))
        made = [
            curve_findings(design, one, np.random.default_rng(seed))
            if find is not None
            else queue_findings(design, one, tables, np.random.default_rng(seed))
            for one in (cases, clean)
        ]
        nothing = not company.process.effect.any()
        yield from _held(design.name, *(one.effects for one in made), nothing=nothing)
    history = build_history(tables, observation_end=company.observation_end)
    index = find_index_dates(slower, history, tables, np.random.default_rng(seed))
    units = build_landmark_units(slower, history, index, tables)
    assert index.opening is not None
    minutes = index.opening["minutes"].fill_null(np.inf).to_numpy()
    ids = index.opening["case_id"]
    now, soon = (
        _brought(company, ids, slower.landmark_days + 1, m) for m in (minutes, np.full(len(minutes), 10.0))
    )
    found = estimate_adjusted(units, slower, treated=index.treated, rng=np.random.default_rng(seed))
    for e in found.effects:
        if e.estimand == "ATU" and e.estimate is not None:
            true = float((soon - now)[~index.treated].mean())
            yield "landmark slower aipw ATU", true, e.estimate, e.std_error, e.low, e.high, e.supported


def _held(name: str, found: Sequence[Effect], clean: Sequence[Effect], *, nothing: bool) -> Iterator[Row]:
    """Rows with a figure, and the same rows of what answers brought as their truth, or 0."""
    key = lambda e: (e.bin, e.estimator, e.estimand)  # noqa: E731
    truth = {key(e): 0.0 if nothing else e.estimate for e in clean}
    for e in found:
        true = truth.get(key(e))
        if (
            e.estimate is not None
            and true is not None
            and e.estimator in ("aipw", "two_stage", "isotonic", "naive")
        ):
            what = " ".join(word for word in (name, e.bin, e.estimator, e.estimand) if word)
            yield what, true, e.estimate, e.std_error, e.low, e.high, e.supported


def _brought(company: DeskCompany, ids: pl.Series, first: int, minutes: Vector) -> Vector:
    """What an answer after so many minutes brings on average, in orders from day `first` after the opening.

    An order comes half a day to 28 days after the answer, evenly.
    """
    process = company.process
    threads = {
        f"mail-{thread.number}" if thread.channel == "email" else f"post:p{thread.messages[0].number}": thread
        for thread in process.threads
    }
    found = np.zeros(len(ids))
    for place, name in enumerate(ids):
        thread = threads[name]
        if not np.isfinite(minutes[place]):
            continue
        since = dt.datetime.fromtimestamp(thread.opened, ZONE)
        begins = dt.datetime.combine(
            since.date() + dt.timedelta(days=first), dt.time(), tzinfo=ZONE
        ).timestamp()
        answered = thread.opened + 60 * minutes[place]
        late = min(max((begins - answered) / DAY - 0.5, 0.0), 27.5) / 27.5
        found[place] = process.effect[thread.customer] * gain_of(60 * minutes[place]) * (1 - late)
    return found


LANDMARK = EffectDesign(
    name="landmark",
    design="landmark",
    control="slower",
    treatment={"first_response_minutes": 60},
    outcomes=("spend",),
    landmark_days=1,
    washout_days=28,
    follow_up_days=30,
)


def main() -> None:
    """Print truth, bias, scatter and coverage of every estimate over many companies."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--world",
        choices=(
            "care", "care_no_effect", "rush", "rush_no_effect", "rush_busy", "rota", "rota_no_effect",
        ),
        default="care",
    )  # fmt: skip
    parser.add_argument("--companies", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--customers", type=int, default=12_000)
    parser.add_argument("--weeks", type=int, default=26)
    asked = parser.parse_args()
    rows: dict[str, list[Row]] = {}
    for seed in range(asked.first_seed, asked.first_seed + asked.companies):
        made = (
            care_rows(seed, asked.customers, asked.world, asked.weeks)
            if asked.world.startswith("care")
            else rush_rows(seed, asked.customers, asked.world)
        )
        for row in made:
            rows.setdefault(row[0], []).append(row)
        print(f"company of seed {seed}", file=sys.stderr, flush=True)
    print(
        "| estimate | companies | truth | mean | std. error | scatter | 95 % intervals cover | supported "
        "| supported and wrong |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for what, found in rows.items():
        print(_line(what, found))


def _line(what: str, found: Sequence[Row]) -> str:
    """One estimate over the companies; an interval without an end covers all beyond it."""
    truth, mean = (float(np.mean([row[place] for row in found])) for place in (1, 2))
    error = float(np.mean([row[3] for row in found if row[3] is not None]))
    off = [row[2] - row[1] for row in found]
    inside = [
        (-np.inf if low is None else low) <= true <= (np.inf if high is None else high)
        for _, true, _, _, low, high, _ in found
    ]
    wrong = [row[6] and not ok for row, ok in zip(found, inside, strict=True)]
    return (
        f"| {what} | {len(found)} | {truth:.2f} | {mean:.2f} | {error:.2f} | {np.std(off):.2f} | "
        f"{sum(inside)} | {sum(row[6] for row in found)} | {sum(wrong)} |"
    )


if __name__ == "__main__":
    main()
