"""The only assembler: settings -> data, model, loop, hooks, and a run on disk."""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch

from energan import curves, recipes
from energan.assembly import build, job_of, loop_of
from energan.core import CheckpointError, DivergenceError, Domain, RunError, SettingError
from energan.data import SOURCES, DataSet, DataSettings, open_data
from energan.data.label_files import find_labels
from energan.data.labelled import labelled_events
from energan.folder import RunFolder
from energan.held_out import no_errors
from energan.landscapes import Landscapes, mapped
from energan.margin import STEPS, Estimate, estimate, wants_estimate
from energan.previews import Judge, SampleGrids, Score
from energan.progress import ProgressBar
from energan.reconstructions import Reconstructions, denoises
from energan.settings import LOWER_IS_BETTER, MADE_ANYWAY, Job
from energan.training import checkpoint
from energan.training.engine import Engine, choose
from energan.training.guard import Guard
from energan.training.health import Health
from energan.training.hooks import Checkpoints, Log, Rollback, TensorBoard
from energan.training.loop import Loop
from energan.training.ranks import Ranks, asked_ranks, join
from energan.training.stopping import stopping
from energan.version import __version__

Judging = Callable[[Job, Domain], Judge | None]
"""A job, the domain of its data -> what scores its samples; None if it needs nothing of its own."""


def start(
    job: Job,
    out: str | Path | None = None,
    *,
    from_run: str | Path | None = None,
    judging: Judging | None = None,
    progress: bool = True,
) -> RunFolder:
    """Train a job from its beginning into a new run folder. from_run: whose weights to start from.

    judging: what makes the figure of `output.keep_best`, if not one that every run makes.

    Started by torchrun, each of its processes calls this, and the first one writes. Raises RunError
    if `out` already holds a run, and what `_train` raises.
    """
    job = job.resolved({"data": _whole_paths(job.settings.data)})
    engine = choose(job.settings.engine)
    ranks = join(engine.device)
    if out is not None:
        ranks.first(lambda: _check_free(RunFolder(out)))
    data = _open(job, ranks)
    judge = _judge(job, data, judging, ranks)
    speak = ProgressBar().say if progress and ranks.writes else _silent
    found = _estimated(job, data, engine, ranks, progress, speak)
    asked, job = job, job.resolved({"model": {"margin": found.margin}}) if found else job
    loop, chosen = _loop(job, data, engine, ranks)
    source = from_run or job.origin
    origin = adopt(loop, RunFolder(source)) if source else None
    resolved = _resolved(loop, data, chosen, found, origin)
    for line in (found.says() if found else "", _said(chosen), _skipped(data)):
        speak(line) if line else None
    path = ranks.tell(ranks.first(lambda: str(_claim(job, out).path)))
    assert path is not None
    folder = RunFolder(path, ranks.writes)
    with _locked(folder, ranks):
        ranks.first(lambda: _check_free(folder))  # again: another process may have had the lock
        folder.write_config(
            {
                "energan": __version__,
                "recipe": job.recipe,
                "model": job.model,
                "hash": _hash(job, resolved),
                "asked": {**job.asked, **({"from": origin["path"]} if origin else {})},
                "settings": asked.settings.model_dump(mode="json"),
                "resolved": resolved,
            }
        )
        if data.skipped:
            folder.write_lines("skipped.txt", (f"{w}: {reason}" for w, reason in data.skipped))
        _train(loop, job, data, folder, progress, judge)
    return folder


def _estimated(
    job: Job,
    data: DataSet,
    engine: Engine,
    ranks: Ranks,
    progress: bool,
    speak: Callable[[str], None],
) -> Estimate | None:
    """The margin, estimated by the first rank for all, where the job asks for that."""
    if not wants_estimate(job):
        return None
    speak(
        "margin: auto; training the auto-encoder alone to see where its energy settles "
        "(--model.margin 20, say, goes without)"
    )
    steps, shown = min(STEPS, job.settings.training.steps), progress and ranks.writes
    here = data.to(engine.device)
    found = ranks.tell(ranks.first(lambda: estimate(job, here, engine, steps, progress=shown)))
    assert found is not None
    return found


def _resolved(
    loop: Loop,
    data: DataSet,
    chosen: dict[str, str],
    found: Estimate | None,
    origin: dict[str, Any] | None,
) -> dict[str, Any]:
    """What was found rather than asked for, as config.json keeps it."""
    domain = data.domain
    return {
        **loop.engine.describe(),
        "ranks": loop.ranks.count,
        "data": _about(data),
        "domain": {
            "shape": domain.shape, "low": domain.low, "high": domain.high,
            "classes": domain.classes, "condition_shape": domain.condition_shape,
        },
        "parameters": {
            name: sum(p.numel() for p in loop.networks[name].parameters())
            for name in ("energy", "sampler")
        },
        "chosen": chosen,
        "labelled": loop.labelled,
        "margin": found.record() if found else None,
        "from": origin,
    }  # fmt: skip


