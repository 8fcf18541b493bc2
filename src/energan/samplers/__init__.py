"""Where the contrast comes from: generators, and chains on the energy itself."""

from energan.core import Kernel, StepRule
from energan.samplers.dynamics import Chains, langevin
from energan.samplers.kernels import kernel_of, run_kernel
from energan.samplers.metropolis import mala

__all__ = ["Chains", "Kernel", "StepRule", "kernel_of", "langevin", "mala", "run_kernel"]
