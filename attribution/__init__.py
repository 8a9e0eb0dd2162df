"""Journeys to credit: rules, Markov, Shapley, incremental credit, effects.

Rooms: `attribution.paths` (journeys and descriptive credit), `attribution.effects` (causal evidence),
`attribution.incremental` (credit above what would have happened anyway), `attribution.credits` (the table
they fill).
"""
