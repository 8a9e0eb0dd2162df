"""The latent dropout month: retention and spend of customers whose leaving nobody records."""

from attribution.incremental.checks.holdout import HoldoutCheck, run_holdout
from attribution.incremental.checks.lapse import LapseCheck, check_lapse
from attribution.incremental.checks.latent import LatentChecks, run_checks
from attribution.incremental.checks.placebo import PlaceboCheck, run_placebo
from attribution.incremental.latent.emissions import EmissionComparison
from attribution.incremental.latent.fit import LatentDropoutFit
from attribution.incremental.latent.likelihood import Lives
from attribution.incremental.latent.model import LatentDropout
from attribution.incremental.latent.residual import residual_value

__all__ = [
    "EmissionComparison",
    "HoldoutCheck",
    "LapseCheck",
    "LatentChecks",
    "LatentDropout",
    "LatentDropoutFit",
    "Lives",
    "PlaceboCheck",
    "check_lapse",
    "residual_value",
    "run_checks",
    "run_holdout",
    "run_placebo",
]
