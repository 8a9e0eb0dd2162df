"""Journeys to credit: rules, Markov, Shapley, incremental credit, effects.

Nothing is offered here, so that who needs one room does not load the others: `attribution.paths` (journeys
and descriptive credit), `attribution.effects` (causal evidence), `attribution.incremental` (credit above what
would have happened anyway), `attribution.credits` (the table they fill).
"""

__all__: list[str] = []
