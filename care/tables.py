"""The tables that cases, service figures and returns leave in a bundle."""

from __future__ import annotations

from typing import Final

import polars as pl

CARE_SCHEMA: Final[dict[str, pl.DataType]] = {
    "kpi": pl.String(),
    "group": pl.String(),  # service, quality, effectiveness; voice, community, vanity
    "channel": pl.String(),  # "(all)", or one
    "team": pl.String(),  # "(all)", or one
    "segment": pl.String(),  # "(all)", or "name: value": brand, product, topic, hour, agent, waiting, …
    "period": pl.String(),  # "(all)", a month "2026-03", a week "2026-W10" or a day "2026-03-02"
    "clock": pl.String(),  # "calendar", "business"; null where no time is measured
    "value": pl.Float64(),  # null where it cannot be said; `reason` says why
    "low": pl.Float64(),
    "high": pl.Float64(),
    "interval_level": pl.Float64(),
    "n": pl.Int64(),  # cases that the value rests on
    "coverage": pl.Float64(),  # share of the cases that carry what the figure needs
    "unit": pl.String(),
    "direction": pl.String(),  # which way is better: up or down; null where neither is
    "target": pl.Float64(),  # promised share, where something was promised
    "attained": pl.Boolean(),
    "as_tool": pl.Float64(),  # the same as service desks usually show it
    "reason": pl.String(),
}
"""One row per figure and cut; see docs/care.md. A row is cut by at most one of channel, team and segment, and
that by at most one period."""

CASES_SCHEMA: Final[dict[str, pl.DataType]] = {
    "case_id": pl.String(),
    "journey_id": pl.String(),  # first case of those that are one matter
    "customer_id": pl.String(),  # Int64 as the input; null where the author is nobody's known handle
    "channel": pl.String(),
    "closed_channel": pl.String(),
    "brand": pl.String(),
    "product": pl.String(),
    "topic": pl.String(),
    "team": pl.String(),
    "agent": pl.String(),  # a pseudonym
    "priority": pl.String(),
    "status": pl.String(),  # open (no human reply), answered, resolved, abandoned, noise
    "needs_reply": pl.Boolean(),
    "opened_at": pl.Datetime("us"),
    "waiting_since": pl.Datetime("us"),  # first message that needs a reply
    "first_response_at": pl.Datetime("us"),  # first human reply
    "first_automatic_at": pl.Datetime("us"),
    "resolved_at": pl.Datetime("us"),
    "abandoned_at": pl.Datetime("us"),
    "answered": pl.Boolean(),  # by a human, at a known time or not
    "first_response_minutes": pl.Float64(),  # calendar; null when unanswered or unknown
    "first_response_business_minutes": pl.Float64(),
    "resolution_minutes": pl.Float64(),
    "resolution_business_minutes": pl.Float64(),
    "waiting_minutes": pl.Float64(),  # open ones: to the end of observation, calendar
    "turns": pl.Int64(),  # runs of the customer's messages
    "contacts": pl.Int64(),
    "replies": pl.Int64(),  # by humans
    "reopened": pl.Boolean(),
    "escalated": pl.Boolean(),
    "repeat_of": pl.String(),
    "redirected": pl.Boolean(),
    "redirection_reason": pl.String(),
    "redirection_target": pl.String(),
    "redirection_minutes": pl.Float64(),  # to the customer's first message there; null when they never came
    "handling_seconds": pl.Float64(),
    "audience": pl.Int64(),  # followers of the author
    "csat": pl.Float64(),
    "nps": pl.Float64(),
    "ces": pl.Float64(),
    "sentiment_first": pl.Float64(),
    "sentiment_last": pl.Float64(),
    "value_at_stake": pl.Float64(),  # gain of an answer now x lifetime value, currency; null where unknown
    "priority_rank": pl.Int64(),  # who should be answered next, 1 first; null where nobody waits
    "priority_reason": pl.String(),
}
"""One row per case, without any text."""

ALERTS_SCHEMA: Final[dict[str, pl.DataType]] = {
    "kind": pl.String(),  # volume, critic or decline
    "period": pl.String(),  # a day "2026-03-02"
    "cause": pl.String(),  # "channel: twitter", "kpi: csat"; at most one alert of a kind, cause and day
    "channel": pl.String(),
    "value": pl.Float64(),  # requests of the hour, followers, the figure of the week
    "expected": pl.Float64(),
    "limit": pl.Float64(),  # what chance leaves
    "n": pl.Int64(),  # cases
    "words": pl.String(),
}
"""One row per alert of the last 28 days, without any name."""

ROI_SCHEMA: Final[dict[str, pl.DataType]] = {
    "scenario": pl.String(),
    "period": pl.String(),
    "incremental_margin": pl.Float64(),  # currency, like the costs
    "cost_avoided": pl.Float64(),
    "cost": pl.Float64(),
    "roi": pl.Float64(),
    "roi_low": pl.Float64(),
    "roi_high": pl.Float64(),
    "npv": pl.Float64(),
    "payback_period": pl.Float64(),  # months
    "probability_positive": pl.Float64(),
}

RETURNS_SCHEMA: Final[dict[str, pl.DataType]] = {
    "scenario": pl.String(),  # actual; plan (assumptions alone); difference (actual less plan, by cause)
    "line": pl.String(),
    "segment": pl.String(),
    "period": pl.String(),  # "(all)", or a month "2026-03"
    "value": pl.Float64(),  # null where it cannot be said; `reason` says why
    "low": pl.Float64(),
    "high": pl.Float64(),
    "interval_level": pl.Float64(),
    "cumulated": pl.Float64(),  # with all months before
    "unit": pl.String(),
    "n": pl.Int64(),  # cases, customers or contacts that it counts
    "counted": pl.Boolean(),  # whether it is part of the net
    "supported": pl.Boolean(),
    "p_value": pl.Float64(),
    "p_holm": pl.Float64(),
    "basis": pl.String(),  # the effect, credit or assumption that it rests on
    "reason": pl.String(),
}
"""What care returns, line by line; see docs/care.md. Costs are positive, and taken off in the net."""
