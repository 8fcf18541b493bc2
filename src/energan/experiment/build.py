"""Settings -> networks, data order, loop: of one run, or of several as one program."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch.overrides import TorchFunctionMode

from energan import models
from energan.core import Calibrated, Config, Domain, Model, SettingError, place_seed
from energan.data import DataSet
from energan.data.few_label_batches import LabelledFeed
from energan.energies.tiled import describe_judge
from energan.experiment.settings import Job
from energan.io.text import agree, plural
from energan.training.batch_statistics import CHUNK
from energan.training.cohort_check import check_member
from energan.training.device import Device
from energan.training.distributed import ALONE, Distributed
from energan.training.loop import Feed, Loop
from energan.training.member import Member
from energan.training.settings import TrainingSettings
from energan.training.train_state import StatisticsFeed, TrainState


def build(job: Job, domain: Domain, seed: int) -> Model:
    """The job's model with the initial weights of `seed`; torch's own generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(place_seed(seed, "init"))
        built = models.find(job.model).build(job.settings.model, domain)
    if not isinstance(built, Model):
        raise SettingError(
            f"model {job.model}: build gave {type(built).__name__}, not an energan.core.Model"
        )
    overlap = job.settings.data.window_overlap
    if (judged := describe_judge(built.energy, domain, overlap)) is not None:
        built.chosen["energy of an image"] = judged
    return built


def build_on_meta(name: str, settings: Config, domain: Domain) -> Model:
    """The model without numbers: the largest costs milliseconds and no memory."""
    with torch.device("meta"), _Unfilled():
        return models.find(name).build(settings, domain)


class _Unfilled(TorchFunctionMode):
    """Within it nothing is drawn: without numbers that would be half of the work."""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func in (torch.Tensor.normal_, torch.Tensor.uniform_):
            return args[0]
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Cohort:
    """The loop of all, and its members where it has several.

    chosen: what each model chose from the data.
    """

    loop: Loop
    members: list[Member]
    jobs: list[Job]
    chosen: list[dict[str, str]]

    @property
    def loops(self) -> list[TrainState]:
        """The loop that each run is to itself."""
        return [*self.members] or [self.loop]


def cohort_of(
    jobs: Sequence[Job], data: DataSet, engine: Device, ranks: Distributed = ALONE
) -> Cohort:
    """The jobs, which differ in values and not in shapes, as one program.

    Raises SettingError if they differ in more, or if the model's layers take no member axis, or the
    code of a model of one's own.
    """
    seeds = [job.settings.seed for job in jobs]
    built = [build(job, data.domain, seed) for job, seed in zip(jobs, seeds, strict=True)]
    training, here = jobs[0].settings.training, data.to(engine.device)
    own = jobs[0].model not in models.names()
    if own and jobs[0].settings.engine.compile == "auto":  # it may do other things at each step
        engine = replace(engine, captures=False)
    if len(built) > 1 and own:
        exact = replace(engine, precision="32") if engine.precision == "bf16" else engine
        check_member(
            loop_of(deepcopy(built), training, here, exact, seeds),
            loop_of(deepcopy(built[-1:]), training, here, exact, seeds[-1:]),
        )
    loop = loop_of(built, training, here, engine, seeds, ranks)
    members = [
        Member(loop, i, model, statistics_feed(model, here, engine, [seed]))
        for i, (model, seed) in enumerate(zip(built, seeds, strict=True))
        if len(built) > 1
    ]
    return Cohort(loop, members, list(jobs), [model.chosen for model in built])


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
            "batch: use at least 2"
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
    at_rest = statistics_feed(built[0], data, engine, seeds)
    return Loop(built, feed, at_rest, training, engine, seeds, ranks=ranks)


def statistics_feed(
    model: Model, data: DataSet, engine: Device, seeds: Sequence[int]
) -> StatisticsFeed:
    """Real data to measure the model's statistics on."""
    conditions = model.conditional
    return data.feed(seeds, CHUNK, engine.dtype, stream="calibrate", conditions=conditions)


# --- whether the data suits the model -------------------------------------------------------------


def _check_conditions(data: DataSet, conditional: bool) -> None:
    """Raise SettingError if the data lacks what the model is conditioned on, or has it in vain."""
    dense = data.domain.condition_shape is not None
    if conditional and not dense and data.labels is None:
        raise SettingError(
            f"{data.name} has no labels, and this model is conditional: use a source with "
            "classes, or an unconditional model"
        )
    if conditional and not dense and data.labels is not None and int(data.labels.min()) < 0:
        without = int((data.labels < 0).sum())
        unlabelled = f"{plural(without, data.domain.noun)} of {data.name}"
        raise SettingError(
            f"{unlabelled} {agree(without, 'have')} no label, "
            "and this model needs all labels: leave these out (--data.no-unlabelled), or use a "
            "model that learns from few labels (ladder, ebgan_ln)"
        )
    if dense and not conditional:
        raise SettingError(
            f"{data.name} holds an input for each example, which this model does not take: use a "
            "model that does (pix2pix for pairs of images), or data without inputs "
            "(data.direction)"
        )


def _check_labelled(data: DataSet, model: Model) -> None:
    """Raise SettingError if the model learns from few labels and the data, or its part of a batch,
    has too few, or if the data keeps few for a model that learns from none."""
    if not model.labelled:
        if data.labelled is not None:
            raise SettingError(
                f"data.labelled {data.labelled} applies to models that learn from few labels "
                "only: leave it unset, or use ladder, ebgan_ln or jem"
            )
        return
    if model.conditional or data.domain.condition_shape is not None:
        raise SettingError(
            f"a model that learns from few labels cannot be conditional, and {data.name} or the "
            "model has conditions: use images with classes"
        )
    if data.domain.image_shape is not None:
        raise SettingError(
            "data.tile does not apply to models that learn classes: leave data.tile unset, and "
            "set data.size"
        )
    classes = data.domain.classes
    if data.labels is None or not classes or not int((data.labels >= 0).sum()):
        raise SettingError(
            f"{data.name} has no labels to learn from: give some (data.labels, a CSV of "
            "file,label), or sort images into class folders"
        )
    if model.labelled < classes:
        raise SettingError(
            f"model.labelled: {model.labelled} labelled examples per batch, for {classes} "
            f"classes: use at least {classes}, one of each"
        )
