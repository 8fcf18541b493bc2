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
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import combinations, product
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError

from energan.errors import SettingError, describe
from energan.io.documents import Document, read_bytes
from energan.recipes import RECIPES
from energan.sweeps import SWEEPS
from energan.sweeps.grid import Sweep, Values
from energan.sweeps.validation import checked


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
        raise SettingError(f"{word} is a sweep's folder: give the sweep's name, and --out {word}")
    if path.exists():
        raise SettingError(f"{word} is not a sweep: its file must end in .json or .py")
    near = get_close_matches(word, SWEEPS, 3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`energan sweep` lists them"
    raise SettingError(f"no sweep {word!r}: {hint}")


class JsonPart(Document):
    """A part of a sweep's JSON, which has no other keys. Each field's description is its remedy."""

    @classmethod
    def read(cls, values: Any, place: str) -> Self:
        """The part that stands in this place. Raises SettingError with the place and the field."""
        known = ", ".join(cls.model_fields)
        if not isinstance(values, dict):
            raise SettingError(f"{place}: write an object with {known} (given: {describe(values)})")
        if odd := [key for key in values if key not in cls.model_fields]:
            raise SettingError(f"{place}: there is no {odd[0]!r}: use {known}")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
            wanted = f"write {cls.model_fields[name].description}"
            if name not in values:
                raise SettingError(f"{place}: {name} is missing: {wanted}") from None
            given = describe(values[name])
            raise SettingError(f"{place}: {name}: {wanted} (given: {given})") from None


class JsonAxis(JsonPart):
    """settings: which get the values, unless these have names, and say themselves what they set."""

    values: list[Any] | dict[str, dict[str, Any]] = Field(
        description='a list, or names with what each changes, as {"small": {"model.latent": 8}}'
    )
    settings: list[str] = Field([], description="a list of the settings that get the values")

    def changes(self, value: Any) -> dict[str, Any]:
        """The settings that one of the values changes."""
        if isinstance(self.values, dict):
            return self.values[value]
        return dict.fromkeys(self.settings, value)


class JsonSweep(JsonPart):
    """The whole."""

    recipe: str = Field(description="a recipe's name, or a settings file")
    axes: dict[str, Any] = Field(description='settings and values, as {"model.margin": [1, 2]}')
    name: str = Field("", description="the sweep's name in quotes")
    summary: str = Field("", description="a sentence in quotes")
    metrics: list[str] = Field([], description="a list of metrics, the first of which ranks trials")
    base: dict[str, Any] = Field(
        {}, description='what all trials change, as {"training.steps": 2000}'
    )


def _from_json(path: Path) -> Sweep:
    try:
        text = read_bytes(path, error=SettingError, remedy="name a file of JSON").decode()
        read = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{path} is not JSON: {error}") from None
    whole = JsonSweep.read(read, str(path))
    axes = {name: _axis(name, axis, path) for name, axis in whole.axes.items()}
    places = {"base": set(whole.base)}
    for name, axis in axes.items():
        places[f"axis {name}"] = {s for value in axis.values for s in axis.changes(value)}
    _check_apart(path, places)

    def settings(values: Values) -> dict[str, Any]:
        changes = (axes[name].changes(value) for name, value in values.items())
        return {setting: value for change in changes for setting, value in change.items()}

    beside = path.parent / whole.recipe
    return Sweep(
        whole.name or path.stem,
        whole.summary or f"of {path.name}",
        str(beside) if whole.recipe not in RECIPES and beside.exists() else whole.recipe,
        {name: list(axis.values) for name, axis in axes.items()},
        settings,
        whole.base,
        tuple(whole.metrics),
    )


def _axis(name: str, read: Any, path: Path) -> JsonAxis:
    place = f"{path}: axis {name}"
    values = read if isinstance(read, dict) else {"values": read}
    axis = JsonAxis.read(values, place)
    if isinstance(axis.values, list):
        return axis.model_copy(update={"settings": axis.settings or [name]})
    if axis.settings:
        raise SettingError(f"{place}: its named values say what they set: leave out settings")
    return axis


def _check_apart(path: Path, places: Mapping[str, set[str]]) -> None:
    """Raise SettingError if two places change one setting: nobody could tell which counted."""
    for (one, own), (other, others) in combinations(places.items(), 2):
        for a, b in product(own, others):
            if f"{a}.".startswith(f"{b}.") or f"{b}.".startswith(f"{a}."):
                setting = max(a, b, key=len)
                raise SettingError(f"{path}: {one} and {other} both change {setting}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise ValueError(f"{twice[0]!r} occurs twice")
    return dict(pairs)


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is not a number")


def _from_python(path: Path) -> Sweep:
    if not path.is_file():
        raise SettingError(f"{path} cannot be read: no such file")
    try:
        made = runpy.run_path(str(path)).get("sweep")
    except (Exception, SystemExit) as error:  # a user's file may raise anything
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, ModuleNotFoundError) and error.name == "energan.sweep":
            reason = "write `from energan import Sweep`: the module energan.sweep is gone"
        raise SettingError(f"{path} cannot be run: {describe(reason)}") from error
    if not isinstance(made, Sweep):
        raise SettingError(
            f"{path} defines no sweep: it needs `sweep = Sweep(...)` (from energan import Sweep)"
        )
    return made
