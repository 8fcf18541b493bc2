"""Settings -> networks, data order, loop; and which jobs may train as one program."""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from energan import models
from energan.core import (
    Batch,
    Calibrated,
    Config,
    Domain,
    Model,
    Optimiser,
    RunError,
    SettingError,
    place_seed,
)
from energan.data import DataSet
from energan.data.few_label_batches import LabelledFeed
from energan.experiment.settings import Job, checked, load
from energan.io.run_folder import RunFolder
from energan.training.cohort import shapes, traits, without_axis
from energan.training.device import Device
from energan.training.distributed import ALONE, Distributed
from energan.training.loop import Feed, Loop
from energan.training.settings import TrainingSettings
from energan.training.train_state import Calibration


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


def assemble(job: Job, data: DataSet, engine: Device, seeds: Sequence[int]) -> Loop:
    """The loop of a job: one run, or a cohort of one member for each seed."""
    built = [build(job, data.domain, seed) for seed in seeds]
    return loop_of(built, job.settings.training, data, engine, seeds)


def loop_of(
    built: Sequence[Model],
    training: TrainingSettings,
    data: DataSet,
    engine: Device,
    seeds: Sequence[int],
    ranks: Distributed = ALONE,
) -> Loop:
    """The loop of models that are built, with its feeds. training.batch_size is of each rank."""
    size = training.batch_size
    layers = [*built[0].energy.modules(), *built[0].sampler.modules()]
    normed = any(isinstance(m, Calibrated) for m in layers)
    if (size == 1 and normed) or (size * ranks.count == 1 and "pull_away" in built[0].hyper):
        raise SettingError(
            "training.batch_size: batch norm and the pulling-away term compare the samples of a "
            "batch, and one has no other; use at least 2"
        )

    built[0].sampler.check_batch(size * ranks.count)
    conditional = built[0].conditional
    _check_conditions(data, conditional)
    _check_labelled(data, built[0])

    feed: Feed
    if labelled := built[0].labelled:
        feed = LabelledFeed(data, seeds, size, labelled, engine.dtype, ranks.share)
    else:
        feed = data.feed(seeds, size, engine.dtype, conditions=conditional, share=ranks.share)
    calibration = calibration_of(built[0], data, engine, seeds)
    return Loop(built, feed, calibration, training, engine, seeds, ranks=ranks)


def calibration_of(
    model: Model, data: DataSet, engine: Device, seeds: Sequence[int]
) -> Calibration:
    """What gives real data to measure the model's statistics on."""

    @lru_cache(maxsize=1)
    def feed(size: int) -> Any:
        return data.feed(
            seeds, size, engine.dtype, stream="calibrate", conditions=model.conditional
        )

    def calibration(chunk: int, size: int) -> Batch:
        return feed(size)(chunk)  # type: ignore[no-any-return]

    return calibration


def _check_conditions(data: DataSet, conditional: bool) -> None:
    """Raise SettingError if the data lacks what the model is conditioned on, or has it in vain."""
    dense = data.domain.condition_shape is not None
    if conditional and not dense and data.labels is None:
        raise SettingError(
            f"{data.name} has no labels to condition on: use a source with classes, or a model "
            "without conditions"
        )
    if conditional and not dense and data.labels is not None and int(data.labels.min()) < 0:
        raise SettingError(
            f"{int((data.labels < 0).sum())} events of {data.name} have no label, and this model "
            "needs one of every event: leave those out, or use a model that learns from few "
            "labels (ladder, ebgan_ln)"
        )
    if dense and not conditional:
        raise SettingError(
            f"each event of {data.name} comes with a condition, which this model does not take: "
            "use a model that does (pix2pix for pairs of images), or data without (data.direction)"
        )


def _check_labelled(data: DataSet, model: Model) -> None:
    """Raise SettingError if the model learns from few labels and the data, or its part of a batch,
    has too few, or if the data keeps few for a model that learns from none."""
    if not model.labelled:
        if data.labelled is not None:
            raise SettingError(
                f"data.labelled {data.labelled} is for a model that learns from few labels, which "
                "this one does not: leave it unset, or use ladder or ebgan_ln"
            )
        return
    if model.conditional or data.domain.condition_shape is not None:
        raise SettingError(
            f"a model that learns from few labels takes no conditions, and those of {data.name} "
            "or the model's own are some: use images with classes"
        )
    classes = data.domain.classes
    if data.labels is None or not classes or not int((data.labels >= 0).sum()):
        raise SettingError(
            f"{data.name} has no labels to learn from: name some (data.labels, a CSV of "
            "file,label), or sort images into folders of classes"
        )
    if model.labelled < classes:
        raise SettingError(
            f"model.labelled: {model.labelled} labelled events in a batch, for {classes} classes: "
            f"use at least {classes}, one of each"
        )


