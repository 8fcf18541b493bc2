"""Searches: what is tried, how often, where it runs, and what came of it."""

from energan.sweep import coverage, zhao2017
from energan.sweep.grid import Sweep

SWEEPS: dict[str, Sweep] = {s.name: s for file in (zhao2017, coverage) for s in file.SWEEPS}

__all__ = ["SWEEPS", "Sweep"]
