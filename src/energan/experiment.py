"""The only assembler: settings -> data, model, loop, hooks, and a run on disk."""

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import torch

from energan import models, pictures
from energan.core import (
    Batch,
    Calibrated,
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
from energan.recipes import merged
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
        torch.default_generator.manual_seed(place_seed(seed, "init"))
        built = models.find(job.model).build(job.settings.model, domain)
    if not isinstance(built, Model):
        raise SettingError(
            f"model {job.model}: build gave {type(built).__name__}, not an energan.core.Model"
        )
    return built


def assemble(
    job: Job, data: DataSet, engine: Engine, seeds: Sequence[int], hooks: Sequence[Hook] = ()
) -> Loop:
    """The loop of a job: one run, or a cohort of one member for each seed."""
    training = job.settings.training
    feed = Feed(data, seeds, training.batch_size, engine.dtype)

    @lru_cache(maxsize=1)
    def resting_feed(size: int) -> Feed:
        return Feed(data, seeds, size, engine.dtype, stream="calibrate")

    def at_rest(chunk: int, size: int) -> Batch:
        return resting_feed(size)(chunk)

    built = [build(job, data.domain, seed) for seed in seeds]
    layers = [*built[0].energy.modules(), *built[0].sampler.modules()]
    compares = "pull_away" in built[0].hyper or any(isinstance(m, Calibrated) for m in layers)
    if training.batch_size == 1 and compares:
        raise SettingError(
            "training.batch_size: batch norm and the pulling-away term compare the samples of a "
            "batch, and one has no other; use at least 2"
        )
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
    if out is not None:
        _check_free(RunFolder(out))
    engine = choose(job.settings.engine)
    data = open_data(job.settings.data)
    loop = assemble(job, data.to(engine.device), engine, [job.settings.seed])
    source = from_run or job.origin
    origin = adopt(loop, RunFolder(source)) if source else None
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
        "from": origin,
    }  # fmt: skip
    folder = _claim(job, out)
    with folder.lock():
        _check_free(folder)  # again: another process may have had the lock before
        folder.write_config(
            {
                "energan": __version__,
                "recipe": job.recipe,
                "model": job.model,
                "hash": _hash(job, resolved),
                "asked": {**job.asked, **({"from": origin["path"]} if origin else {})},
                "settings": job.settings.model_dump(mode="json"),
                "resolved": resolved,
            }
        )
        _train(loop, job, data, folder, progress)
    return folder


def resume(
    path: str | Path,
    *,
    steps: int | None = None,
    threads: int | None = None,
    on_divergence: str | None = None,
    progress: bool = True,
) -> RunFolder:
    """Go on with a run from its newest good checkpoint. steps: train to there instead.

    On the same machine with the same threads the weights end, bit for bit, as those of a run that
    never stopped. Raises RunError if the run is finished or in use, or its data changed.
    """
    folder = RunFolder(path)
    folder.read_config()  # a folder that is no run gets no lock file
    with folder.lock():
        config = folder.read_config()
        job, resolved = load(str(folder.config)), config["resolved"]
        asked = {"steps": steps, "on_divergence": on_divergence}
        changes = {"training": {k: v for k, v in asked.items() if v is not None}}
        job = job.changed(changes)
        engine = choose(
            job.settings.engine.model_copy(
                update={
                    "precision": resolved["precision"],
                    "threads": threads or resolved["threads"],
                }
            )
        )
        data = open_data(job.settings.data)
        if data.fingerprint != resolved["data"]["fingerprint"]:
            raise RunError(
                f"the data of {folder.path} changed since it was trained "
                f"({job.settings.data.source}); restore it, or start a new run with --from"
            )
        loop = assemble(job, data.to(engine.device), engine, [job.settings.seed])
        _restore_newest(loop, folder, resolved["from"])
        if loop.step >= job.settings.training.steps:
            raise RunError(
                f"{folder.path} has all its {loop.step} steps; give --steps to train further"
            )
        if changes["training"]:
            config["settings"] = job.settings.model_dump(mode="json")
            config["asked"] = merged(config["asked"], changes)
            config["hash"] = _hash(job, resolved)
            folder.write_config(config)
        folder.append("resume", step=loop.step)
        _train(loop, job, data, folder, progress)
    return folder


