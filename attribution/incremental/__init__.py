"""Incremental credit: panel models, set function, Shapley, range, gates."""
