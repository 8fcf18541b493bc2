"""What the papers' figures share: how they are asked for, runs opened, images side by side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from energan.core import Domain, RunError, SettingError
from energan.inference.run import Run, Weights
from energan.io import pictures
from energan.samplers.generator import Generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Layout = Literal["constrained"] | None
DPI = 150
TITLE, TEXT, SMALL = 11, 9, 8
"""Sizes of type, in points."""
MOST_SETTINGS = 5
POINTS = 2000


@dataclass(frozen=True)
class Asked:
    """How a figure is asked for: n of what it shows (None: its own number), draws, weights, step.

    steps: the checkpoints that a figure through training shows; chosen from those kept if empty.
    """

    n: int | None = None
    seed: int = 0
    weights: Weights | None = None
    checkpoint: str = "last"
    steps: tuple[int, ...] = ()

    def count(self, otherwise: int) -> int:
        """n, or the figure's own number. Raises SettingError if it is less than one."""
        if self.n is not None and self.n < 1:
            raise SettingError(f"-n {self.n}: a figure shows at least one")
        return otherwise if self.n is None else self.n


@dataclass(frozen=True)
class Drawn:
    """A figure; says: what it shows, in a sentence; notes: what the reader should know of it."""

    figure: "Figure"
    says: str
    notes: list[str] = field(default_factory=list)


def new_figure(width: float, height: float, layout: Layout = None) -> "Figure":
    """An empty figure, in inches; with the layout "constrained" it places its axes itself."""
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    return Figure(figsize=(width, height), layout=layout, dpi=DPI)


def open_run(path: Path, asked: Asked, weights: Weights | None = None) -> Run:
    return Run(path, checkpoint=asked.checkpoint, weights=asked.weights or weights)


def only(runs: Sequence[Path], kind: str) -> Path:
    """The one run of a figure that takes one. Raises RunError if there are others."""
    if len(runs) != 1:
        raise RunError(f"`energan figures {kind}` draws one run, and {len(runs)} are named")
    return runs[0]


def generator_of(run: Run) -> Generator:
    """The run's generator. Raises SettingError if its samples come from elsewhere."""
    if not isinstance(run.sampler, Generator):
        raise SettingError(f"{run.path}: the model {run.job.model} has no generator network")
    return run.sampler


def images_only(run: Run, kind: str) -> None:
    """Raise SettingError if the run's events are no images."""
    if not pictures.is_image(run.domain):
        raise SettingError(
            f"{run.path} was trained on events of shape {run.domain.shape}: `energan figures "
            f"{kind}` draws images"
        )


def name_of(run: Run) -> str:
    """The system's name as the papers write it: EBGAN-PT is an EBGAN with the pulling-away term."""
    if run.job.model == "gan":
        return "GAN"
    if run.classifies:
        return "EBGAN-LN" if run.makes_samples else "LN"
    if run.job.model.startswith("ebgan"):
        return "EBGAN-PT" if getattr(run.job.settings.model, "pull_away", 0) else "EBGAN"
    return run.job.model


def differing(runs: Sequence[Run]) -> list[list[str]]:
    """For each run the settings in which it differs from others of its model, as `margin 8`.

    What sets one model apart from another goes with its name. More than a few are counted.
    """
    settings = [_flat(run) for run in runs]
    told: list[list[str]] = []
    for run, own in zip(runs, settings, strict=True):
        alike = [s for r, s in zip(runs, settings, strict=True) if r.job.model == run.job.model]
        found = [
            f"{_short(name)} {_written(value)}"
            for name, value in own.items()
            if any(other[name] != value for other in alike)
        ]
        more = len(found) - MOST_SETTINGS
        told.append([*found[:MOST_SETTINGS], f"and {more} more"] if more > 1 else found)
    return told


def _flat(run: Run) -> dict[str, Any]:
    """The settings that a result follows from, by their dotted names, and the step it is from."""
    settings = run.job.settings
    flat: dict[str, Any] = {}
    for group in ("model", "data"):
        for name, value in getattr(settings, group).model_dump(mode="json").items():
            inner = value if isinstance(value, dict) else None
            flat |= {f"{name}.{k}": v for k, v in inner.items()} if inner else {name: value}
    flat["batch_size"], flat["seed"] = settings.training.batch_size, settings.seed
    return flat | {"step": run.step}


def _short(name: str) -> str:
    renamed = {"energy_optimiser": "D", "sampler_optimiser": "G", "pull_away": "pulling away"}
    first, _, rest = name.partition(".")
    return " ".join(part for part in (renamed.get(first, first), rest) if part).replace("_", " ")


def _written(value: Any) -> str:
    if isinstance(value, list):
        text = "-".join(str(v) for v in value)
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 28 else f"{text[:27]}…"


# --- panels ---------------------------------------------------------------------------------------


def panel(axes: "Axes", x: Tensor, domain: Domain, columns: int, real: Tensor | None = None) -> int:
    """Draw samples (N, *event): images in a grid of `columns`, points as dots before real ones.

    Returns the pixels across of the grid, 0 for points.
    Raises SettingError for events that are neither.
    """
    axes.set_xticks([])
    axes.set_yticks([])
    if pictures.is_image(domain):
        image = np.asarray(pictures.grid(x, domain, columns).convert("RGB"))
        axes.imshow(image, interpolation="antialiased")
        axes.axis("off")
        return int(image.shape[1])
    if len(domain.shape) != 1 or domain.shape[0] < 2:
        raise SettingError(
            f"events of shape {domain.shape} make no panel: name runs on images, or on points of "
            "two numbers"
        )
    for points, colour in ((real, "0.8"), (x, "tab:blue")):
        if points is not None:
            across, up = points[:, :2].T.cpu().numpy()
            axes.scatter(across, up, s=2, c=colour, linewidths=0)
    axes.set_aspect("equal", adjustable="datalim")
    return 0


def tile(domain: Domain) -> float:
    """Inches that an image of a grid takes with its gap, so that none of its pixels is lost."""
    if not pictures.is_image(domain):
        return 0.55
    side = max(domain.shape[1:])
    return (side * max(1, 64 // side) + 2) * 1.2 / DPI


def place(figure: "Figure", left: float, top: float, width: float, height: float) -> "Axes":
    """Axes at a place given in inches from the figure's upper left corner."""
    wide, tall = figure.get_size_inches()
    return figure.add_axes((left / wide, 1 - (top + height) / tall, width / wide, height / tall))


def write(figure: "Figure", text: str, across: float, top: float, **how: Any) -> None:
    """Text with the middle of its upper edge at a place in inches from the upper left corner."""
    wide, tall = figure.get_size_inches()
    at = (across / wide, 1 - top / tall)
    figure.text(*at, text, ha="center", va="top", parse_math=False, **how)


def letter(index: int) -> str:
    """(a), (b), … and after (z) numbers."""
    return f"({chr(ord('a') + index)})" if index < 26 else f"({index + 1})"


def square(count: int) -> int:
    """Columns of a grid that is nearly square."""
    return math.ceil(math.sqrt(count))
