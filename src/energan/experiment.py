"""The only assembler: settings -> data, model, loop, hooks, and a run on disk."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from energan import models, pictures
from energan.core import (
    Batch,
    CheckpointError,
    DivergenceError,
    Domain,
    Model,
    RunError,
    SettingError,
    place_seed,
)
from energan.data import open_data
from energan.data.dataset import DataSet
from energan.data.feed import Feed
from energan.folder import RunFolder
from energan.previews import SampleGrids, Score
from energan.progress import ProgressBar
from energan.settings import Job, load
from energan.training import checkpoint
from energan.training.engine import Engine, choose
from energan.training.hooks import Checkpoints, Log, Rollback, TensorBoard
from energan.training.loop import Hook, Loop
from energan.training.stopping import stopping
from energan.version import __version__


def build(job: Job, domain: Domain, seed: int) -> Model:
    """The job's model with the initial weights of `seed`; torch's own generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(place_seed(seed, "init"))
        return models.find(job.model).build(job.settings.model, domain)


def assemble(
    job: Job, data: DataSet, engine: Engine, seeds: Sequence[int], hooks: Sequence[Hook] = ()
) -> Loop:
    """The loop of a job: one run, or a cohort of one member for each seed."""
    training = job.settings.training
    feed = Feed(data, seeds, training.batch_size, engine.dtype)

    def at_rest(chunk: int, size: int) -> Batch:
        return Feed(data, seeds, size, engine.dtype, stream="calibrate")(chunk)

    built = [build(job, data.domain, seed) for seed in seeds]
    return Loop(built, feed, at_rest, training, engine, seeds, hooks)


# --- training -------------------------------------------------------------------------------------


def start(
    job: Job,
    out: str | Path | None = None,
    *,
    from_run: str | Path | None = None,
    progress: bool = True,
) -> RunFolder:
    """Train a job from its beginning into a new run folder. from_run: whose weights to start from.

    Raises RunError if `out` already holds a run, and what `_train` raises.
    """
    engine = choose(job.settings.engine)
    data = open_data(job.settings.data)
    folder = _new_folder(job, out)
    loop = assemble(job, data.to(engine.device), engine, [job.settings.seed])
    if from_run is not None:
        adopt(loop, RunFolder(from_run))
    domain = data.domain
    resolved = {
        **engine.describe(),
        "data": {"name": data.name, "events": len(data), "fingerprint": data.fingerprint},
        "domain": {
            "shape": domain.shape, "low": domain.low, "high": domain.high, "classes": domain.classes
        },
        "parameters": {
            name: sum(p.numel() for p in loop.networks[name].parameters())
            for name in ("energy", "sampler")
        },
    }  # fmt: skip
    folder.path.mkdir(parents=True, exist_ok=True)
    with folder.lock():
        folder.write_config(
            {
                "energan": __version__,
                "recipe": job.recipe,
                "model": job.model,
                "hash": job.hash(data.fingerprint, engine.precision),
                "asked": {**job.asked, **({"from": str(from_run)} if from_run else {})},
                "settings": job.settings.model_dump(mode="json"),
                "resolved": resolved,
            }
        )
        folder.append("start", step=0, torch=str(torch.__version__))
        _train(loop, job, data, folder, progress)
    return folder


def resume(
    path: str | Path, *, steps: int | None = None, threads: int | None = None, progress: bool = True
) -> RunFolder:
    """Go on with a run from its newest good checkpoint. steps: train to there instead.

    On the same machine the result equals, bit for bit, that of a run that never stopped.
    Raises RunError if the run is finished or in use, DataError if its data changed.
    """
    folder = RunFolder(path)
    config = folder.read_config()
    job = load(str(folder.config))
    if steps is not None:
        job = job.changed({"training": {"steps": steps}})
    resolved = config["resolved"]
    engine = choose(
        job.settings.engine.model_copy(
            update={"precision": resolved["precision"], "threads": threads or resolved["threads"]}
        )
    )
    data = open_data(job.settings.data)
    if data.fingerprint != resolved["data"]["fingerprint"]:
        raise RunError(
            f"the data of {folder.path} changed since it was trained ({job.settings.data.source}); "
            "restore it, or start a new run with --from"
        )
    loop = assemble(job, data.to(engine.device), engine, [job.settings.seed])
    with folder.lock():
        _restore_newest(loop, folder, config)
        if loop.step >= job.settings.training.steps:
            raise RunError(
                f"{folder.path} has all its {loop.step} steps; give --steps to train further"
            )
        if steps is not None:
            config["settings"], config["asked"] = (
                job.settings.model_dump(mode="json"),
                {
                    **config["asked"],
                    "training": {**config["asked"].get("training", {}), "steps": steps},
                },
            )
            config["hash"] = job.hash(data.fingerprint, engine.precision)
            folder.write_config(config)
        folder.append("resume", step=loop.step)
        folder.append("start", step=loop.step, torch=str(torch.__version__))
        _train(loop, job, data, folder, progress)
    return folder