def _hash(job: Job, resolved: dict[str, Any]) -> str:
    origin = resolved["from"]
    return job.hash(
        resolved["data"]["fingerprint"],
        resolved["precision"],
        origin["sha256"] if origin else None,
    )


def _restore_newest(loop: Loop, folder: RunFolder, origin: dict[str, Any] | None) -> None:
    """Put the loop back to the newest good checkpoint, and say which newer ones were refused."""
    if not checkpoint.listed(folder.checkpoints) and not folder.read("score"):
        # killed before it wrote its first
        if origin and adopt(loop, RunFolder(origin["path"]))["sha256"] != origin["sha256"]:
            raise RunError(
                f"{folder.path} was killed before its first checkpoint, and {origin['path']}, "
                "whose weights it started from, has changed since: train again"
            )
        return
    found, refused = checkpoint.newest_good(folder.checkpoints)
    checkpoint.restore(found, loop)
    checkpoint.set_aside(folder.checkpoints, loop.step)
    for reason in refused:
        folder.append("refused", step=loop.step, reason=reason)
        ProgressBar().say(f"{reason}; using {found.name} instead")


def _train(loop: Loop, job: Job, data: DataSet, folder: RunFolder, progress: bool) -> None:
    """Run the loop with its hooks; the run's events say how it ended.

    Raises DivergenceError, with the remedy, if it diverged.
    """
    output, training = job.settings.output, job.settings.training
    folder.append("start", step=loop.step, torch=str(torch.__version__), **loop.engine.describe())
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
        pictures.save_curves(folder.path / "curves.png", folder.read())
        kept = checkpoint.listed(folder.checkpoints)
        intact = f"{folder.path} is intact at {kept[-1].name}" if kept else "nothing was written"
        remedy = "train anew with lower learning rates or --model.energy-optimiser.clip"
        if training.on_divergence == "rollback":
            remedy = f"it was rolled back {training.rollbacks} times in vain: {remedy}"
        else:
            remedy += (
                ", or let it go back and halve its rates: "
                f"energan resume {folder.path} --on-divergence rollback"
            )
        raise DivergenceError(f"{error}; {intact}; {remedy}") from None
    pictures.save_curves(folder.path / "curves.png", folder.read())
    if loop.step >= training.steps:
        folder.append("finished", step=loop.step)
    else:
        folder.append("stopped", step=loop.step, reason=loop.stopping)


def adopt(loop: Loop, source: RunFolder) -> dict[str, Any]:
    """Start `loop` from another run's newest raw weights; says which they were."""
    source.read_config()
    path, _ = checkpoint.newest_good(source.checkpoints)
    meta = checkpoint.read_meta(path)
    weights = checkpoint.read_tensors(path, checkpoint.WEIGHTS, meta)
    try:
        for version in loop.versions():
            checkpoint.load_weights(version, weights, path)
    except CheckpointError as error:
        raise SettingError(f"--from {source.path}: {error}") from None
    return {
        "path": str(source.path.resolve()),
        "step": meta["step"],
        "sha256": meta["sha256"][checkpoint.WEIGHTS],
    }


def _check_free(folder: RunFolder) -> None:
    if folder.exists():
        raise RunError(
            f"{folder.path} already holds a run: go on with it by "
            f"`energan resume {folder.path}`, or choose another --out"
        )
    if folder.path.exists() and not folder.path.is_dir():
        raise RunError(f"--out {folder.path} is a file; name a folder")
    if folder.path.is_dir() and any(not p.name.startswith(".") for p in folder.path.iterdir()):
        raise RunError(f"--out {folder.path} holds other files; name a new or an empty folder")


def _claim(job: Job, out: str | Path | None) -> RunFolder:
    """The folder to write to, made; without `out` the first free runs/RECIPE, runs/RECIPE-2, ..."""
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        return RunFolder(out)
    name = Path("runs") / Path(job.recipe).name
    for number in count(1):
        path = name if number == 1 else name.with_name(f"{name.name}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return RunFolder(path)
    raise AssertionError  # count() has no end


def networks_of(folder: RunFolder) -> tuple[Job, Domain, Model]:
    """A run's job, domain and freshly built networks, without opening its data."""
    config = folder.read_config()
    job = load(str(folder.config))
    stored = config["resolved"]["domain"]
    domain = Domain(tuple(stored["shape"]), stored["low"], stored["high"], stored["classes"])
    return job, domain, build(job, domain, job.settings.seed)
