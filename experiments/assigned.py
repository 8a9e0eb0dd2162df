"""The entry of a configuration by which a later run reads an experiment on customers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence


def randomised_entry(
    path: str,
    name: str,
    *,
    outcomes: Sequence[str],
    days: int,
    shares: Mapping[str, float],
    clock: str = "calendar",
    answered_within: float | None = None,
) -> str:
    """What the experiment `name` did, by the assignments that lie at `path`, over `days` from each on.

    `shares` are the chances of the arms, of which nothing was done to the last. In a lottery of priority an
    answer is in time within `answered_within` minutes by `clock`.
    """
    chances = ", ".join(f"{arm} = {share:g}" for arm, share in shares.items())
    by = '\nclock = "business"' if clock == "business" else ""
    limit = "" if answered_within is None else f"\nfirst_response_minutes = {answered_within:g}"
    return f"""
[inputs]
assignments = {json.dumps(path)}

[[effects]]
name = {json.dumps(name)}
design = "randomised"
outcomes = {json.dumps(list(outcomes))}
follow_up_days = {days}{by}

[effects.treatment]
experiment = {json.dumps(name)}
control = "{[*shares][-1]}"
shares = {{ {chances} }}{limit}"""
