"""Configuration, runs, MLflow, registry, bundle.

Nothing is offered here: the service imports `experiments.bundle.reading` and must not load what makes a run.
Import `load_config` from `experiments.config`, `run_experiment` from `experiments.run`, `load_bundle` from
`experiments.bundle.reading`.
"""

__all__: list[str] = []
