"""What the papers' figures share: their options, and the runs that they are drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energan.core import RunError, SettingError
from energan.inference.run import Run
from energan.io import pictures
from energan.io.nested import dotted
from energan.io.text import value_text
from energan.samplers.generator import Generator
from energan.training.checkpoint_choice import Weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SETTINGS = 5


@dataclass(frozen=True)
class FigureOptions:
    """What is asked of a figure: n of what it shows (None: its own number), draws, weights, step.

    steps: the checkpoints that a figure through training shows; chosen from those kept if empty.
    """

    n: int | None = None
    seed: int = 0
    weights: Weights | None = None
    checkpoint: str = "last"
    steps: tuple[int, ...] = ()

    def open(self, path: Path) -> Run:
        return Run(path, checkpoint=self.checkpoint, weights=self.weights)

    def count(self, otherwise: int) -> int:
        """n, or the figure's own number. Raises SettingError if it is less than one."""
        if self.n is not None and self.n < 1:
            raise SettingError(f"-n {self.n}: give at least 1")
        return otherwise if self.n is None else self.n


@dataclass(frozen=True)
class Drawing:
    """A figure; description: what it shows; notes: what the reader should know of it."""

    figure: "Figure"
    description: str
    notes: list[str] = field(default_factory=list)


def single_run(runs: Sequence[Path], kind: str) -> Path:
    """The one run of a figure that takes one. Raises RunError if there are others."""
    if len(runs) != 1:
        raise RunError(f"`energan figures {kind}` draws one run, and {len(runs)} are named")
    return runs[0]


def require_generator(run: Run) -> Generator:
    """The run's generator. Raises SettingError if its samples come from elsewhere."""
    if not isinstance(run.sampler, Generator):
        raise SettingError(f"{run.path}: the model {run.job.model} has no generator network")
    return run.sampler


def require_images(run: Run, kind: str) -> None:
    """Raise SettingError if the run's events are no images."""
    if not pictures.is_image(run.domain):
        raise SettingError(
            f"{run.path} was trained on examples of shape {run.domain.shape}: `energan figures "
            f"{kind}` needs images"
        )


def system_name(run: Run) -> str:
    """The system's name as the papers write it: EBGAN-PT is an EBGAN with the pulling-away term."""
    if run.job.model == "gan":
        return "GAN"
    if run.classifies:
        return "EBGAN-LN" if run.makes_samples else "LN"
    if run.job.model.startswith("ebgan"):
        return "EBGAN-PT" if getattr(run.job.settings.model, "pull_away", 0) else "EBGAN"
    return run.job.model


def differences(runs: Sequence[Run]) -> list[list[str]]:
    """For each run the settings in which it differs from others of its model, as `margin 8`.

    What sets one model apart from another goes with its name. More than a few are counted.
    """
    settings = [_settings_of(run) for run in runs]
    told: list[list[str]] = []
    for run, own in zip(runs, settings, strict=True):
        alike = [s for r, s in zip(runs, settings, strict=True) if r.job.model == run.job.model]
        found = [
            f"{_setting_label(name)} {_short_text(value)}"
            for name, value in own.items()
            if any(other[name] != value for other in alike)
        ]
        more = len(found) - MOST_SETTINGS
        told.append([*found[:MOST_SETTINGS], f"and {more} more"] if more > 1 else found)
    return told


def _settings_of(run: Run) -> dict[str, Any]:
    """The settings that a result follows from, by their dotted names, and the step it is from."""
    settings = run.job.settings
    flat = dict(dotted(settings.model.model_dump(mode="json")))
    flat |= dotted(settings.data.model_dump(mode="json"))
    flat["batch_size"], flat["seed"] = settings.training.batch_size, settings.seed
    return flat | {"step": run.step}


def _setting_label(name: str) -> str:
    renamed = {"energy_optimiser": "D", "sampler_optimiser": "G", "pull_away": "pulling away"}
    first, _, rest = name.partition(".")
    return " ".join(part for part in (renamed.get(first, first), rest) if part).replace("_", " ")


def _short_text(value: Any) -> str:
    text = "None" if value is None else value_text(value)
    return text if len(text) <= 28 else f"{text[:27]}…"
