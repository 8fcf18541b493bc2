"""`energan sample`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from energan.commands.parts import parse
from energan.version import __version__


def sample(args: list[str]) -> int:
    import tyro

    @dataclass
    class Sample:
        """Draw samples from a run and write them as a picture, an array or a folder of pictures."""

        run: Annotated[Path, tyro.conf.Positional]
        """the run's folder"""
        n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64
        """how many"""
        out: Path = Path("samples.png")
        """a .png grid, an .npz (array x), or a folder for one PNG each"""
        seed: int = 0
        """of the draws"""
        label: str | None = None
        """of a conditional model, the class to draw, by name or number; all in rows otherwise"""
        weights: Literal["ema", "raw"] | None = None
        """averaged or raw; averaged where there are any"""
        checkpoint: str = "last"
        """last, best, or a step"""

    asked = parse(Sample, args, "energan sample")
    from energan import pictures
    from energan.run import Run

    run = Run(asked.run, checkpoint=asked.checkpoint, weights=asked.weights)
    for warning in run.warnings:
        print(f"energan: {warning}; using {run.checkpoint.name} instead", file=sys.stderr)
    labels, columns = _labels(run, asked)
    x = run.sample(asked.n if labels is None else len(labels), seed=asked.seed, condition=labels)
    about = {
        "run": run.config["hash"],
        "step": run.step,
        "seed": asked.seed,
        "weights": run.weights,
        "energan": __version__,
    }
    if asked.label is not None:
        about["label"] = asked.label
    path = pictures.save_samples(asked.out, x, run.domain, about=about, columns=columns)
    print(f"{len(x)} samples of step {run.step} ({run.weights} weights, seed {asked.seed}): {path}")
    return 0


def _labels(run: Any, asked: Any) -> tuple[Any, int | None]:
    """Labels to draw, and the columns of a grid: one class, or of a picture a class a row."""
    import torch

    from energan import pictures

    if run.classes is None:
        if asked.label is not None:
            class_number(run, asked.label)
        return None, None
    if asked.label is not None:
        return torch.full((asked.n,), class_number(run, asked.label)), None
    if asked.out.suffix == ".png":
        labels, columns = pictures.labels_of_a_grid(run.classes)
        return labels, columns
    return torch.arange(asked.n) % run.classes, None


def class_number(run: Any, label: str) -> int:
    """A class by its number, or by its name among the chosen `data.classes`.

    Raises SettingError if the model takes no labels, or knows no such class.
    """
    from energan.core import SettingError

    if run.classes is None:
        raise SettingError(f"--label: the model {run.job.model} takes no labels; leave it out")
    names = run.job.settings.data.classes or tuple(map(str, range(run.classes)))
    if label in names:
        return int(names.index(label))
    if label.isdigit() and int(label) < run.classes:
        return int(label)
    raise SettingError(
        f"--label {label}: the model knows {run.classes} classes, {', '.join(names[:20])}"
    )
