"""`energan sample`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from energan.cli.options import parse
from energan.version import __version__

OF_CHAINS = {
    "steps": 500, "start": "noise", "turn": 10, "together": False, "step_size": None,
    "noise": None, "clip": None, "dynamics": None, "anneal": 0.0, "labels": (), "data": None,
}  # fmt: skip
"""Options that only chains have, with what they are if not given."""


def sample(args: list[str]) -> int:
    import tyro

    @dataclass
    class Sample:
        """Draw samples from a run and write them as a picture, an array or a folder of pictures.

        With --chains, follow the energy of any run by Langevin dynamics instead, or the energies of
        several runs, or of several checkpoints of one (RUN@2000 RUN@4000), that take turns on one
        set of chains. Of chains the way they went is drawn too, beside a .png, or written into an
        .npz."""

        runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
        """the run's folder; RUN@STEP (or @best, @last) for one of its checkpoints"""
        n: Annotated[int | None, tyro.conf.arg(aliases=["-n"])] = None
        """how many (64)"""
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
        chains: int | None = None
        """follow the energy with so many Langevin chains"""
        steps: int | None = None
        """of each chain (500)"""
        start: Annotated[Literal["noise", "buffer", "data"] | None, tyro.conf.arg(name="from")] = (
            None
        )
        """where chains start: noise, the run's replay buffer, or training data (noise)"""
        turn: int | None = None
        """of several energies: steps of each before the next takes over (10)"""
        together: bool = False
        """of several energies: follow their sum instead of taking turns"""
        step_size: float | None = None
        """ε of chains; as in the run's training, or by its data's range"""
        noise: str | None = None
        """standard deviation of a step's noise; coupled for √ε, with half the gradient"""
        clip: str | None = None
        """bound of each coordinate of the gradient; none for none"""
        dynamics: Literal["langevin", "mala"] | None = None
        """mala refuses moves, so that points follow the energy's density exactly; as in training"""
        anneal: float | None = None
        """share of the steps, at the end, over which step and noise fall to nothing (0)"""
        labels: tuple[str, ...] = ()
        """of conditional energies, the classes that chains follow, as many of each"""
        data: str | None = None
        """of --from data: where the training data is now, if it was moved"""

    asked = parse(Sample, args, "energan sample")
    _check(asked)
    if asked.chains is not None:
        from energan.cli.sample_chains import follow

        for name, otherwise in OF_CHAINS.items():
            if getattr(asked, name) is None:
                setattr(asked, name, otherwise)
        return follow(asked)
    asked.n = 64 if asked.n is None else asked.n
    from energan.io import pictures

    run = opened(asked.runs[0], asked)
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


def _check(asked: Any) -> None:
    """Raise SettingError for options that do not go together."""
    from energan.core import SettingError

    if not asked.runs:
        raise SettingError("name a run, as in `energan sample runs/x`; `energan runs` lists them")
    if asked.chains is not None:
        if asked.n is not None:
            raise SettingError("--chains says how many: leave -n out")
        if asked.label is not None and asked.labels:
            raise SettingError("--label and --labels: give one of them")
        if len(asked.runs) == 1 and (asked.together or asked.turn is not None):
            raise SettingError("--together and --turn are of several energies: name more runs")
        if asked.together and asked.turn is not None:
            raise SettingError("--together follows the sum at each step: leave --turn out")
        if asked.data is not None and asked.start != "data":
            raise SettingError("--data is of chains that start there: add --from data")
        return
    if len(asked.runs) > 1:
        raise SettingError("several runs share chains: say how many, as in --chains 64")
    for name in OF_CHAINS:
        if getattr(asked, name) not in (None, False, ()):
            option = "from" if name == "start" else name.replace("_", "-")
            raise SettingError(f"--{option} is of chains: say how many, as in --chains 64")


def opened(word: str, asked: Any) -> Any:
    """The run that a word names, RUN or RUN@STEP; a line for each of its warnings."""
    from energan.core import SettingError
    from energan.inference.run import Run

    path, checkpoint = word, asked.checkpoint
    if "@" in word and not Path(word).exists():
        path, _, checkpoint = word.rpartition("@")
        if asked.checkpoint != "last":
            raise SettingError(f"{word} names its checkpoint: leave --checkpoint out")
    run = Run(path, checkpoint=checkpoint, weights=asked.weights)
    for warning in run.warnings:
        print(f"energan: {warning}; using {run.checkpoint.name} instead", file=sys.stderr)
    return run


def _labels(run: Any, asked: Any) -> tuple[Any, int | None]:
    """Labels to draw, and the columns of a grid: one class, or of a picture a class a row."""
    import torch

    from energan.io import pictures

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
