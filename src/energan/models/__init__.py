"""The systems, one file each, found by the folder's listing: a file's name is the model's name.

A model file has a docstring with the equations, a `Config` with the settings and a `tiny()` for
tests, and `build(config, domain) -> Model`. Nothing is registered; a dotted name is a user's own.
"""

import importlib
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from energan.core import Config, Domain, Model, SettingError, describe


@dataclass(frozen=True)
class ModelFile:
    """What a model's file offers."""

    name: str
    summary: str
    config: type[Config]
    build: Callable[[Config, Domain], Model]


def names() -> list[str]:
    """The models that come with energan."""
    return sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]))


def find(name: str) -> ModelFile:
    """The model `name`: one of `names()`, or the dotted name of a module of the user's.

    Raises SettingError if there is none, if it cannot be imported, or lacks Config or build.
    """
    module = _import(f"energan.models.{name}" if name in names() else name)
    for part in ("Config", "build"):
        if not hasattr(module, part):
            raise SettingError(
                f"model {name}: {getattr(module, '__file__', 'that module')} defines no {part}"
            )
    if not (isinstance(module.Config, type) and issubclass(module.Config, Config)):
        raise SettingError(f"model {name}: its Config must be a subclass of energan.core.Config")
    summary = (module.__doc__ or name).strip().splitlines()[0]
    return ModelFile(name, summary, module.Config, module.build)


def _import(name: str) -> ModuleType:
    if "" not in sys.path:  # an installed command does not look in the current folder
        sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing != name and not name.startswith(f"{missing}."):
            raise SettingError(f"model {name} cannot be imported: {error}") from error
    except Exception as error:  # a user's file may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise SettingError(f"model {name} cannot be imported: {describe(reason)}") from error
    near = get_close_matches(name, names(), 1)
    hint = f"did you mean {near[0]}?" if near else f"energan has {', '.join(names())}."
    raise SettingError(
        f"no model {name!r}: {hint} To use a model of your own, give its module, for example "
        "my_package.my_model"
    )
