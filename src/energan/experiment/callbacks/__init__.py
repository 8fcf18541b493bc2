"""The hooks of a run: what watches it while it trains."""

from collections.abc import Callable, Sequence
from functools import partial

from energan.core import Domain, SettingError
from energan.data import DataSet
from energan.experiment.callbacks.held_out import no_errors
from energan.experiment.callbacks.landscapes import Landscapes, has_landscape
from energan.experiment.callbacks.reconstructions import Reconstructions, denoises
from energan.experiment.callbacks.samples import Preview, SampleGrids
from energan.experiment.callbacks.scores import CheckpointMetric, Score
from energan.experiment.callbacks.synthetic_defects import DefectGrids
from energan.experiment.settings import Job
from energan.io.run_folder import RunFolder
from energan.metrics.catalogue import METRICS
from energan.samplers.synthetic_defects import SyntheticDefects
from energan.training.distributed import Distributed
from energan.training.divergence import Guard
from energan.training.health import Health
from energan.training.hooks import Checkpoints, Listener, Log, Rollback
from energan.training.loop import Hook
from energan.training.trackers import TRACKERS, TensorBoard, Tracker
from energan.training.train_state import TrainState

MakeCheckpointMetric = Callable[[Job, Domain], CheckpointMetric | None]
"""A job, the domain of its data -> what scores its samples; None if it needs nothing of its own."""
Say = Callable[[str], None]


def checkpoint_metric_of(
    job: Job, data: DataSet, checkpoint_metric: MakeCheckpointMetric | None, ranks: Distributed
) -> CheckpointMetric | None:
    """What scores for `keep_best`, made by the rank that scores, and none if nothing need be."""
    lacks = {
        "held_out_energy": "" if data.held_out is not None else "nothing is held out",
        "high_quality_share": "" if data.modes is not None else "the data has no known modes",
        "l1": "" if data.domain.paired else "the data holds no pairs",
    }
    wanted = job.settings.output.keep_best
    if wanted == "error":
        lacks[wanted] = no_errors(job, data)
    if reason := lacks.get(wanted):
        raise SettingError(f"--keep-best {wanted} does not apply: {reason}")
    if wanted == "auto" or METRICS[wanted].always:
        return None
    if checkpoint_metric is None:
        raise SettingError(
            f"output.keep_best {wanted}: pass `start` a `checkpoint_metric` that computes it"
        )
    return ranks.first(lambda: checkpoint_metric(job, data.domain))


def trackers_of(job: Job) -> list[type[Tracker]]:
    """Where the run's figures are logged to. Raises SettingError for a package that is missing; of
    TensorBoard, which is on by default, it is not asked for."""
    output = job.settings.output
    wanted = [one for one in TRACKERS if getattr(output, one.extra)]
    for tracker in wanted:
        if tracker is not TensorBoard:
            tracker.check_installed()
    return [one for one in wanted if one.installed()]


def hooks_of(
    loop: TrainState,
    job: Job,
    data: DataSet,
    folder: RunFolder,
    metric: CheckpointMetric | None,
    say: Say,
    listeners: Sequence[Listener],
) -> list[Hook]:
    """The hooks of a run, in their order. listeners: of the log's figures, on the rank that writes.

    say: how the user is told what the run finds of itself.
    """
    output, training = job.settings.output, job.settings.training
    log = Log(folder, output.log_every)
    score = Score(data, loop.engine, metric)
    made = DefectGrids if isinstance(loop.sampler, SyntheticDefects) else SampleGrids
    grids = made(folder, output.sample_every, data)
    saving = Checkpoints(folder, output.checkpoint_every, output.keep, log, score, output.keep_best)
    hooks: list[Hook] = [log, saving, grids]
    shown: list[Preview] = [grids]
    if denoises(loop.energy) and data.domain.condition_shape is None:
        shown.append(Reconstructions(folder, output.sample_every, data))
        hooks.append(shown[-1])
    if has_landscape(data.domain):
        hooks.append(Landscapes(folder, output.sample_every, data))
    if training.guard:
        guard = Guard(log, output.checkpoint_every)
        log.listeners.append(guard)
        hooks.insert(1, guard)  # nothing that it finds sick is saved
    if training.on_divergence == "rollback":
        hooks.append(Rollback(folder, training.rollbacks, say))
    if not loop.ranks.writes:
        return hooks
    for tracker in trackers_of(job):
        place = tracker(folder, job.settings.model_dump(mode="json"))
        log.listeners.append(place)
        for previews in shown:
            previews.listeners.append(partial(place.picture, what=previews.what))
        hooks.append(place)
    health = Health(folder, say)
    log.listeners.append(health)
    hooks.append(health)
    log.listeners += listeners
    return hooks
