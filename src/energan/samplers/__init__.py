"""Where the contrast comes from: generators, and chains on the energy itself."""

from energan.samplers.dynamics import Chains, Rule, langevin
from energan.samplers.metropolis import mala

__all__ = ["Chains", "Rule", "langevin", "mala"]
