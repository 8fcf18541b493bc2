"""The library in single calls: train, load, evaluate, export, sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, overload

from energan import models
from energan.core import Config, SettingError
from energan.data.from_python import TrainingData
from energan.evaluation.checkpoint_metric import checkpoint_metric
from energan.evaluation.evaluate import RESAMPLES, SAMPLES, Evaluation, Say
from energan.evaluation.run_scores import evaluate_run
from energan.experiment import settings
from energan.experiment.callbacks.functions import Function, FunctionCallback
from energan.experiment.folders import claim, endings, seed_folders
from energan.experiment.settings import Job
from energan.experiment.start import fitted, start
from energan.experiment.training_data import stored_data
from energan.exporters import ExportedFile
from energan.exporters import export as export_run
from energan.inference.run import Run
from energan.io.run_folder import RunFolder
from energan.report.hub import HUB, load_from_hub
from energan.report.sweep.result import SweepResult
from energan.sweeps import Sweep
from energan.sweeps.definition import find
from energan.sweeps.driver import do_missing
from energan.sweeps.plan import Together
from energan.sweeps.request import SweepRequest, refuse_axes, scale_to
from energan.sweeps.store import SAMPLES as TRIAL_SAMPLES
from energan.sweeps.store import Keep, SweepFolder
from energan.sweeps.validation import checked
from energan.training.checkpoint_choice import Weights
from energan.training.device import choose
from energan.training.loop import Hook

Data = str | Path | TrainingData | Mapping[str, Any]
Callback = Hook | Function
ModelChoice = str | ModuleType | Config | Mapping[str, Any]
"""A model by its name or module, by its `Config`, or settings of a recipe's own."""


@overload
def train(
    recipe: str | None = None,
    *,
    data: Data | None = None,
    steps: int | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    seeds: None = None,
    model: ModelChoice | None = None,
    from_run: str | Path | None = None,
    scale: str | float | None = None,
    minutes: float | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **groups: Mapping[str, Any],
) -> Run: ...


@overload
def train(
    recipe: str | None = None,
    *,
    data: Data | None = None,
    steps: int | None = None,
    out: str | Path | None = None,
    seed: None = None,
    seeds: int | Sequence[int],
    model: ModelChoice | None = None,
    from_run: str | Path | None = None,
    scale: str | float | None = None,
    minutes: float | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **groups: Mapping[str, Any],
) -> list[Run]: ...


def train(
    recipe: str | None = None,
    *,
    data: Data | None = None,
    steps: int | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    seeds: int | Sequence[int] | None = None,
    model: ModelChoice | None = None,
    from_run: str | Path | None = None,
    scale: str | float | None = None,
    minutes: float | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    **groups: Mapping[str, Any],
) -> Run | list[Run]:
    """Train a recipe (or a settings file) and give the run, or one run for each of `seeds`.

        run = energan.train("ebgan-digits", steps=2000, out="runs/digits")
        run = energan.train("few-labels", data=(images, labels))  # label -1: unlabelled

    Args:
        recipe: a recipe's name, a settings file, or another run's folder.
        data: a source's name or path; a tensor or an array of examples (N, ...); (examples,
            labels); a `torch.utils.data.Dataset`; or settings of that group, as
            `{"source": "photos", "range": "unit"}`. Examples are images, of integers or floats,
            (N, H, W), (N, H, W, C) or (N, C, H, W), or points (N, D). They are kept in the run's
            folder, as data.npz, so that the run can be resumed and evaluated.
        steps: training steps.
        out: the run's folder; the first free runs/RECIPE if not given. Seeds go to OUT/s0, OUT/s1.
        seed: the random seed.
        seeds: how many seeds to train, 0 and those after it, or which.
        model: another model by its name, module or `Config`, as `hinge_gan.Config(width=64)`; or
            settings of the recipe's own, as `{"margin": 8}`.
        from_run: start from that run's weights.
        scale: multiplies every count of training steps of the recipe, schedules included, by a
            number or a fraction, as "1/6"; what else is given here counts as written.
        minutes: train about so many minutes, of several seeds for all together: the first steps are
            timed here, and the recipe's steps and schedules scaled to what fits.
        callbacks: functions (step, figures), called with the losses every `output.log_every` steps
            and with the scores of each checkpoint; one that returns something true ends the
            training. Or `energan.training.loop.Hook`s, which see the whole loop.
        progress: whether to show a progress bar and what was found of the data.
        groups: further groups of settings, as `training={"batch_size": 64}`.

    Raises:
        SettingError, DataError, RunError: each with what to change.
        DivergenceError: if a loss stops being finite.
    """
    job = _job(recipe, model, scale, {"data": data, "steps": steps, "seed": seed, **groups})
    jobs = [job] if seeds is None else _of_seeds(job, seeds)
    folders = [out] if out is not None and len(jobs) == 1 else seed_folders(out, jobs)
    given = data.get("source") if isinstance(data, Mapping) else data
    if given is None or isinstance(given, str | Path):
        done = _train(jobs, folders, from_run, callbacks, progress, minutes)
    else:
        with stored_data(jobs, folders, given) as (ready, paths):
            done = _train(ready, paths, from_run, callbacks, progress, minutes)
    runs = [Run(folder.path) for folder in done]
    return runs[0] if seeds is None else runs


