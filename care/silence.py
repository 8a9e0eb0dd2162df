"""What silence costs: the margin that answers to those who got none would have brought.

    cost of silence = ignored matters of known customers x effect of an answer x margin

The effect is that on the untreated, of an answer as the landmark has it; where a response curve holds
answers against none, it is the curve's at the speed of the answers that there were, and by speed beside it.
Authors who are no known customers are a scenario with a line of their own, as if they were customers like the
known ones; the public that read along is counted, never in money.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from care.evidence import LEVEL, CareEffect
from care.view import View
from histories.arrays import Flags
from histories.cuts import ALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Matters that needed a reply and got none from a human within the horizon.

    Attributes
    ----------
    known, unknown
        Of known customers, and of authors nobody knows.
    audience
        Followers of all of their authors; None where nobody counted them.
    """

    known: int
    unknown: int
    audience: int | None = None


def ignored_matters(view: View, among: Flags | None = None) -> Ignored:
    """The ignored ones of some matters; `among` says which rows of the view are asked about."""
    old = view["age_seconds"] >= view.settings.horizon_days * 86_400
    ignored = view.needs & old & (view["answered"] == 0.0)
    if among is not None:
        ignored = ignored & among
    known = ignored & view["known_customer"]
    followers = view["audience"][ignored]
    counted = not np.isnan(followers).all() if followers.size else False
    return Ignored(
        known=int(known.sum()),
        unknown=int((ignored & ~known).sum()),
        audience=int(np.nansum(followers)) if counted else None,
    )


def silence_lines(ignored: Ignored, effect: CareEffect, *, segment: str = ALL) -> Iterator[dict[str, Any]]:
    """Rows of the table `returns`: the cost of silence, its scenario, and the audience.

    Parameters
    ----------
    ignored
        How many there were.
    effect
        Of an answer on margin, per case, in currency.
    segment
        Which answers it is about, where it is not about all.

    >>> answer = CareEffect(name="answer", outcome="spend", value=6.20, low=1.00, high=11.40)
    >>> for line in silence_lines(Ignored(known=250, unknown=150), answer.times(0.45, "margin")):
    ...     print(line["line"], *(round(line[end], 2) for end in ("value", "low", "high")))
    silence: known customers 697.5 112.5 1282.5
    silence: all authors as if known 1116.0 180.0 2052.0
    """
    for line, count in (
        ("silence: known customers", ignored.known),
        ("silence: all authors as if known", ignored.known + ignored.unknown),
    ):
        scaled = effect.times(float(count), "margin") if effect.usable else None
        yield {
            "line": line,
            "segment": segment,
            "value": None if scaled is None else scaled.value,
            "low": None if scaled is None else scaled.low,
            "high": None if scaled is None else scaled.high,
            "interval_level": None if scaled is None or scaled.low is None else LEVEL,
            "unit": "currency",
            "n": count,
            "supported": effect.usable,
            "basis": effect.basis,
            "reason": None if effect.usable else effect.reason,
        }
    if ignored.audience is not None and segment == ALL:
        yield {
            "line": "silence: public audience",
            "value": float(ignored.audience),
            "unit": "followers",
            "n": ignored.known + ignored.unknown,
            "basis": "followers of the authors; counted, never in money",
        }
