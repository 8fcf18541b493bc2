"""`energan neighbours`: samples beside what they may be copies of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

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
from energan.cli.run_options import open_training_data, provenance
from energan.core import SettingError
from energan.evaluation.neighbours import SEARCHED, nearest_events
from energan.inference.run import Run
from energan.io import pictures
from energan.io.text import plural


@dataclass
class Neighbours:
    """Show samples next to the training examples that are nearest to them: are they copies?"""

    run: RunPath
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8
    """number of samples, one per row"""
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 5
    """number of neighbours of each"""
    data: str | None = None
    """the training data's new place, if it was moved"""
    out: PictureTarget = Path("neighbours.png")
    seed: int = 0
    """seed of the samples"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"
    device: ComputeDevice = "auto"


def neighbours(args: list[str]) -> int:
    options = parse(Neighbours, args, "energan neighbours")
    if options.n < 1 or options.k < 1:
        raise SettingError("give --n and --k at least 1")
    run = Run(
        options.run, checkpoint=options.checkpoint, weights=options.weights, device=options.device
    )
    pictures.check_target(options.out, run.domain)
    data = open_training_data(run, options.data)
    k = min(options.k, len(data))
    x = run.sample(options.n, seed=options.seed)
    distances, rows = nearest_events(x, data, k)
    real = data.gather(rows.flatten()).x.float().cpu().unflatten(0, rows.shape)
    shown = torch.cat([x.unsqueeze(1), real], 1).flatten(0, 1)
    about = provenance(run, options.seed)
    path = pictures.save_samples(target_of(options), shown, run.domain, about=about, columns=k + 1)
    print(
        f"{plural(options.n, 'sample')}, each with its {k} nearest of "
        f"{min(len(data), SEARCHED):,} training examples, at distances "
        f"{float(distances[:, 0].min()):.4g} to {float(distances[:, 0].max()):.4g}: {path}"
    )
    return 0
