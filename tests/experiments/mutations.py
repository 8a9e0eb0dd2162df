"""Two hundred ways in which a configuration or a table goes wrong, and companies in which little happens.

Each makes one change to the small company. What comes of it is a run, or a refusal in words; never a fault.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable
from datetime import date, datetime, timedelta

SETTINGS: tuple[str, ...] = (
    'name=""',
    'name="  "',
    'name="a/b"',
    'name="it\'s"',
    'name="two\\nlines"',
    f'name="{"long" * 100}"',
    'name="naïve ☂"',
    "observation_end=9999-12-31",
    "observation_end=0001-01-01",
    "observation_end=2024-01-01",
    "observation_end=2025-01-01",
    "observation_end=2099-12-31",
    "observation_end=2025-12-31T23:59:59",
    'observation_end="soon"',
    "calibration_end=2020-01-01",
    "calibration_end=2025-01-01",
    "calibration_end=2025-12-30",
    "calibration_end=2025-12-31",
    "time_unit=day",
    "time_unit=month",
    "purchase_unit=week",
    "timezone=localtime",
    "timezone=America",
    "timezone=EST5EDT",
    "timezone=../../etc/passwd",
    'timezone=""',
    'timezone="Asia/Kathmandu"',
    'currency=""',
    "currency=Euro",
    "currency=eur",
    "currency=USD",
    "seed=-1",
    "seed=4294967295",
    "seed=4294967296",
    "seed=1.5",
    "seed=true",
    "value.models=[]",
    'value.models=["bg_nbd", "bg_nbd"]',
    'value.models=["pareto_nbd"]',
    'value.models=["bg_bb"]',
    'value.models=["mbg_cnbd_2"]',
    "value.engine=slow",
    "value.horizon_months=0",
    "value.horizon_months=1",
    "value.horizon_months=240",
    "value.horizon_months=1000000000",
    "value.discount_rate=-1",
    "value.discount_rate=0",
    "value.discount_rate=3",
    "value.discount_rate=nan",
    "value.discount_rate=inf",
    "value.gross_margin=0",
    "value.gross_margin=1",
    "value.gross_margin=45",
    "value.interval=0",
    "value.interval=0.999999",
    "value.penalizer=inf",
    "value.penalizer=0.1",
    "value.origins=12",
    "value.origins=0",
    'value.covariates=["region"]',
    'value.covariates=["absent"]',
    "value.posterior_draws=1",
    "attribution.lookback_days=0",
    "attribution.lookback_days=1e9",
    "attribution.lookback_days=36525",
    "attribution.lookback_days=0.001",
    "attribution.lookback_days=nan",
    "attribution.methods=[]",
    'attribution.methods=["last", "last"]',
    'attribution.methods=["shapley_rate", "markov_3", "time_decay", "position", "first", "last_non_direct"]',
    'attribution.methods=["guess"]',
    "attribution.outcomes=[]",
    'attribution.outcomes=["retention"]',
    'attribution.outcomes=["lifetime_value"]',
    'attribution.outcomes=["repeat_purchase"]',
    'attribution.confounders=["absent"]',
    'attribution.segments=["region"]',
    'attribution.segments=["customer_id"]',
    'attribution.segments=["acquired_at"]',
    'attribution.segments=["regoin"]',
    'attribution.exclude_channels=["chat", "forum", "newsletter"]',
    'attribution.exclude_channels=["absent"]',
    "attribution.period=week",
    "attribution.period=quarter",
    "attribution.session_minutes=1e12",
    "attribution.session_minutes=60",
    "attribution.unique_channels=true",
    "attribution.markov_order=holdout",
    "attribution.half_life_days=1e-9",
    "attribution.repeat_window_days=36525",
    "attribution.fit_customers=1000000000000000000000000",
    "attribution.interval=0.999",
    "attribution.decay=2",
    'channels."(baseline)".group="x"',
    'channels.forum.group="(total)"',
    'channels.absent.group="social"',
    'channels.forum.origin="dog"',
    "channels.forum.credited=false",
    'report.headline_effect="absent"',
    'report.title=""',
    "report.minimum_cell=1000000",
    "report.minimum_cell=0",
    'limits.memory="0GB"',
    'limits.memory="1KB"',
    f'limits.memory="{"9" * 400}TB"',
    "limits.max_rejected_share=nan",
    "limits.max_rejected_share=1",
    'inputs.transactions=""',
    'inputs.transactions="~nobody-of-this-name/orders.csv"',
    'inputs.transactions="a\\u0000b.csv"',
    f'inputs.transactions="{"x" * 5000}.csv"',
    'inputs.transactions="https://example.org/orders.csv"',
    'inputs.transactions="package:"',
    'inputs.transactions="."',
    'inputs.transactions="*.nothing"',
    'inputs.transactions.path="touchpoints.csv"',
    'inputs.touchpoints="transactions.csv"',
    'inputs.absent="x.csv"',
    "inputs=3",
    "effects=3",
    'effects=[{name = "", design = "randomised"}]',
    'effects=[{name = "a", design = "landmark", control = "no_contact", outcomes = ["retention"]},'
    ' {name = "a", design = "landmark", control = "no_contact", outcomes = ["retention"]}]',
    'effects=[{name = "welcome", design = "randomised", outcomes = ["spend"], treatment = {control = "c"}}]',
    'effects=[{name = "other", design = "randomised", outcomes = ["spend"], treatment = {control = "none"}}]',
    'effects=[{name = "welcome", design = "randomised", treatment = {control = "none"}, outcomes = ["spend"],'
    " follow_up_days = 60}]",
    'effects=[{name = "t", design = "randomised", table = {path = "gone.csv"}, outcomes = ["spend"],'
    ' treatment = {column = "arm", control = "none"}}]',
    'effects=[{name = "t", design = "randomised", table = {path = "assignments.csv"},'
    ' outcomes = ["customer_id"], treatment = {column = "arm", control = "none"}}]',
    'effects=[{name = "s", design = "interrupted_series", outcomes = ["spend"]}]',
    'effects=[{name = "s", design = "interrupted_series", outcomes = ["profit"]}]',
    'effects=[{name = "s", design = "interrupted_series", outcomes = ["spend"], series = "month",'
    ' treatment = {intervention = "absent"}}]',
    'effects=[{name = "l", design = "landmark", control = "slower", outcomes = ["retention"],'
    ' treatment = {kind = "care", first_response_minutes = 60}, follow_up_days = 60}]',
    'effects=[{name = "l", design = "landmark", control = "unanswered", outcomes = ["spend"],'
    " follow_up_days = 36525}]",
    'effects=[{name = "l", design = "landmark", control = "no_contact", outcomes = ["spend"],'
    ' treatment = {group = "socail"}}]',
    'effects=[{name = "d", design = "dose", outcomes = ["spend"], follow_up_days = 30}]',
    'effects=[{name = "b", design = "matched_before_after", outcomes = ["spend"], follow_up_days = 30}]',
    'effects=[{name = "v", design = "time_varying", outcomes = ["retention"], follow_up_days = 30}]',
    'effects=[{name = "k", design = "tracked", outcomes = ["spend"], follow_up_days = 30}]',
    'effects=[{name = "e", design = "ever_contacted", outcomes = ["retention"]}]',
    'effects=[{name = "m", design = "synthetic_control", outcomes = ["spend"]}]',
)
"""As after --set: a key of the configuration and its value."""

TABLES: tuple[tuple[str, str, str], ...] = (
    *((table, "empty", "") for table in ("transactions", "touchpoints", "customers", "cases", "costs")),
    *((table, "header only", "") for table in ("transactions", "touchpoints", "customers", "cases")),
    *((table, "one row", "") for table in ("transactions", "touchpoints", "customers", "assignments")),
    *((table, "twice", "") for table in ("transactions", "touchpoints", "customers", "costs", "cases")),
    ("transactions", "without", "timestamp"),
    ("transactions", "without", "amount"),
    ("touchpoints", "without", "channel"),
    ("customers", "without", "acquired_at"),
    ("transactions", "amount", "0"),
    ("transactions", "amount", "-5"),
    ("transactions", "amount", "1e11"),
    ("transactions", "amount", "899999999999"),
    ("transactions", "amount", "0.0001"),
    ("transactions", "amount", "nan"),
    ("transactions", "amount", "inf"),
    ("transactions", "amount", "1,350.00"),
    ("transactions", "amount", "10"),
    ("transactions", "timestamp", "2025-03-01"),
    ("transactions", "timestamp", "0000-01-01"),
    ("transactions", "timestamp", "0001-01-01"),
    ("transactions", "timestamp", "9999-12-31"),
    ("transactions", "timestamp", "1970-01-01"),
    ("transactions", "timestamp", "2025-12-31 23:59:59"),
    ("transactions", "timestamp", "1735689600"),
    ("transactions", "customer_id", ""),
    ("transactions", "customer_id", "1"),
    ("transactions", "customer_id", "x" * 300),
    ("transactions", "customer_id", "NULL"),
    ("transactions", "customer_id", "é\u202e"),
    ("transactions", "order_id", "1"),
    ("touchpoints", "channel", "(baseline)"),
    ("touchpoints", "channel", "(total)"),
    ("touchpoints", "channel", "a > b"),
    ("touchpoints", "channel", "x" * 400),
    ("touchpoints", "channel", "<script>"),
    ("touchpoints", "channel", "chat"),
    ("touchpoints", "timestamp", "2025-06-01"),
    ("touchpoints", "timestamp", "2031-01-01"),
    ("touchpoints", "customer_id", "99999"),
    ("touchpoints", "kind", "bribe"),
    ("touchpoints", "cost", "-1"),
    ("touchpoints", "case_id", "c1"),
    ("customers", "region", ""),
    ("customers", "region", "x" * 300),
    ("customers", "acquired_at", "2030-01-01"),
    ("customers", "acquired_at", ""),
    ("customers", "customer_id", "1"),
    ("customers", "acquisition_cost", "0"),
    ("cases", "first_response_at", ""),
    ("cases", "first_response_at", "2020-01-01"),
    ("cases", "csat", "9"),
    ("costs", "amount", "-10"),
    ("costs", "channel", "fax"),
    ("costs", "period_end", "2024-01-01"),
    ("costs", "period_end", "2027-12-31"),
    ("assignments", "arm", "letter"),
    ("assignments", "assigned_at", "2025-12-30"),
    ("interventions", "date", "1999-01-01"),
)
"""Table, what is done to it, and with what: a column's name gives every row that value."""


