"""Where the contrast comes from: generators, and chains on the energy itself."""

from energan.core import StepRule
from energan.samplers.dynamics import Chains, langevin
from energan.samplers.metropolis import mala

__all__ = ["Chains", "StepRule", "langevin", "mala"]
