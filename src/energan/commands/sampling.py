"""`energan sample`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

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
    x = run.sample(asked.n, seed=asked.seed)
    about = {
        "run": run.config["hash"],
        "step": run.step,
        "seed": asked.seed,
        "weights": run.weights,
        "energan": __version__,
    }
    path = pictures.save_samples(asked.out, x, run.domain, about=about)
    print(
        f"{asked.n} samples of step {run.step} ({run.weights} weights, seed {asked.seed}): {path}"
    )
    return 0
