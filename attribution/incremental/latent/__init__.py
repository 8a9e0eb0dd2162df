"""The latent dropout month: retention and spend of customers whose leaving nobody records."""

from attribution.incremental.latent.emissions import EmissionComparison
from attribution.incremental.latent.fit import LatentDropoutFit
from attribution.incremental.latent.likelihood import Lives
from attribution.incremental.latent.model import LatentDropout
from attribution.incremental.latent.residual import residual_value

__all__ = [
    "EmissionComparison",
    "LatentDropout",
    "LatentDropoutFit",
    "Lives",
    "residual_value",
]
