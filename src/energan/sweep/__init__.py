"""Searches: what is tried, how often, where it runs, and what came of it."""

from energan.sweep.catalogue import SWEEPS
from energan.sweep.grid import Sweep

__all__ = ["SWEEPS", "Sweep"]
