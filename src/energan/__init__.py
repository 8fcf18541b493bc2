"""energan: energy-based generative models, anomaly detectors and few-label classifiers.

    run = energan.train("ebgan-digits", steps=2000, out="runs/x", seed=0)
    x = energan.load("runs/x").sample(64)

Names load when they are used, so that `energan --help` does not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from energan.version import __version__

__all__ = [
    "EnerganError",
    "Run",
    "Sweep",
    "__version__",
    "evaluate",
    "export",
    "load",
    "metrics",
    "objectives",
    "restore",
    "sample_chains",
    "samplers",
    "sklearn",
    "sweep",
    "train",
]

if TYPE_CHECKING:
    from energan import metrics, objectives, samplers, sklearn
    from energan.api import evaluate, export, load, sweep, train
    from energan.errors import EnerganError
    from energan.inference.chains import sample_chains
    from energan.inference.restoration import restore
    from energan.inference.run import Run
    from energan.sweeps.grid import Sweep

_PLACES = {
    "train": "api",
    "load": "api",
    "evaluate": "api",
    "export": "api",
    "sweep": "api",
    "sample_chains": "inference.chains",
    "restore": "inference.restoration",
    "Run": "inference.run",
    "Sweep": "sweeps.grid",
    "EnerganError": "errors",
}
_PACKAGES = ("metrics", "objectives", "samplers", "sklearn")


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f"energan.{_PLACES[name]}"), name)
    if name in _PACKAGES:
        return importlib.import_module(f"energan.{name}")
    raise AttributeError(f"module 'energan' has no attribute {name!r}")
