"""All settings of a run, from a recipe, a settings file and the user's changes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_core import from_json

from energan import models, recipes
from energan.core import Config, SettingError, describe
from energan.core.schedules import ESSENTIAL, factor_of, scaled_settings
from energan.data.settings import DataSettings
from energan.io.documents import explain, read_bytes
from energan.io.nested import merged, without
from energan.metrics.catalogue import KEEP_BEST
from energan.training.device import EngineSettings
from energan.training.settings import TrainingSettings

ModelConfig = TypeVar("ModelConfig", bound=Config)
SomeConfig = TypeVar("SomeConfig", bound=Config)


if TYPE_CHECKING:
    KeepBest = str
else:
    KeepBest = Literal[KEEP_BEST]


class LoggingSettings(Config):
    """What is written on the way. Nothing here changes the result."""

    log_every: int = Field(100, ge=1, description="steps between log events and progress figures")
    sample_every: int = Field(500, ge=0, description="steps between sample grids; 0: none")
    checkpoint_every: int = Field(
        1000, ge=0, description="steps between checkpoints; 0: only at the end"
    )
    keep: int = Field(2, ge=1, description="number of checkpoints to keep, besides the best one")
    keep_best: KeepBest = Field(
        "auto",
        description="metric whose best checkpoint is kept, computed with averaged weights at "
        "each checkpoint; auto: the error on held-out labels for models that classify, "
        "sliced_wasserstein for others",
    )
    tensorboard: bool = Field(True, description="also log to TensorBoard, if it is installed")
    mlflow: bool = Field(
        False, description="also log to MLflow, to the store given by MLFLOW_TRACKING_URI"
    )
    wandb: bool = Field(
        False, description="also log to Weights & Biases, offline unless WANDB_MODE is set"
    )


class Settings(Config, Generic[ModelConfig]):
    """Every setting of a run."""

    seed: Annotated[int, ESSENTIAL] = Field(0, ge=0, description="random seed of the whole run")
    model: ModelConfig
    data: DataSettings = DataSettings()
    training: TrainingSettings = TrainingSettings()
    engine: EngineSettings = EngineSettings()
    output: LoggingSettings = LoggingSettings()


@dataclass(frozen=True)
class Job:
    """What to train: settings, where they come from, and what the user changed."""

    recipe: str
    model: str
    settings: Settings[Any]
    asked: dict[str, Any]
    origin: str | None = None  # of a settings file: the run whose weights that run started from
    code: str | None = None  # of a settings file: sha256 of its own model's source

    def changed(self, changes: dict[str, Any]) -> "Job":
        """The same job with `changes`, {"model": {"margin": 8}, "seed": 1}.

        Raises SettingError naming the setting that is unknown or out of bounds.
        """
        values = merged(self.settings.model_dump(mode="json"), changes)
        settings = checked(type(self.settings), values)
        return replace(self, settings=settings, asked=merged(self.asked, changes))

    def scaled(self, scale: str | float | Fraction, kept: Mapping[str, Any] | None = None) -> "Job":
        """The same job with every count of training steps times `scale`, a number or "1/6".

        kept: settings that stay as they are, nested, as those that were asked for.

        Raises SettingError if it is no factor, or if a count leaves its bounds.
        """
        factor = factor_of(scale)
        try:
            job = self.resolved(without(scaled_settings(self.settings, factor), kept or {}))
        except SettingError as error:
            raise SettingError(f"scale {factor}: {error}") from None
        return replace(job, asked=merged(self.asked, {"scale": str(factor)}))

    def resolved(self, values: dict[str, Any]) -> "Job":
        """The same job with values that were found, not asked for."""
        return replace(self.changed(values), asked=self.asked)

    def with_model(self, name: str) -> "Job":
        """The same job for another model, at that model's own defaults."""
        found = models.find(name)
        rest = self.settings.model_dump(mode="json", exclude={"model"})
        settings = checked(Settings[found.config], {**rest, "model": {}})  # type: ignore[name-defined]
        return replace(self, model=name, settings=settings, code=None)

    def hash(
        self,
        fingerprint: str,
        precision: str,
        origin: str | None = None,
        ranks: int = 1,
        code: str | None = None,
    ) -> str:
        """Of everything that changes the result, and of nothing else.

        fingerprint: of the data's contents, as prepared. origin: of the weights it starts from.
        ranks: how many processes it was started with, each with its own batch. code: sha256 of the
        source of a model of one's own.
        """
        settings = self.settings.model_dump(mode="json")
        return settings_hash(self.model, settings, fingerprint, precision, origin, ranks, code)


