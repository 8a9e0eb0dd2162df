"""Contacts that customers seek, after which they leave or buy less: that may be what they call about.

Who calls because something is wrong, and leaves because something is wrong, leaves after a call. That is no
effect of the call, and the two cannot be told apart by touches alone: with an effect of either kind the same
customers call and leave at the same time. Where problems are recorded (cases, or touches of kind care) they
stand beside the contacts, and what is left is the contact's.
"""

from __future__ import annotations

import numpy as np

from attribution.incremental.chain.fitted import HiddenChainFit
from histories.panel import Panel

CLEAR = 2.58
"""Standard errors from zero at which an effect counts."""
REASON = (
    "customers come here of their own accord, and leave or buy less after it: what is wrong may do that, not "
    'the contact; cases, or kind = "care" for these touches, would tell'
)


def perhaps_complaints(fit: HiddenChainFit, panel: Panel) -> dict[str, str]:
    """Channels of customers' own acts that clearly do harm where no problem is recorded, with the reason."""
    if np.any(panel.problems):
        return {}
    harm = (fit.beta > CLEAR * fit.beta_sd) | (fit.gamma < -CLEAR * fit.gamma_sd)
    sought = np.array([origin == "customer" for origin in panel.origins])
    return {panel.channels[k]: REASON for k in np.flatnonzero(harm & sought)}