def resume(
    path: str | Path,
    *,
    steps: int | None = None,
    threads: int | None = None,
    on_divergence: str | None = None,
    data_at: str | Path | None = None,
    judging: Judging | None = None,
    progress: bool = True,
) -> RunFolder:
    """Go on with a run from its newest good checkpoint. steps: train to there instead.

    data_at: where the data is now, if it was moved; it must hold what it held.

    On the same machine with the same threads and ranks the weights end, bit for bit, as those of a
    run that never stopped. With another number of ranks the batch of all of them stays what it was.
    Raises RunError if the run is finished or in use, or its data changed.
    """
    RunFolder(path).read_config()  # a folder that is no run gets no lock file
    job, resolved = job_of(RunFolder(path))
    if threads is None and asked_ranks() == resolved.get("ranks", 1):
        threads = resolved["threads"]  # else the cores are shared anew
    engine = choose(
        job.settings.engine.model_copy(
            update={"precision": resolved["precision"], "threads": threads}
        )
    )
    ranks = join(engine.device)
    folder = RunFolder(path, ranks.writes)
    with _locked(folder, ranks):
        config = folder.read_config()
        asked = {"steps": steps, "on_divergence": on_divergence}
        changes: dict[str, Any] = {"training": {k: v for k, v in asked.items() if v is not None}}
        if data_at is not None:
            changes["data"] = _moved(job.settings.data, _whole_path(str(data_at)))
        job = job.changed(changes)
        data = _open(job, ranks)
        if data.fingerprint != resolved["data"]["fingerprint"]:
            raise RunError(
                f"the data of {folder.path} changed since it was trained "
                f"({job.settings.data.source}: {len(data)} events now, "
                f"{resolved['data']['events']} then); restore it, or start a new run with --from"
            )
        loop, _ = _loop(_share(job, resolved.get("ranks", 1), ranks), data, engine, ranks)
        _restore_newest(loop, folder, resolved["from"])
        if loop.step >= job.settings.training.steps:
            raise RunError(
                f"{folder.path} has all its {loop.step} steps; give --steps to train further"
                if steps is None
                else f"{folder.path} stands at step {loop.step}; --steps must be more"
            )
        if changes["training"] or data_at is not None:
            config["settings"] = recipes.merged(config["settings"], changes)
            config["asked"] = recipes.merged(config["asked"], changes)
            config["hash"] = _hash(job, resolved)
            folder.write_config(config)
        judge = _judge(job, data, judging, ranks)
        folder.append("resume", step=loop.step)
        _train(loop, job, data, folder, progress, judge)
    return folder


def _open(job: Job, ranks: Ranks) -> DataSet:
    """The job's data; the first rank opens it first, so that what is decoded is decoded once."""
    return ranks.first(lambda: open_data(job.settings.data)) or open_data(job.settings.data)


def _loop(job: Job, data: DataSet, engine: Engine, ranks: Ranks) -> tuple[Loop, dict[str, str]]:
    """The job's loop, and what its model chose from the data."""
    seed = job.settings.seed
    model = build(job, data.domain, seed)
    data, training = data.to(engine.device), job.settings.training
    return loop_of([model], training, data, engine, [seed], (), ranks), model.chosen


def _whole_path(source: str) -> str:
    """A path from the root, so that a run finds its data from any folder; a name as it is."""
    path = Path(source)
    if source in SOURCES or path.is_absolute() or not path.exists():
        return source
    return str(path.resolve())


def _whole_paths(data: DataSettings) -> dict[str, Any]:
    """What of the settings names files, from the root."""
    named: dict[str, Any] = {"source": _whole_path(data.source)}
    if data.labels is not None and (folder := Path(named["source"]).expanduser()).is_dir():
        named["labels"] = str(find_labels(data.labels, folder).resolve())
    return named


def _moved(data: DataSettings, source: str) -> dict[str, Any]:
    """The same for data that is elsewhere now, with the labels' file if that lay in its folder."""
    named: dict[str, Any] = {"source": source}
    if data.labels is not None and Path(data.labels).is_relative_to(data.source):
        named["labels"] = str(Path(source) / Path(data.labels).relative_to(data.source))
    return named


