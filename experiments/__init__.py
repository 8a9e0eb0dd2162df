"""Configuration, runs, MLflow, registry, bundle.

Nothing is offered here: the service imports `experiments.bundle` and must not load what makes a run. Import
`load_config` from `experiments.config`, `run_experiment` from `experiments.run`, `load_bundle` from
`experiments.bundle`.
"""

__all__: list[str] = []
