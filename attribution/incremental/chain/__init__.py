"""One hidden Markov chain per customer: leaving, satisfaction and quiet spells in one exact likelihood."""

from attribution.incremental.chain.fitted import HiddenChainFit
from attribution.incremental.chain.model import HiddenChain
from attribution.incremental.chain.states import Structure

__all__ = ["HiddenChain", "HiddenChainFit", "Structure"]
