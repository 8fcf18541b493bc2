"""The library in single calls: train, load, evaluate, export, sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from energan.core import SettingError
from energan.data.from_python import TrainingData
from energan.evaluation.checkpoint_metric import checkpoint_metric
from energan.evaluation.evaluate import RESAMPLES, SAMPLES, Evaluation, Say
from energan.evaluation.run_scores import evaluate_run
from energan.experiment.arguments import ModelChoice, job_of, of_seeds
from energan.experiment.callbacks.functions import Function, FunctionCallback
from energan.experiment.folders import claim, endings, seed_folders
from energan.experiment.settings import Job
from energan.experiment.start import fitted, start
from energan.experiment.time_budget import of_each
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
    """Train a recipe, or a settings file, and return the run, or one run for each of `seeds`.

        run = energan.train("ebgan-digits", steps=2000, out="runs/digits")
        run = energan.train("few-labels", data=(images, labels))  # label -1: unlabelled

    Args:
        recipe: name of a recipe, a settings file, or the folder of another run.
        data: name or path of a source; a tensor or array of examples (N, ...); a pair (examples,
            labels); a `torch.utils.data.Dataset`; or settings of the data, such as `{"source":
            "photos", "range": "unit"}`. Examples are images, integer or floating point, (N, H,
            W), (N, H, W, C) or (N, C, H, W), or points, (N, D). Arrays are stored in the run's
            folder (data.npz), so that the run can be resumed and evaluated.
        steps: number of training steps.
        out: folder of the run; if not given, the first free runs/RECIPE. Seeds are written to
            OUT/s0, OUT/s1, and so on.
        seed: random seed of the run.
        seeds: number of seeds to train, counted from 0, or a list of seeds.
        model: another model, as its name, its module or its `Config`; or settings of the
            recipe's own model, such as `{"margin": 8}`.
        from_run: run whose weights to start from.
        scale: factor on all counts of training steps in the recipe, schedules included, as a
            number or a fraction such as "1/6". Settings given in this call are not scaled.
        minutes: train for about this many minutes, all seeds together. A few steps are timed
            first, and the recipe's steps and schedules are scaled to fit.
        callbacks: functions (step, figures), called with the losses every `output.log_every`
            steps and with the scores of each checkpoint; one that returns a true value ends the
            training. Objects of `energan.training.loop.Hook` are accepted too, and see the whole
            loop.
        progress: whether to show a progress bar and what was found about the data.
        groups: other settings by group, such as `training={"batch_size": 64}`.

    Returns:
        The trained run, or a list of runs if `seeds` is given.

    Raises:
        SettingError: if a setting does not exist or does not fit.
        DataError: if the data is missing or unsuitable.
        RunError: if `out` already holds a run.
        DivergenceError: if a loss is no longer finite.
    """
    job = job_of(recipe, model, scale, {"data": data, "steps": steps, "seed": seed, **groups})
    jobs = [job] if seeds is None else of_seeds(job, seeds)
    folders = [out] if out is not None and len(jobs) == 1 else seed_folders(out, jobs)
    given = data.get("source") if isinstance(data, Mapping) else data
    if given is None or isinstance(given, str | Path):
        done = _train(jobs, folders, from_run, callbacks, progress, minutes)
    else:
        with stored_data(jobs, folders, given) as (ready, paths):
            done = _train(ready, paths, from_run, callbacks, progress, minutes)
    runs = [Run(folder.path) for folder in done]
    return runs[0] if seeds is None else runs


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
    if not hooks and choose(jobs[0].settings.engine, switches=False).device.type != "cpu":
        try:
            return begin(jobs, folders, minutes)
        except SettingError:  # of a model whose layers take no member axis
            pass
    if minutes is not None:  # timed once, so that all have the same steps
        try:
            scale = fitted(jobs[0], minutes / len(jobs), checkpoint_metric).asked["scale"]
        except SettingError as error:
            raise SettingError(of_each(str(error), len(jobs))) from None
        jobs = [job.scaled(scale, kept=job.asked) for job in jobs]
    paths = claim(jobs[0].recipe, folders, endings(jobs))
    done: list[RunFolder] = []
    for job, path in zip(jobs, paths, strict=True):
        done += begin([job], [path])
        if done[-1].state() == "stopped":
            break
    return done


def load(
    path: str | Path,
    *,
    checkpoint: str | int = "last",
    weights: Weights | None = None,
    device: str = "auto",
) -> Run:
    """Load a trained run.

    Args:
        path: folder of the run, or "hub:OWNER/NAME" for one on the Hugging Face hub.
        checkpoint: "last", "best", or a step.
        weights: "ema" for averaged weights or "raw"; None for averaged weights if there are any.
        device: where to compute, such as "cpu" or "cuda:1"; "auto" for a GPU if there is one.

    Raises:
        RunError: if the folder holds no run.
        CheckpointError: if no checkpoint can be used.
    """
    if isinstance(path, str) and path.startswith(HUB):
        return load_from_hub(path, checkpoint=checkpoint, weights=weights, device=device)
    return Run(path, checkpoint=checkpoint, weights=weights, device=device)


def evaluate(
    run: Run | str | Path,
    *,
    metrics: Sequence[str] = (),
    reference: str | Path | None = None,
    labels: str | Path | None = None,
    other_data: Sequence[str] = (),
    defects: str | Path | None = None,
    masks: str | Path | None = None,
    groups: str | None = None,
    smooth: float = 0.0,
    samples: int = SAMPLES,
    extractor: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    say: Say = lambda text: None,
) -> Evaluation:
    """Score a run on real data, and store the scores in its metrics.json.

        energan.evaluate("runs/digits")["modified_inception_score"]

    Args:
        run: a run, or its folder.
        metrics: names of metrics; if empty, all that apply (none if `other_data` or `defects` is
            given).
        reference: source of real data to compare with; the run's own data if not given.
        labels: for runs that classify: CSV of `file,label` for a reference without class
            folders.
        other_data: sources of other data, or "all", which the energy should tell from the run's
            own.
        defects: labelled images with defect masks, as an inspection data set has them.
        masks: folder of the masks, if it is not `ground_truth` of `defects`.
        groups: which images of `defects` belong together, as `data.groups`; intervals resample
            them whole.
        smooth: standard deviation, in pixels, of a Gaussian that smooths the heat maps.
        samples: number of samples to draw.
        extractor: how features are computed; see the guide on evaluation.
        seed: seed of the samples and of the bootstrap.
        resamples: number of bootstrap resamples.
        say: function called with a line about each part of the work.

    Returns:
        The scores, with intervals and provenance; `evaluation[name]` is the `Result` of a metric.

    Raises:
        SettingError: if a metric does not exist or does not apply to this run.
        DataError: if the reference cannot be read or does not fit the run.
    """
    opened = run if isinstance(run, Run) else Run(run)
    return evaluate_run(
        opened, metrics, None if reference is None else str(reference),
        None if labels is None else str(labels), other_data,
        None if defects is None else str(defects), None if masks is None else Path(masks),
        groups, smooth, samples, extractor, seed, resamples, say,
    )  # fmt: skip


def export(
    run: Run | str | Path,
    format: Literal["safetensors", "onnx", "torch", "verdict"] | str = "onnx",
    out: str | Path | None = None,
    *,
    part: str = "all",
    force: bool = False,
) -> list[ExportedFile]:
    """Write a run's networks as files that work without energan.

    Args:
        run: a run, or its folder.
        format: "safetensors", "onnx", "torch" (TorchScript), or "verdict", a folder that scores
            images with numpy, Pillow and onnxruntime alone.
        out: folder to write to; `export` or `verdict` in the run's folder if not given.
        part: "generator", "energy", "classifier", or "all" that the run has.
        force: whether to overwrite existing files.

    Returns:
        The files written, each checked against the run.

    Raises:
        SettingError: if the run has no such part, or a file exists and `force` is False.
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
    """Train and score the trials of a sweep that its folder lacks, and write a web page about it.

        found = energan.sweep("ebgan-grid", sample=24, steps=1000)
        found.best_run().sample(64)

    Args:
        sweep: name of a sweep, a file that defines one, or a `Sweep`.
        out: folder of the sweep; sweeps/NAME if not given.
        sample: number of trials to choose at random, so that all values are covered evenly.
        sample_seed: seed of that choice.
        steps: training steps of each trial; schedules are shortened in proportion.
        scale: factor on the steps and schedules of each trial, in place of `steps`.
        metrics: metrics to score trials by; the first one ranks them.
        samples: number of samples to draw for the metrics.
        processes: number of trials to run at once; chosen for this machine if not given.
        threads: CPU threads per process; chosen for this machine if not given.
        together: whether trials with networks of the same shape train as one program; "auto"
            does so on a GPU.
        keep: whose checkpoints to keep.
        retry_failed: whether to repeat trials that failed or diverged.
        groups: settings of all trials by group, such as `data={"limit": 1000}`.

    Returns:
        The trials with their scores, and the best run.
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
