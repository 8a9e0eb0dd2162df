"""Causal evidence: randomised, landmark, before and after, interrupted series."""