def _job(
    recipe: str | None,
    model: ModelChoice | None,
    scale: str | float | None,
    given: Mapping[str, Any],
) -> Job:
    """The job of these settings. given: groups, and `data`, `steps` and `seed` as the user has
    them."""
    name, of_model = _model(model)
    job = settings.load(recipe, name)
    if scale is not None:
        job = job.scaled(scale)
    data, steps, seed = (given.get(name) for name in ("data", "steps", "seed"))
    groups = {name: group for name, group in given.items() if name not in ("data", "steps", "seed")}
    for name, group in groups.items():
        if not isinstance(group, Mapping):
            raise SettingError(
                f'{name}: settings are given in groups, as training={{"batch_size": 64}}; '
                "`energan train RECIPE --help-all` lists them"
            )
    changes: dict[str, Any] = {name: dict(group) for name, group in groups.items()}
    if of_model:
        changes["model"] = of_model
    if isinstance(data, Mapping):
        # arrays get a name once they lie in the run's folder
        changes["data"] = {k: v for k, v in data.items() if k != "source" or _is_source(v)}
    elif _is_source(data):
        changes["data"] = {"source": data}
    if "source" in changes.get("data", {}):
        changes["data"]["source"] = str(changes["data"]["source"])
    if steps is not None:
        changes.setdefault("training", {})["steps"] = steps
    if seed is not None:
        changes["seed"] = seed
    return job.changed(changes)


def _model(model: object) -> tuple[str | None, dict[str, Any]]:
    """The model's name, None for the recipe's own, and its settings.

    Raises SettingError for what is none, or for a module that cannot be imported again.
    """
    if model is None or isinstance(model, str):
        return model, {}
    if isinstance(model, Mapping):
        return None, dict(model)
    given: dict[str, Any] = {}
    if isinstance(model, ModuleType):
        name = model.__name__
    elif isinstance(model, Config):
        name, given = type(model).__module__, model.model_dump(mode="json", exclude_unset=True)
    else:
        raise SettingError(
            f"model: give a model's name, its module, its Config, or settings as a dict, not a "
            f"{type(model).__name__}; a model of your own is a module with Config and build"
        )
    if name == "__main__":
        raise SettingError(
            "model: it is defined in the main program, where no other program can find it to "
            "resume or load the run: move its Config and build to a module"
        )
    name = name.removeprefix("energan.models.")
    if isinstance(model, Config) and models.find(name).config is not type(model):
        raise SettingError(f"model: {type(model).__qualname__} is not the Config of a model")
    return name, given


def _is_source(data: object) -> bool:
    return isinstance(data, str | Path)


def _of_seeds(job: Job, seeds: int | Sequence[int]) -> list[Job]:
    """The job with each of the seeds."""
    every = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not every or len(set(every)) != len(every):
        raise SettingError(
            f"seeds {seeds}: give their number, at least 1, or a list of different seeds"
        )
    return [job.changed({"seed": seed}) for seed in every]


def _train(
    jobs: Sequence[Job],
    folders: Sequence[str | Path] | None,
    from_run: str | Path | None,
    callbacks: Sequence[Callback],
    progress: bool,
    minutes: float | None,
) -> list[RunFolder]:
    """Train the jobs: on a GPU as one program, where their layers can, else in turn."""
    hooks = [one if isinstance(one, Hook) else FunctionCallback(one) for one in callbacks]
    listeners = [hook for hook in hooks if isinstance(hook, FunctionCallback)]

    def begin(
        jobs: Sequence[Job], folders: Sequence[str | Path] | None, minutes: float | None = None
    ) -> list[RunFolder]:
        return start(
            jobs, folders, from_run=from_run, checkpoint_metric=checkpoint_metric,
            progress=progress, hooks=hooks, listeners=listeners, minutes=minutes,
        )  # fmt: skip

    if len(jobs) == 1:
        return begin(jobs, folders, minutes)
    if not hooks and choose(jobs[0].settings.engine, switches=False).device.type == "cuda":
        try:
            return begin(jobs, folders, minutes)
        except SettingError:  # of a model whose layers take no member axis
            pass
    if minutes is not None:  # timed once, so that all have the same steps
        scale = fitted(jobs[0], minutes / len(jobs), checkpoint_metric).asked["scale"]
        jobs = [job.scaled(scale, kept=job.asked) for job in jobs]
    paths = claim(jobs[0].recipe, folders, endings(jobs))
    done: list[RunFolder] = []
    for job, path in zip(jobs, paths, strict=True):
        done += begin([job], [path])
        if done[-1].state() == "stopped":
            break
    return done


