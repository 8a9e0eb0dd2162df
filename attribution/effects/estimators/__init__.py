"""Arithmetic on arrays: regressions, weights, instruments, intervals, and the checks on an estimate."""
