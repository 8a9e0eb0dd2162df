"""Simulated companies whose truth is known; `histories.simulate` is the front door."""
