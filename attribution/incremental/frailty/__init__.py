"""Satisfaction that nobody sees: one hidden state behind leaving, spend, touches and problems."""

from attribution.incremental.frailty.fitted import SharedFrailtyFit
from attribution.incremental.frailty.model import SharedFrailty
from attribution.incremental.frailty.parameters import Parameters

__all__ = [
    "Parameters",
    "SharedFrailty",
    "SharedFrailtyFit",
]
