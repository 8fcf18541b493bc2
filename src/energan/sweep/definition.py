"""A sweep by a word: one of energan's own, or the user's, in JSON or Python.

A JSON file has the recipe and the axes, and what else it wants to say:

    {"recipe": "ebgan-digits",                    a recipe's name, or a settings file
     "name": "mine", "summary": "…",              the file's name without it
     "metrics": ["modified_inception_score"],     what suits the data without it
     "base": {"training.steps": 2000},            what all trials change
     "axes": {"model.margin": [1, 2, 4],          an axis named by its setting
              "lr": {"settings": ["model.energy_optimiser.lr", "model.sampler_optimiser.lr"],
                     "values": [0.01, 0.001]},    one value for several settings
              "size": {"values": {"small": {"model.generator": [128]},
                                  "large": {"model.generator": [512, 512]}}}}}   named values

A Python file makes a `Sweep` and calls it `sweep`.
"""

import json
import runpy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from energan.errors import SettingError, describe
from energan.io.documents import read_bytes
from energan.recipes import RECIPES
from energan.sweep import SWEEPS
from energan.sweep.grid import Sweep, Values
from energan.sweep.validation import checked

KEYS = ("recipe", "axes", "name", "summary", "metrics", "base")
AXIS = ("settings", "values")


def find(word: str) -> Sweep:
    """The sweep that a user means: a name of SWEEPS, or a file.

    Python in a file is run. Raises SettingError, one sentence that names the file and the place,
    for all that is wrong with the definition or with any of its trials.
    """
    if word in SWEEPS:
        return SWEEPS[word]
    path = Path(word)
    if path.suffix == ".json":
        return checked(_from_json(path), str(path))
    if path.suffix == ".py":
        return checked(_from_python(path), str(path))
    if path.is_dir() and (path / "sweep.json").exists():
        raise SettingError(f"{word} is a sweep's folder: name the sweep, and --out {word}")
    if path.exists():
        raise SettingError(f"{word} is no sweep: its file ends in .json or .py")
    near = get_close_matches(word, SWEEPS, 3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`energan sweep` lists them"
    raise SettingError(f"no sweep {word!r}: {hint}")


@dataclass(frozen=True)
class Changes:
    """The values of a trial -> dotted settings: of each axis which settings get its value, or what
    each of its named values changes."""

    axes: Mapping[str, Sequence[str] | Mapping[str, Mapping[str, Any]]]

    def __call__(self, values: Values) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        for axis, value in values.items():
            does = self.axes[axis]
            changes |= does[value] if isinstance(does, Mapping) else dict.fromkeys(does, value)
        return changes


def _from_json(path: Path) -> Sweep:
    try:
        text = read_bytes(path, error=SettingError, remedy="name a file of JSON").decode()
        read = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{path} is not JSON: {error}") from None
    try:
        return _sweep(read, path)
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from None


def _sweep(read: Any, path: Path) -> Sweep:
    _keys(read, "it", KEYS, needs=("recipe", "axes"))
    for key in ("recipe", "name", "summary"):
        if not isinstance(read.get(key, ""), str):
            raise SettingError(f"{key} {describe(read[key])} is no text")
    metrics = read.get("metrics", [])
    if not isinstance(metrics, list) or not all(isinstance(name, str) for name in metrics):
        raise SettingError('metrics must be a list of names, as ["sliced_wasserstein"]')
    base = _group(read.get("base", {}), "base")
    if not isinstance(read["axes"], dict):
        raise SettingError('axes must name settings and their values, as {"model.margin": [1, 2]}')
    axes: dict[str, list[Any]] = {}
    does: dict[str, Any] = {}
    for name, axis in read["axes"].items():
        axes[name], does[name] = _axis(name, axis)
    _apart({"base": list(base), **{f"axis {name}": _touched(d) for name, d in does.items()}})
    recipe, beside = read["recipe"], path.parent / read["recipe"]
    if recipe not in RECIPES and beside.exists():
        recipe = str(beside)
    return Sweep(
        read.get("name", path.stem),
        read.get("summary", f"of {path.name}"),
        recipe,
        axes,
        Changes(does),
        base,
        tuple(metrics),
    )


def _axis(name: str, axis: Any) -> tuple[list[Any], Any]:
    """An axis's values, and what they do."""
    if isinstance(axis, list):
        return axis, [name]
    place = f"axis {name}"
    _keys(axis, place, AXIS, needs=("values",), instead="a list of values")
    values, settings = axis["values"], axis.get("settings", [name])
    if isinstance(values, dict):
        if "settings" in axis:
            raise SettingError(f"{place}: its named values say what they set: leave out settings")
        return list(values), {n: _group(v, f"{place}, value {n}") for n, v in values.items()}
    if not isinstance(values, list):
        raise SettingError(f"{place}: values must be a list, or names and what each sets")
    if not isinstance(settings, list) or not all(isinstance(s, str) for s in settings):
        raise SettingError(f'{place}: settings must be a list, as ["model.margin"]')
    return values, settings


def _keys(
    read: Any, place: str, known: Sequence[str], needs: Sequence[str], instead: str = ""
) -> None:
    if not isinstance(read, dict):
        raise SettingError(f"{place} must be {instead or 'one object'} or have {', '.join(known)}")
    if odd := [key for key in read if key not in known]:
        raise SettingError(f"{place} has no {odd[0]!r}, only {', '.join(known)}")
    if missing := [key for key in needs if key not in read]:
        raise SettingError(f"{place} needs {missing[0]!r}")


def _group(read: Any, place: str) -> dict[str, Any]:
    if not isinstance(read, dict):
        raise SettingError(f'{place} must name settings, as {{"model.margin": 8}}')
    return read


def _touched(does: Any) -> list[str]:
    """The settings that an axis changes."""
    if isinstance(does, list):
        return does
    return sorted({setting for value in does.values() for setting in value})


def _apart(touched: Mapping[str, Sequence[str]]) -> None:
    """Raise SettingError if two places change one setting: nobody could tell which counted."""
    seen: dict[str, str] = {}
    for place, settings in touched.items():
        for setting in settings:
            for other, where in seen.items():
                if where != place and f"{setting}.".startswith(f"{other}."):
                    raise SettingError(f"{where} and {place} both change {setting}")
                if where != place and f"{other}.".startswith(f"{setting}."):
                    raise SettingError(f"{where} and {place} both change {other}")
        seen |= dict.fromkeys(settings, place)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise ValueError(f"{twice[0]!r} stands there twice")
    return dict(pairs)


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _from_python(path: Path) -> Sweep:
    if not path.is_file():
        raise SettingError(f"{path} cannot be read: no such file")
    try:
        made = runpy.run_path(str(path)).get("sweep")
    except (Exception, SystemExit) as error:  # a user's file may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise SettingError(f"{path} cannot be run: {describe(reason)}") from error
    if not isinstance(made, Sweep):
        raise SettingError(
            f"{path} defines no sweep: it needs `sweep = Sweep(...)` (from energan.sweep)"
        )
    return made
