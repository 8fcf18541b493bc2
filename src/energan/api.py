"""The library in two calls: train and load."""

from pathlib import Path
from typing import Any

from energan.core import SettingError
from energan.evaluation.checkpoint_metric import checkpoint_metric
from energan.experiment import settings
from energan.experiment.start import start
from energan.inference.run import Run
from energan.training.checkpoint_choice import Weights


def train(
    recipe: str | None = None,
    *,
    data: str | Path | dict[str, Any] | None = None,
    steps: int | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    model: str | dict[str, Any] | None = None,
    from_run: str | Path | None = None,
    scale: str | float | None = None,
    progress: bool = True,
    **groups: dict[str, Any],
) -> Run:
    """Train a recipe (or a settings file) and give the run.

    data: a source's name or path, or settings of that group, as `data={"range": "unit"}`. steps,
    seed, out: as on the command line. model: another model's name, or settings of the recipe's
    own, as `model={"margin": 8}`. Further groups likewise: `training={"batch_size": 64}`.
    from_run: start from that run's weights. scale: multiplies every count of training steps of the
    recipe, schedules included, by a number or a fraction, as "1/6"; what else is given here counts
    as written.

    Raises EnerganError's kinds: SettingError, DataError, RunError, and DivergenceError if a loss
    stops being finite.
    """
    job = settings.load(recipe, model if isinstance(model, str) else None)
    if scale is not None:
        job = job.scaled(scale)
    for name, group in groups.items():
        if not isinstance(group, dict):
            raise SettingError(
                f'{name}: settings come in groups, as training={{"batch_size": 64}}; '
                "`energan train RECIPE --help-all` lists them"
            )
    changes: dict[str, Any] = {name: dict(group) for name, group in groups.items()}
    if isinstance(model, dict):
        changes["model"] = model
    if data is not None:
        changes["data"] = data if isinstance(data, dict) else {"source": str(data)}
    if steps is not None:
        changes.setdefault("training", {})["steps"] = steps
    if seed is not None:
        changes["seed"] = seed
    done = start(
        [job.changed(changes)],
        None if out is None else [out],
        from_run=from_run,
        checkpoint_metric=checkpoint_metric,
        progress=progress,
    )
    return Run(done[0].path)


def load(
    path: str | Path, *, checkpoint: str | int = "last", weights: Weights | None = None
) -> Run:
    """A run from its folder; see `Run`."""
    return Run(path, checkpoint=checkpoint, weights=weights)