def mutated(tables: dict[str, str], table: str, change: str, value: str) -> dict[str, str]:
    """The tables with one of them changed."""
    header, *rows = list(csv.reader(io.StringIO(tables[table])))
    if change == "empty":
        return {**tables, table: ""}
    if change == "header only":
        rows = []
    elif change == "one row":
        rows = rows[:1]
    elif change == "twice":
        rows = rows + rows
    elif change == "without":
        place = header.index(value)
        header, rows = _without(header, place), [_without(row, place) for row in rows]
    else:
        place = header.index(change)
        rows = [[*row[:place], value, *row[place + 1 :]] for row in rows]
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([header, *rows])
    return {**tables, table: written.getvalue()}


def _without(row: list[str], place: int) -> list[str]:
    return row[:place] + row[place + 1 :]


def _orders(rows: list[tuple[int, datetime, float]]) -> str:
    return "customer_id,timestamp,amount\n" + "".join(f"{c},{at},{amount}\n" for c, at, amount in rows)


def _touches(rows: list[tuple[int, datetime, str]]) -> str:
    return "customer_id,timestamp,channel\n" + "".join(f"{c},{at},{channel}\n" for c, at, channel in rows)


def _some(
    customers: int,
    each: Callable[[random.Random], int],
    *,
    days: int = 300,
    amount: float = 20.0,
    seed: int = 3,
) -> list[tuple[int, datetime, float]]:
    rng = random.Random(seed)
    start = datetime(2025, 1, 1, 9)
    return [
        (customer, start + timedelta(days=rng.randrange(days), minutes=rng.randrange(600)), amount)
        for customer in range(1, customers + 1)
        for _ in range(each(rng))
    ]


