"""Simulated companies whose truth is known."""
