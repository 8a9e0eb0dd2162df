"""Configuration, runs, MLflow, registry, bundle.

The service imports `experiments.bundle.reading` and must not load what makes a run (`experiments.run`).
"""