def _restore_newest(loop: Loop, folder: RunFolder, config: dict[str, Any]) -> None:
    """Put the loop back to the newest good checkpoint, and say which newer ones were refused."""
    if not checkpoint.listed(folder.checkpoints):  # killed before it wrote its first
        if source := config["asked"].get("from"):
            adopt(loop, RunFolder(source))
        return
    found, refused = checkpoint.newest_good(folder.checkpoints)
    for reason in refused:
        folder.append("refused", step=0, reason=reason)
        ProgressBar().say(f"{reason}; using {found.name} instead")
    checkpoint.restore(found, loop)


def _train(loop: Loop, job: Job, data: DataSet, folder: RunFolder, progress: bool) -> None:
    """Run the loop with its hooks; the run's events say how it ended.

    Raises DivergenceError, with the remedy, if it diverged.
    """
    output, training = job.settings.output, job.settings.training
    bar = ProgressBar()
    log = Log(folder, output.log_every, [])
    score = Score(data, loop.engine)
    grids = SampleGrids(folder, output.sample_every, data)
    saving = Checkpoints(
        folder, output.checkpoint_every, output.keep, log, score, best="sliced_wasserstein"
    )
    loop.hooks = [log, saving, grids]
    if training.on_divergence == "rollback":
        loop.hooks.append(Rollback(folder, training.rollbacks, bar.say))
    if output.tensorboard and importlib.util.find_spec("tensorboard"):
        board = TensorBoard(folder)
        log.listeners.append(board)
        loop.hooks.append(board)
    if progress:
        log.listeners.append(bar)
        loop.hooks.insert(0, bar)  # it starts before the others speak
    try:
        with stopping(loop):
            loop.run()
    except DivergenceError as error:
        folder.append("diverged", step=loop.step, reason=str(error))
        good, _ = checkpoint.newest_good(folder.checkpoints)
        raise DivergenceError(
            f"{error}. {folder.path} is intact at {good.name}; lower the learning rates or clip "
            "the gradients, or let it go back by itself with --on-divergence rollback"
        ) from None
    finally:
        bar.close()
    ended = (
        {"event": "stopped", "reason": loop.stopping} if loop.stopping else {"event": "finished"}
    )
    folder.append(**ended, step=loop.step)
    pictures.save_curves(folder.path / "curves.png", folder.read())


def adopt(loop: Loop, source: RunFolder) -> None:
    """Start `loop` from another run's raw weights."""
    source.read_config()
    path, _ = checkpoint.newest_good(source.checkpoints)
    weights = checkpoint.read_tensors(path, checkpoint.WEIGHTS)
    try:
        checkpoint.load_weights(loop.networks, weights, path)
    except CheckpointError as error:
        raise SettingError(f"--from {source.path}: {error}") from None
    if loop.ema is not None:
        checkpoint.load_weights(loop.ema.module, weights, path)


def _new_folder(job: Job, out: str | Path | None) -> RunFolder:
    if out is not None:
        folder = RunFolder(out)
        if folder.exists():
            raise RunError(
                f"{folder.path} already holds a run: go on with it by "
                f"`energan resume {folder.path}`, or choose another --out"
            )
        if folder.path.exists() and not folder.path.is_dir():
            raise RunError(f"--out {folder.path} is a file; name a folder")
        return folder
    name, number = Path("runs") / job.recipe, 1
    path = name
    while path.exists():
        number += 1
        path = name.with_name(f"{name.name}-{number}")
    return RunFolder(path)


def networks_of(folder: RunFolder) -> tuple[Job, Domain, Model]:
    """A run's job, domain and freshly built networks, without opening its data."""
    config = folder.read_config()
    job = load(str(folder.config))
    stored = config["resolved"]["domain"]
    domain = Domain(tuple(stored["shape"]), stored["low"], stored["high"], stored["classes"])
    return job, domain, build(job, domain, job.settings.seed)