LATER: tuple[tuple[str, Any], ...] = (
    ("augment", []), ("r1", 0.0), ("r2", 0.0), ("gradient_penalty", 0.0), ("loss", "logistic"),
    ("augment_images", 500_000), ("leapfrog", 10), ("friction", 1.0), ("target_acceptance", None),
)  # fmt: skip
"""Settings that older versions did not have, with the values that keep their behaviour."""
LATER_OF: dict[str, tuple[tuple[str, Any], ...]] = {
    "igebm": (("dynamics", "langevin"),),
    "r3gan": (("conditional", False),),
}
"""The same of a model, where other models had the setting before."""


def settings_hash(
    model: str,
    settings: Mapping[str, Any],
    fingerprint: str,
    precision: str,
    origin: str | None = None,
    ranks: int = 1,
    code: str | None = None,
) -> str:
    """`Job.hash` of settings as config.json has them."""
    # what an edited file lacks gives another hash than the file's own
    dump = {name: settings.get(name, {}) for name in ("seed", "model", "training")}
    untold = ["on_divergence", "rollbacks", "guard"]
    if dump["training"].get("epochs") is None:  # as runs of versions without it
        untold.append("epochs")
    dump["training"] = {k: v for k, v in dump["training"].items() if k not in untold}
    later = LATER + LATER_OF.get(model, ())
    dump["model"] = {k: _as_before(v) for k, v in dump["model"].items() if (k, v) not in later}
    what = [model, dump, fingerprint, precision, origin, *([ranks] if ranks > 1 else [])]
    if code is not None:
        what.append(code)
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def _as_before(value: Any) -> Any:
    """An optimiser's settings as runs of versions without weight decay have them; all else as it
    is."""
    if not isinstance(value, dict) or value.get("weight_decay") != 0:
        return value
    return {k: v for k, v in value.items() if k != "weight_decay"}


def load(name: str | None, model: str | None = None) -> Job:
    """The job of a recipe's name or a settings file; `model` replaces its model.

    Raises SettingError for an unknown recipe or model, or a file that is no settings.
    """
    if name is None:
        if model is None:
            raise SettingError("name a recipe (`energan recipes` lists them) or a model")
        return _job(model.rsplit(".", 1)[-1], model, {})
    if name not in recipes.RECIPES and (name.endswith(".json") or Path(name).exists()):
        job = _from_file(Path(name))
    else:
        recipe = recipes.find(name)
        job = _job(recipe.name, recipe.model, recipe.settings)
    return job.with_model(model) if model and model != job.model else job


def _job(recipe: str, model: str, settings: dict[str, Any]) -> Job:
    found = models.find(model)
    whole = {"model": {}, **settings}
    return Job(recipe, model, checked(Settings[found.config], whole), {})  # type: ignore[name-defined]


def rebuilt(recipe: str, model: str, settings: dict[str, Any], asked: dict[str, Any]) -> Job:
    """The job that these were taken from, whatever has become of the recipe since."""
    return replace(_job(recipe, model, settings), asked=asked)


def _from_file(path: Path) -> Job:
    if path.is_dir() and (path / "config.json").is_file():
        path = path / "config.json"  # a run's folder stands for its settings
    raw = read_bytes(path, error=SettingError, remedy="name a recipe or a settings file")
    try:
        read = from_json(raw)
    except ValueError as error:
        raise SettingError(f"{path} is not JSON: {error}") from None
    settings = read.get("settings", {}) if isinstance(read, dict) else None
    if not isinstance(settings, dict) or not isinstance(read.get("model"), str):
        raise SettingError(
            f'{path} is not a settings file: it needs "model" (a model\'s name) and "settings" '
            "(groups of settings), as in a run's config.json"
        )
    resolved = read.get("resolved")
    origin = resolved.get("from") if isinstance(resolved, dict) else None
    first = origin.get("path") if isinstance(origin, dict) else None
    if first is not None and not isinstance(first, str):
        raise SettingError(
            f"{path}: resolved.from.path {describe(first)} is not a path; restore the file"
        )
    code = resolved.get("code") if isinstance(resolved, dict) else None
    try:
        job = _job(str(read.get("recipe", path.stem)), read["model"], settings)
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from None
    return replace(job, origin=first, code=code.get("sha256") if isinstance(code, dict) else None)


def checked(kind: type[SomeConfig], values: dict[str, Any]) -> SomeConfig:
    """`values` as settings, of a run or of one group of them.

    Raises SettingError, one sentence, for the first that do not fit.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise SettingError(explain(error)) from None
