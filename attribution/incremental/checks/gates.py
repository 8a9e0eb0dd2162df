"""Gates: what makes a credit unsupported, each with its reason in words."""

from __future__ import annotations

import numpy as np

from attribution.incremental.aumann_shapley import PanelCredit
from attribution.incremental.bootstrap import CreditDraws
from histories.panel import Panel

MAX_TOTAL_ERROR = 0.02
"""How far the model's own total may be from the observed one, relative."""
MAX_ANSWERED = 0.95
"""Share of answered problems above which there is nothing to compare replies with."""
MAX_FAILED = 0.2
"""Share of bootstrap refits that may find no optimum."""
MIN_TOUCHES = 50
"""Touches below which a channel's credit is not worth stating."""


def total_problems(credit: PanelCredit) -> tuple[str, ...]:
    """The model's own totals against the observed (or expected) ones."""
    pairs = (
        ("spend", credit.expected_spend, credit.spend.total),
        ("survivors", credit.expected_survivors, credit.retention.total),
    )
    return tuple(
        f"the model's {name} are {expected / observed - 1:+.1%} off those seen, beyond {MAX_TOTAL_ERROR:.0%}"
        for name, expected, observed in pairs
        if np.isfinite(expected) and observed > 0 and abs(expected / observed - 1) > MAX_TOTAL_ERROR
    )


def failed_replicates(draws: CreditDraws, replicates: int) -> tuple[str, ...]:
    """Bootstrap refits without an optimum."""
    if draws.failed <= MAX_FAILED * replicates:
        return ()
    return (f"{draws.failed} of {replicates} bootstrap refits found no optimum",)


def answered_problems(panel: Panel) -> dict[str, str]:
    """Care channels in which nearly every problem was answered, with the reason."""
    answered = panel.answered or (None,) * panel.n_channels
    return {
        name: f"no unanswered problems to compare: {share:.0%} of contacts were answered"
        for name, share in zip(panel.channels, answered, strict=True)
        if share is not None and share > MAX_ANSWERED
    }


def untouched_channels(panel: Panel) -> dict[str, str]:
    """Channels with too few touches, with the reason."""
    counts = panel.touches.sum(axis=(0, 1), dtype=np.float64)
    return {
        name: f"{count:.0f} touches in all, below {MIN_TOUCHES}"
        for name, count in zip(panel.channels, counts, strict=True)
        if count < MIN_TOUCHES
    }
