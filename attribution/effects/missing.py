"""What nothing adjusts for: units whose covariate is not known.

Their covariate is filled and flagged, which adjusts for being unknown, not for what is. Where it is known,
the covariate moves the estimate by the difference of Lin's regression with it and without; where it is not,
the estimate is off by about as much, so over all units by that difference times the share that is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attribution.effects.checks import MIN_UNITS, Check
from attribution.effects.effect import Effect
from attribution.effects.regression import fit_lin
from histories.arrays import Flags, Float

#: How a flag of `encode_covariates`, or a label of a text, says that nothing is known.
UNKNOWN = ("=missing", "=unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unadjusted:
    """What the units whose covariates are unknown do to an estimate.

    Attributes
    ----------
    shift
        By how much it is off, about; infinite where a covariate is known of hardly anybody.
    names
        Covariates that are unknown of some, and the largest share of units.
    share
    """

    shift: float
    names: tuple[str, ...]
    share: float


def unadjusted(
    outcome: Float, treated: Flags, covariates: Float, names: tuple[str, ...]
) -> Unadjusted | None:
    """The shift by unknown covariates; None where all are known."""
    flags = {
        place: name.removesuffix(ending)
        for place, name in enumerate(names)
        for ending in UNKNOWN
        if name.endswith(ending)
    }
    if not flags:
        return None
    shift, share = 0.0, 0.0
    for place, base in flags.items():
        gone = covariates[:, place] > 0.0
        own = np.array([name == base or name.startswith(f"{base}=") for name in names])
        share = max(share, float(gone.mean()))
        there = ~gone
        if min((treated & there).sum(), (~treated & there).sum()) < MIN_UNITS:
            shift = float("inf")
            continue
        y, t, x = outcome[there], treated[there], covariates[there]
        given, without = x[:, np.arange(own.size) != place], x[:, ~own]
        shift += float(gone.mean()) * (fit_lin(y, t, without)[0] - fit_lin(y, t, given)[0])
    return Unadjusted(shift=abs(shift), names=tuple(flags.values()), share=share)


def check_unadjusted(effect: Effect, found: Unadjusted) -> Check:
    """Whether that is less than the estimate's own error."""
    limit = effect.std_error or 0.0
    told = "the whole difference may be its doing" if np.isinf(found.shift) else f"about {found.shift:.3g}"
    return Check(
        check="unknown covariates",
        value=found.shift,
        limit=limit,
        passed=found.shift <= limit,
        reason=f"{', '.join(found.names)} unknown for up to {found.share:.0%} of the units, where nothing "
        f"adjusts for it: {told}, beside an error of {limit:.3g}",
    )
