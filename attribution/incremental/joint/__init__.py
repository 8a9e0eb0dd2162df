"""Hidden life and hidden satisfaction: dropout month and satisfaction in one likelihood."""

from attribution.incremental.joint.fitted import JointDropoutFit
from attribution.incremental.joint.model import JointDropout

__all__ = ["JointDropout", "JointDropoutFit"]