def _contacts(customers: int, channels: tuple[str, ...] = ("chat", "forum")) -> str:
    rows = _some(customers, lambda rng: rng.randrange(1, 4), seed=4)
    return _touches(
        [(c, at - timedelta(hours=3), channels[i % len(channels)]) for i, (c, at, _) in enumerate(rows)]
    )


def sick_companies() -> dict[str, dict[str, str]]:
    """Companies by what is wrong with them, as tables."""
    once, often = (lambda rng: 1), (lambda rng: rng.randrange(1, 7))
    bought = _orders(_some(60, often))
    everyone = date(2025, 1, 1)
    return {
        "everybody buys once": {"transactions": _orders(_some(60, once)), "touchpoints": _contacts(60)},
        "everybody buys on the first day": {
            "transactions": _orders(_some(60, once, days=1)),
            "touchpoints": _contacts(60),
        },
        "one customer": {"transactions": _orders(_some(1, lambda rng: 12)), "touchpoints": _contacts(1)},
        "one purchase": {"transactions": _orders(_some(1, once)), "touchpoints": _contacts(1)},
        "one purchase of one customer among prospects": {
            "transactions": _orders(_some(1, once)),
            "touchpoints": _contacts(40),
        },
        "no touches": {"transactions": bought, "touchpoints": "customer_id,timestamp,channel\n"},
        "no table of touches": {"transactions": bought},
        "touches only": {"touchpoints": _contacts(60)},
        "customers only": {"customers": "customer_id,region\n1,north\n2,south\n"},
        "all refunds": {"transactions": _orders(_some(60, often, amount=-20)), "touchpoints": _contacts(60)},
        "all zero amounts": {
            "transactions": _orders(_some(60, often, amount=0)),
            "touchpoints": _contacts(60),
        },
        "everything refunded": {
            "transactions": _orders([*_some(60, often), *_some(60, often, amount=-20)]),
            "touchpoints": _contacts(60),
        },
        "one channel": {"transactions": bought, "touchpoints": _contacts(60, ("chat",))},
        "forty channels": {
            "transactions": bought,
            "touchpoints": _contacts(60, tuple(f"channel {n}" for n in range(40))),
        },
        "nothing bought in the holdout": {
            "transactions": _orders(_some(60, often, days=200)),
            "touchpoints": _contacts(60),
        },
        "nothing bought before the holdout": {
            "transactions": _orders(
                [(c, at + timedelta(days=245), a) for c, at, a in _some(60, often, days=60)]
            ),
            "touchpoints": _contacts(60),
        },
        "seconds between purchases": {
            "transactions": _orders(
                [
                    (c, datetime(2025, 3, 1) + timedelta(seconds=10 * c + k), 5.0)
                    for c in range(60)
                    for k in range(4)
                ]
            ),
            "touchpoints": _contacts(60),
        },
        "everybody buys every week": {
            "transactions": _orders(
                [
                    (c, datetime(2025, 1, 1 + c % 7) + timedelta(weeks=k), 5.0)
                    for c in range(30)
                    for k in range(51)
                ]
            ),
            "touchpoints": _contacts(30),
        },
        "one amount": {"transactions": _orders(_some(60, often, amount=9.99))},
        "a business among customers": {
            "transactions": bought + "".join(f"900,2025-01-01 10:{m:02d}:00,50000\n" for m in range(60)),
            "touchpoints": _contacts(60),
        },
        "everybody has left": {
            "transactions": bought,
            "touchpoints": _contacts(60),
            "customers": "customer_id,acquired_at,ended_at\n"
            + "".join(f"{c},{everyone},2025-02-01\n" for c in range(1, 61)),
        },
        "nobody has left": {
            "transactions": bought,
            "touchpoints": _contacts(60),
            "customers": "customer_id,acquired_at,ended_at\n"
            + "".join(f"{c},{everyone},\n" for c in range(1, 61)),
        },
        "counted paths of nothing": {"paths": "path,conversions,nulls\nchat > forum,0,0\n"},
        "transitions that lead nowhere": {
            "transitions": "from_state,to_state,n\n(start),chat,3\nchat,(null),3\n"
        },
        "cases only": {"cases": "case_id,opened_at,channel\na,2025-03-01,chat\n"},
        "costs only": {"costs": "channel,period_start,period_end,amount\nchat,2025-01-01,2025-01-31,10\n"},
    }
