"""`energan interpolate`: what lies between samples."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from energan.cli.options import (
    Checkpoint,
    ComputeDevice,
    PictureTarget,
    RunPath,
    Weights,
    parse,
    target_of,
)
from energan.cli.run_options import provenance
from energan.core import SettingError
from energan.inference import latents
from energan.inference.conditions import check_room
from energan.inference.labels import class_number
from energan.inference.run import Run
from energan.io import pictures
from energan.io.text import plural


@dataclass
class Interpolate:
    """Generate images along the path from one latent vector to another: one row per pair."""

    run: RunPath
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 6
    """pairs"""
    steps: int = 10
    """images per row, both ends included"""
    way: Literal["linear", "spherical"] = "linear"
    """interpolate linearly, or along the great circle (spherical), which keeps the norm of z"""
    label: str | None = None
    """for a conditional model: the class to draw; by default one class per row"""
    out: PictureTarget = Path("interpolation.png")
    seed: int = 0
    """seed of the latents"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"
    device: ComputeDevice = "auto"


def interpolate(args: list[str]) -> int:
    options = parse(Interpolate, args, "energan interpolate")
    n, steps, seed = options.n, options.steps, options.seed
    if n < 1 or steps < 2:
        raise SettingError("give --n at least 1 and --steps at least 2")
    run = Run(
        options.run, checkpoint=options.checkpoint, weights=options.weights, device=options.device
    )
    pictures.check_target(options.out, run.domain)
    check_room(n * steps, run.domain.size, "samples")
    z = latents.draw(run, 2 * n, seed)
    if run.given:
        raise SettingError(
            f"{run.path}: the model {run.job.model} needs an input besides the latents, so it "
            "cannot interpolate: choose a run of another model"
        )
    if z is None:
        raise SettingError(
            f"{run.path}: the model {run.job.model} has no latents to interpolate: choose a run "
            "of a model with a generator"
        )
    way = latents.linear if options.way == "linear" else latents.spherical
    labels = latents.row_labels(run, n, steps)
    if options.label is not None:
        labels = torch.full((n * steps,), class_number(run, options.label))
    x = latents.generate(run, way(z[:n], z[n:], steps).flatten(0, 1), labels)
    about = {**provenance(run, seed), "way": options.way}
    path = pictures.save_samples(
        target_of(options), x, run.domain,
        about=about, columns=steps, labels=labels, class_names=run.class_names,
    )  # fmt: skip
    print(f"{plural(n, f'{options.way} way')} of {steps} between latents (seed {seed}): {path}")
    return 0
