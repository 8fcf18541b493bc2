"""Searches: what is tried, how often, where it runs, and what came of it."""

from energan.sweeps.catalogue import SWEEPS
from energan.sweeps.grid import Sweep

__all__ = ["SWEEPS", "Sweep"]
