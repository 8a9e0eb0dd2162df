"""Journeys to credit: rules, Markov, Shapley, incremental credit, effects."""