def in_common(job: Job) -> dict[str, Any]:
    """What of their settings jobs of one program must have alike, by its name in a sentence."""
    settings = job.settings
    groups = {
        n: getattr(settings, n).model_dump(mode="json") for n in ("training", "data", "engine")
    }
    return {
        "model": job.model,
        **{f"{name} settings": values for name, values in groups.items()},
        "figure of the best checkpoint": settings.output.keep_best,
    }


def cohort_key(job: Job, domain: Domain) -> str:
    """32 hexadecimal digits, equal for two different jobs exactly if they may train as one program.

    domain: of the job's data. Raises SettingError if the job does not fit it.
    """
    alike: Any = in_common(job)
    model = job.settings.model
    plain = {name: Optimiser() for name, value in model if isinstance(value, Optimiser)}
    program = _program(job.model, model.model_copy(update=plain).model_dump_json(), domain)
    streamed = job.settings.data.storage == "stream"  # which serves one run
    if program is None or streamed or job.settings.training.on_divergence == "rollback":
        alike, program = job.settings.model_dump(mode="json"), ""  # goes with no other
    what = json.dumps([job.model, alike, program], sort_keys=True)
    return hashlib.sha256(what.encode()).hexdigest()[:32]


@lru_cache(maxsize=10_000)
def _program(name: str, config: str, domain: Domain) -> str | None:
    """What members of a cohort share of a model with these settings; None if it can be in none."""
    found = models.find(name)
    settings = checked(found.config, json.loads(config))
    try:
        built = _built_on_meta(name, settings, domain)
    except (NotImplementedError, RuntimeError):  # its build looks at numbers
        with torch.random.fork_rng(devices=[]):
            built = found.build(settings, domain)
    if without_axis(built.energy) or without_axis(built.sampler):
        return None
    try:
        return json.dumps([traits(built), shapes(built)])
    except TypeError:  # something that is not known by its name: it equals no other
        return None


def _built_on_meta(name: str, settings: Config, domain: Domain) -> Model:
    """The model without numbers: the largest costs milliseconds and no memory."""
    with torch.device("meta"), _Unfilled():
        return models.find(name).build(settings, domain)


class _Unfilled(TorchFunctionMode):
    """Within it nothing is drawn: without numbers that would be half of the work."""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func in (torch.Tensor.normal_, torch.Tensor.uniform_):
            return args[0]
        return func(*args, **(kwargs or {}))


def networks_of(folder: RunFolder) -> tuple[Job, Domain, Model]:
    """A run's job, domain and freshly built networks, without opening its data."""
    job, resolved = job_of(folder)
    stored = resolved["domain"]
    conditions = stored.get("condition_shape")
    domain = Domain(
        tuple(stored["shape"]),
        stored["low"],
        stored["high"],
        stored["classes"],
        condition_shape=None if conditions is None else tuple(conditions),
    )
    _check_parameters(folder, job, domain, resolved.get("parameters", {}))
    return job, domain, build(job, domain, job.settings.seed)


def _check_parameters(folder: RunFolder, job: Job, domain: Domain, trained: dict[str, int]) -> None:
    """Raise RunError if config.json was edited so that its networks are larger than the trained
    ones, before they are built: they may fit no memory."""
    try:
        built = _built_on_meta(job.model, job.settings.model, domain)
    except (NotImplementedError, RuntimeError):  # its build looks at numbers
        return
    for name, count in trained.items():
        network = getattr(built, name, None)
        own = 0 if network is None else sum(p.numel() for p in network.parameters())
        if own > count:
            raise RunError(
                f"{folder.config} was edited: its {name} network has {own:,} parameters, and the "
                f"trained one {count:,}; restore it or retrain"
            )


def job_of(folder: RunFolder) -> tuple[Job, dict[str, Any]]:
    """A run's job with what was estimated for it filled in, and what was resolved."""
    resolved = folder.read_config()["resolved"]
    job = load(str(folder.config))
    if margin := resolved.get("margin"):
        job = job.resolved({"model": {"margin": margin["margin"]}})
    return job, resolved
