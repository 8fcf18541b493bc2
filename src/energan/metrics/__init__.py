"""Scores as pure functions on tensors and arrays: float64 inside, Python numbers out.

The figures of pairs of images come as an array, one for each pair.

The names here are the public functions and classes of the files, found when one is used, so that
the catalogue of metrics needs no torch.
"""

import pkgutil
from functools import cache
from importlib import import_module
from typing import Any

_FILES = {module.name for module in pkgutil.iter_modules(__path__)}
_APART = {"arrays", "catalogue", "decomposition"}
"""Files with what is no score of samples."""


@cache
def _public() -> dict[str, Any]:
    files = [import_module(f"{__name__}.{name}") for name in sorted(_FILES - _APART)]
    return {
        name: value
        for file in files
        for name, value in vars(file).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == file.__name__
    }


def __dir__() -> list[str]:
    return sorted(_public())


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return __dir__()
    if name not in _FILES and not name.startswith("_") and name in _public():
        return _public()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