def load(
    path: str | Path, *, checkpoint: str | int = "last", weights: Weights | None = None
) -> Run:
    """A run from its folder, or from the hub as "hub:OWNER/NAME"; see `Run`."""
    if isinstance(path, str) and path.startswith(HUB):
        return load_from_hub(path, checkpoint=checkpoint, weights=weights)
    return Run(path, checkpoint=checkpoint, weights=weights)


def evaluate(
    run: Run | str | Path,
    *,
    metrics: Sequence[str] = (),
    reference: str | Path | None = None,
    labels: str | Path | None = None,
    other_data: Sequence[str] = (),
    defects: str | Path | None = None,
    masks: str | Path | None = None,
    smooth: float = 0.0,
    samples: int = SAMPLES,
    extractor: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    say: Say = lambda text: None,
) -> Evaluation:
    """Score a run, and keep the scores, with what they depend on, in its metrics.json.

        energan.evaluate("runs/digits")["modified_inception_score"]

    Args:
        run: a run, or its folder.
        metrics: names of metrics; all that apply if none is named, and nothing else is asked for.
        reference: another source of real data than the run's own.
        labels: a CSV of `file,label` for a reference without folders of classes, of a run that
            classifies.
        other_data: sources of other data, or "all", that the energy is to tell from the run's own.
        defects: images with masks of defects; masks: a folder of the masks, if not beside them;
            smooth: of the heat maps, in pixels.
        samples: how many samples to draw. extractor: of features; see the docs on evaluation.
        seed: of the samples and of the bootstrap, of `resamples` resamples.
        say: called with a line on what is being done.
    """
    opened = run if isinstance(run, Run) else Run(run)
    return evaluate_run(
        opened, metrics, None if reference is None else str(reference),
        None if labels is None else str(labels), other_data,
        None if defects is None else str(defects), None if masks is None else Path(masks),
        smooth, samples, extractor, seed, resamples, say,
    )  # fmt: skip


def export(
    run: Run | str | Path,
    format: Literal["safetensors", "onnx", "torch", "verdict"] | str = "onnx",
    out: str | Path | None = None,
    *,
    part: str = "all",
    force: bool = False,
) -> list[ExportedFile]:
    """Write a run's networks as files that work without energan; see `energan.exporters.export`.

    run: a run, or its folder.
    """
    opened = run if isinstance(run, Run) else Run(run, device="cpu")
    return export_run(opened, format, out, part=part, force=force)


def sweep(
    sweep: str | Path | Sweep,
    *,
    out: str | Path | None = None,
    sample: int | None = None,
    sample_seed: int = 0,
    steps: int | None = None,
    scale: str | float | None = None,
    metrics: Sequence[str] = (),
    samples: int = TRIAL_SAMPLES,
    processes: int | None = None,
    threads: int | None = None,
    together: Together = "auto",
    keep: Keep = "best",
    retry_failed: bool = False,
    **groups: Mapping[str, Any],
) -> SweepResult:
    """Train and score the trials of a sweep that are missing in its folder, and write its page.

        found = energan.sweep("ebgan-grid", sample=24, steps=1000)
        found.best_run().sample(64)

    Args:
        sweep: a sweep's name, a file with one, or a `Sweep` of your own.
        out: the folder; sweeps/NAME if not given.
        sample: so many of the trials, chosen by `sample_seed` to cover all values evenly.
        steps: of each trial, its schedules shortened alike; or scale: what to multiply them by.
        metrics: of each trial, the first ranks. samples: drawn for them.
        processes: how many trials at once; threads: of each. Both are chosen if not given.
        together: whether trials of the same shapes train as one program; auto: on a GPU.
        keep: whose checkpoints stay. retry_failed: do again what failed or diverged.
        groups: settings of all trials, as `data={"limit": 1000}`.
    """
    found = checked(sweep, sweep.name) if isinstance(sweep, Sweep) else find(str(sweep))
    if steps is not None and scale is not None:
        raise SettingError("steps and scale cannot be combined: give one of them")
    changes = {name: dict(group) for name, group in groups.items()}
    refuse_axes(found, changes)
    length = scale_to(found, steps) if steps is not None else scale or 1
    request = SweepRequest(
        found, length, changes, sample, sample_seed, tuple(metrics), samples, found.name
    )
    folder = SweepFolder(out or Path("sweeps") / found.name)
    trials = do_missing(
        request, folder, processes=processes, threads=threads, together=together, keep=keep,
        retry_failed=retry_failed,
    )  # fmt: skip
    return SweepResult.of(folder.path, [trial.id for trial in trials])
