"""Hidden life and hidden satisfaction: dropout month and satisfaction in one likelihood."""

from attribution.incremental.joint.fitted import JointDropoutFit
from attribution.incremental.joint.model import JointDropout
from attribution.incremental.joint.placebo import run_joint_placebo

__all__ = ["JointDropout", "JointDropoutFit", "run_joint_placebo"]
