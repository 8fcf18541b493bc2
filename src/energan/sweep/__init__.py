"""Searches, as definitions: what is tried, and how often. They train nothing."""

from energan.sweep import zhao2017
from energan.sweep.grid import Sweep

SWEEPS: dict[str, Sweep] = {sweep.name: sweep for sweep in zhao2017.SWEEPS}

__all__ = ["SWEEPS", "Sweep"]
