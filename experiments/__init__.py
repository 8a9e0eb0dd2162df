"""Configuration, runs, MLflow, registry, bundle."""
