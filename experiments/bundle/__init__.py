"""A run's bundle: a folder that stands alone, appears whole or not at all, and notices a changed byte.

Who reads a bundle (`experiments.bundle.reading`) must not load what makes one (`experiments.bundle.writing`).
"""
