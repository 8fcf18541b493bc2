"""`energan interpolate` and `energan neighbours`: what lies between samples, and beside them."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from energan.cli.options import parse
from energan.version import __version__

if TYPE_CHECKING:
    from energan.inference.run import Run


def interpolate(args: list[str]) -> int:
    import tyro

    @dataclass
    class Interpolate:
        """G along the way from one latent to another: a row for each pair."""

        run: Annotated[Path, tyro.conf.Positional]
        """the run's folder"""
        n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 6
        """pairs"""
        steps: int = 10
        """images of a row, with both ends"""
        way: Literal["linear", "spherical"] = "linear"
        """along the straight line, or along the great circle, where the norm of z stays"""
        label: str | None = None
        """of a conditional model, the class to draw; a class a row if not given"""
        out: Path = Path("interpolation.png")
        """a .png grid, an .npz (array x), or a folder for one PNG each"""
        seed: int = 0
        """of the latents"""
        weights: Literal["ema", "raw"] | None = None
        """averaged or raw; averaged where there are any"""
        checkpoint: str = "last"
        """last, best, or a step"""

    asked = parse(Interpolate, args, "energan interpolate")
    import torch

    from energan.cli.sample import class_number
    from energan.core import SettingError
    from energan.inference import latents
    from energan.io import pictures

    if asked.n < 1 or asked.steps < 2:
        raise SettingError("--n is at least 1, and --steps at least 2")
    run = _open(asked)
    z = latents.drawn(run, 2 * asked.n, asked.seed)
    if run.given:
        raise SettingError(
            f"{run.path}: the model {run.job.model} makes samples of conditions, not of latents "
            "alone: there is no way from one to another"
        )
    if z is None:
        raise SettingError(f"{run.path}: the model {run.job.model} has no latents to go between")
    way = latents.straight if asked.way == "linear" else latents.spherical
    labels = latents.a_class_each(run, asked.n, asked.steps)
    if asked.label is not None:
        labels = torch.full((asked.n * asked.steps,), class_number(run, asked.label))
    x = latents.images(run, way(z[: asked.n], z[asked.n :], asked.steps).flatten(0, 1), labels)
    told = {**_about(run, asked), "way": asked.way}
    path = pictures.save_samples(asked.out, x, run.domain, about=told, columns=asked.steps)
    print(
        f"{asked.n} {asked.way} ways of {asked.steps} between latents (seed {asked.seed}): {path}"
    )
    return 0


def neighbours(args: list[str]) -> int:
    import tyro

    @dataclass
    class Neighbours:
        """Samples, each followed by the training events nearest to it: are they copies?"""

        run: Annotated[Path, tyro.conf.Positional]
        """the run's folder"""
        n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8
        """samples, a row each"""
        k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 5
        """neighbours of each"""
        data: str | None = None
        """where the training data is now, if it was moved"""
        out: Path = Path("neighbours.png")
        """a .png grid, an .npz (array x), or a folder for one PNG each"""
        seed: int = 0
        """of the samples"""
        weights: Literal["ema", "raw"] | None = None
        """averaged or raw; averaged where there are any"""
        checkpoint: str = "last"
        """last, best, or a step"""

    asked = parse(Neighbours, args, "energan neighbours")
    import torch

    from energan.core import SettingError
    from energan.data import open_data
    from energan.evaluation.neighbours import SEARCHED, among
    from energan.io import pictures

    if asked.n < 1 or asked.k < 1:
        raise SettingError("--n and --k are at least 1")
    run = _open(asked)
    settings = run.job.settings.data
    if asked.data is not None:
        settings = settings.model_copy(update={"source": asked.data})
    data = open_data(settings)
    k = min(asked.k, len(data))
    x = run.sample(asked.n, seed=asked.seed)
    distances, rows = among(x, data, k)
    real = data.gather(rows.flatten()).x.float().cpu().unflatten(0, rows.shape)
    shown = torch.cat([x.unsqueeze(1), real], 1).flatten(0, 1)
    told = _about(run, asked)
    path = pictures.save_samples(asked.out, shown, run.domain, about=told, columns=k + 1)
    looked = min(len(data), SEARCHED)
    print(
        f"{asked.n} samples, each before its {k} nearest of {looked:,} training events, at "
        f"{float(distances[:, 0].min()):.4g} to {float(distances[:, 0].max()):.4g}: {path}"
    )
    return 0


def _open(asked: Any) -> "Run":
    from energan.inference.run import Run

    run = Run(asked.run, checkpoint=asked.checkpoint, weights=asked.weights)
    for warning in run.warnings:
        print(f"energan: {warning}; using {run.checkpoint.name} instead", file=sys.stderr)
    return run


def _about(run: "Run", asked: Any) -> dict[str, Any]:
    return {
        "run": run.config["hash"],
        "step": run.step,
        "seed": asked.seed,
        "weights": run.weights,
        "energan": __version__,
    }