def _share(job: Job, before: int, ranks: Ranks) -> Job:
    """The job with each rank's part of the batch that `before` ranks had together.

    Raises SettingError if that batch cannot be shared evenly.
    """
    batch = job.settings.training.batch_size * before
    if batch % ranks.count:
        raise SettingError(
            f"{before} ranks trained on batches of {batch} together, which {ranks.count} cannot "
            "share evenly: resume with a number of ranks that divides it"
        )
    return job.resolved({"training": {"batch_size": batch // ranks.count}})


@contextmanager
def _locked(folder: RunFolder, ranks: Ranks) -> Iterator[None]:
    """Hold the run for the first rank; its error, if another process has it, ends all of them."""
    with ExitStack() as stack:
        ranks.first(lambda: stack.enter_context(folder.lock()))
        yield


def _about(data: DataSet) -> dict[str, Any]:
    return {
        "name": data.name,
        "events": len(data),
        "fingerprint": data.fingerprint,
        "skipped": len(data.skipped),
        "class_names": None if data.class_names is None else list(data.class_names),
        "labelled": labelled_events(data),
    }


def _said(chosen: dict[str, str]) -> str:
    return "; ".join(f"{name}: {what}" for name, what in chosen.items())


def _skipped(data: DataSet) -> str:
    if not data.skipped:
        return ""
    where, reason = data.skipped[0]
    return (
        f"{len(data.skipped)} of {data.name} cannot be used and are left out (the first: {where}: "
        f"{reason}); skipped.txt in the run lists them"
    )


def _silent(text: str) -> None:
    return


def _hash(job: Job, resolved: dict[str, Any]) -> str:
    origin = resolved["from"]
    return job.hash(
        resolved["data"]["fingerprint"],
        resolved["precision"],
        origin["sha256"] if origin else None,
        resolved.get("ranks", 1),
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
    found, refused = loop.ranks.choose(lambda: checkpoint.newest_good(folder.checkpoints))
    checkpoint.restore(found, loop)
    halved = [e["rate_scale"] for e in folder.read("rollback") if e["step"] <= loop.step]
    if halved:  # killed between a rollback and the next checkpoint, which would have it
        loop.rate_scale.clamp_(max=halved[-1])
    loop.ranks.first(lambda: checkpoint.set_aside(folder.checkpoints, loop.step))
    for reason in refused:
        folder.append("refused", step=loop.step, reason=reason)
        if loop.ranks.writes:
            ProgressBar().say(f"{reason}; using {found.name} instead")


def _judge(job: Job, data: DataSet, judging: Judging | None, ranks: Ranks) -> Judge | None:
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
    if wanted in MADE_ANYWAY:
        return None
    if judging is None:
        raise SettingError(f"output.keep_best {wanted}: give `start` a `judging` that makes it")
    return ranks.first(lambda: judging(job, data.domain))


def _train(
    loop: Loop,
    job: Job,
    data: DataSet,
    folder: RunFolder,
    progress: bool,
    judge: Judge | None,
) -> None:
    """Run the loop with its hooks; the run's events say how it ended.

    Raises DivergenceError, with the remedy, if it diverged.
    """
    output, training = job.settings.output, job.settings.training
    folder.append("start", step=loop.step, torch=str(torch.__version__), **loop.engine.describe())
    bar = ProgressBar()
    log = Log(folder, output.log_every, [])
    score = Score(data, loop.engine, judge)
    grids = SampleGrids(folder, output.sample_every, data)
    best, highest = output.keep_best, output.keep_best not in LOWER_IS_BETTER
    saving = Checkpoints(folder, output.checkpoint_every, output.keep, log, score, best, highest)
    loop.hooks = [log, saving, grids]
    shown: list[SampleGrids | Reconstructions] = [grids]
    if denoises(loop.energy) and data.domain.condition_shape is None:
        shown.append(Reconstructions(folder, output.sample_every, data))
        loop.hooks.append(shown[-1])
    if mapped(data.domain):
        loop.hooks.append(Landscapes(folder, output.sample_every, data))
    if training.guard:
        guard = Guard(log, output.checkpoint_every)
        log.listeners.append(guard)
        loop.hooks.insert(1, guard)  # nothing that it finds sick is saved
    if training.on_divergence == "rollback":
        loop.hooks.append(Rollback(folder, training.rollbacks, bar.say))
    if loop.ranks.writes:
        _watch(loop, log, shown, bar if progress else None, output.tensorboard)
    try:
        with stopping(loop):
            loop.run()
    except DivergenceError as error:
        folder.append("diverged", step=loop.step, reason=str(error))
        curves.draw(folder, loop)
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
    curves.draw(folder, loop)
    if loop.step >= training.steps:
        folder.append("finished", step=loop.step)
    else:
        folder.append("stopped", step=loop.step, reason=loop.stopping)


def _watch(
    loop: Loop,
    log: Log,
    shown: Sequence[SampleGrids | Reconstructions],
    bar: ProgressBar | None,
    tensorboard: bool,
) -> None:
    """Add the hooks and listeners that only look; the first rank alone has them."""
    folder = log.folder
    if tensorboard and importlib.util.find_spec("tensorboard"):
        board = TensorBoard(folder)
        log.listeners.append(board)
        for previews in shown:
            previews.listeners.append(partial(board.picture, what=previews.what))
        loop.hooks.append(board)
    health = Health(folder, bar.say if bar is not None else _silent)
    log.listeners.append(health)
    loop.hooks.append(health)
    if bar is not None:
        log.listeners.append(bar)
        loop.hooks.insert(0, bar)  # it starts before the others speak


def adopt(loop: Loop, source: RunFolder) -> dict[str, Any]:
    """Start `loop` from another run's newest raw weights; says which they were."""
    source.read_config()
    path, _ = loop.ranks.choose(lambda: checkpoint.newest_good(source.checkpoints))
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
