"""The job that arguments in Python ask for: a model as an object, settings in groups."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from energan import models
from energan.core import Config, SettingError
from energan.experiment import settings
from energan.experiment.settings import Job

ModelChoice = str | ModuleType | Config | Mapping[str, Any]
"""A model by its name or module, by its `Config`, or settings of a recipe's own."""


def job_of(
    recipe: str | None,
    model: ModelChoice | None,
    scale: str | float | None,
    given: Mapping[str, Any],
) -> Job:
    """The job of these settings. given: groups, and `data`, `steps` and `seed` as the user has
    them."""
    name, of_model = _model(model)
    job = settings.load(recipe, name)
    if scale is not None:
        job = job.scaled(scale)
    data, steps, seed = (given.get(name) for name in ("data", "steps", "seed"))
    groups = {name: group for name, group in given.items() if name not in ("data", "steps", "seed")}
    for name, group in groups.items():
        if not isinstance(group, Mapping):
            raise SettingError(
                f'{name}: settings are given in groups, as training={{"batch_size": 64}}; '
                "`energan train RECIPE --help-all` lists them"
            )
    changes: dict[str, Any] = {name: dict(group) for name, group in groups.items()}
    if of_model:
        changes["model"] = of_model
    if isinstance(data, Mapping):
        # arrays get a name once they lie in the run's folder
        changes["data"] = {k: v for k, v in data.items() if k != "source" or _is_source(v)}
    elif _is_source(data):
        changes["data"] = {"source": data}
    if "source" in changes.get("data", {}):
        changes["data"]["source"] = str(changes["data"]["source"])
    if steps is not None:
        changes.setdefault("training", {})["steps"] = steps
    if seed is not None:
        changes["seed"] = seed
    return job.changed(changes)


def _model(model: object) -> tuple[str | None, dict[str, Any]]:
    """The model's name, None for the recipe's own, and its settings.

    Raises SettingError for what is none, or for a module that cannot be imported again.
    """
    if model is None or isinstance(model, str):
        return model, {}
    if isinstance(model, Mapping):
        return None, dict(model)
    given: dict[str, Any] = {}
    if isinstance(model, ModuleType):
        name = model.__name__
    elif isinstance(model, Config):
        name, given = type(model).__module__, model.model_dump(mode="json", exclude_unset=True)
    else:
        raise SettingError(
            f"model: give a model's name, its module, its Config, or settings as a dict, not a "
            f"{type(model).__name__}; a model of your own is a module with Config and build"
        )
    if name == "__main__":
        raise SettingError(
            "model: it is defined in the main program, where no other program can find it to "
            "resume or load the run: move its Config and build to a module"
        )
    name = name.removeprefix("energan.models.")
    if isinstance(model, Config) and models.find(name).config is not type(model):
        raise SettingError(f"model: {type(model).__qualname__} is not the Config of a model")
    return name, given


def _is_source(data: object) -> bool:
    return isinstance(data, str | Path)


def of_seeds(job: Job, seeds: int | Sequence[int]) -> list[Job]:
    """The job with each of the seeds."""
    every = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not every or len(set(every)) != len(every):
        raise SettingError(
            f"seeds {seeds}: give their number, at least 1, or a list of different seeds"
        )
    return [job.changed({"seed": seed}) for seed in every]
