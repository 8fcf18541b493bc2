"""`energan train`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from energan.cli.outcome import report_run
from energan.cli.seeds import HELP, Together, train_seeds
from energan.cli.settings_options import parse_recipe
from energan.data.facts import as_records
from energan.data.sources.detect import folder_facts
from energan.evaluation.checkpoint_metric import checkpoint_metric
from energan.experiment.feasibility import check_size
from energan.experiment.settings import Job
from energan.experiment.start import fitted, start
from energan.training.device import choose

SCALE = (
    "multiply the recipe's steps and schedule lengths by this number or fraction, for example "
    "1/6; settings that you give yourself are not scaled"
)


@dataclass(kw_only=True)
class Train:
    """Train a recipe and write a run: settings, events, samples, checkpoints.

    The progress line shows the mean energies of data and of samples (real energy, fake energy), the
    losses of the energy and of the generator (D loss, G loss), the pulling-away term (PT; 0: codes
    orthogonal, 1: parallel), the cross-entropy of labels (CE), and the sliced Wasserstein distance
    to held-out data (SWD)."""

    out: Path | None = None
    """the run's folder; by default runs/RECIPE"""
    from_: Annotated[Path | None, tyro.conf.arg(name="from", metavar="RUN")] = None
    """start from the weights of this run"""
    minutes: float | None = None
    """train for about this many minutes: times some steps, then scales the recipe's steps and
    schedules to fit (with several seeds, for all of them together)"""
    scale: Annotated[str | None, tyro.conf.arg(help=SCALE)] = None
    seeds: int | None = None
    """train this many seeds, counting up from --seed, each in its own run folder"""
    together: Annotated[Together, tyro.conf.arg(help=HELP)] = "auto"
    dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
    """print all settings and how the data is read, then stop"""


def train(args: list[str]) -> int:
    job, options = parse_recipe(Train, args, "train")
    if options.dry_run:
        check_size(job, choose(job.settings.engine))
        if options.minutes is not None:
            job = fitted(job, options.minutes, checkpoint_metric)
        _print_settings(job)
        return 0
    out, from_run = options.out, options.from_
    if options.seeds is not None:
        return train_seeds(
            job, options.seeds, options.together, out, from_run, options.minutes, args
        )
    folders = None if out is None else [out]
    done = start(
        [job],
        folders,
        from_run=from_run,
        checkpoint_metric=checkpoint_metric,
        minutes=options.minutes,
    )
    return report_run(done[0])


def _print_settings(job: Job) -> None:
    data = {"facts": as_records(folder_facts(job.settings.data))}
    resolved = {
        "recipe": job.recipe,
        "model": job.model,
        "asked": job.asked,
        "settings": job.settings.model_dump(mode="json"),
        "resolved": {**choose(job.settings.engine).describe(), "data": data},
    }
    print(json.dumps(resolved, indent=2))
