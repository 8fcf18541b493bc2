"""Whether the machine can do what a job asks for, before data is opened and training begins."""

import torch

from energan.core import Domain, Model, SettingError
from energan.data.images.decoding import Size, width_and_height
from energan.experiment.build import build
from energan.experiment.settings import Job
from energan.io.memory import check_memory
from energan.training.device import Device
from energan.training.step_cost import META, count_step

COPIES = 3
"""Numbers stored per parameter: itself, its gradient and its average, whatever the optimiser
keeps."""
SURE = 0.8
"""Fraction of the estimated memory that is certainly needed."""
ENOUGH = 10_000
"""Multiple of a batch's memory that no network exceeds for its backward pass."""
SIDES = (32, 64, 128, 256)
"""Sides of images that one model or another takes."""


class _TooLarge(SettingError):
    """What fits in no memory."""


def check_size(job: Job, engine: Device) -> None:
    """Raise SettingError if the job's networks take no images of the size that it asks for, or
    take more memory for them than there is: before any is read."""
    data = job.settings.data
    size = data.tile or data.random_crop or data.pad or data.size
    if size is None:
        return
    try:
        check_fits(job, _images_of(job, size), engine)
    except _TooLarge:
        raise
    except SettingError:
        if any(_takes(job, other) for other in SIDES):
            raise  # else it is not the size that they do not take


def check_fits(job: Job, domain: Domain, engine: Device) -> None:
    """Raise SettingError if a training step on data of `domain` fits in no memory of the device, or
    as `build` does."""
    batch, free = job.settings.training.batch_size, engine.free_memory()
    width = 8 if job.settings.engine.precision == "64" else 4
    try:
        with META:
            model = build(job, domain, job.settings.seed)
        networks = (model.energy, model.sampler)
        parameters = sum(p.numel() for network in networks for p in network.parameters())
        needed = COPIES * width * parameters
        if needed + ENOUGH * width * batch * domain.size > free:
            needed += int(width * _kept(model, job, domain) / 4)
    except (NotImplementedError, RuntimeError) as error:
        if "overflow" not in str(error):  # its build looks at numbers
            return
        raise _TooLarge(
            "networks of this size do not fit in memory: reduce the sizes in model"
        ) from None
    shape = "x".join(map(str, domain.shape))
    what = f"a training step, with batches of {batch} of {shape},"
    remedy = "reduce training.batch_size, data.size, or the sizes in model"
    check_memory(int(SURE * needed), what, remedy, free=free, error=_TooLarge)


def _kept(model: Model, job: Job, domain: Domain) -> float:
    """Bytes kept for a backward pass, in the phase that keeps most."""
    batch, begins = job.settings.training.batch_size, (0, *job.settings.model.phases)
    return max(count_step(model, domain, batch, step)[1] for step in begins)


def _takes(job: Job, side: int) -> bool:
    try:
        with META:
            build(job, _images_of(job, side), job.settings.seed)
    except Exception:  # whatever it stumbles over on this way
        return False
    return True


def _images_of(job: Job, size: Size) -> Domain:
    """Images as they may turn out to be."""
    width, height = width_and_height(size)
    shape = (1 if job.settings.data.channels == "grey" else 3, height, width)
    paired = job.settings.data.direction is not None
    low = -1.0 if job.settings.data.range == "signed" else 0.0
    mean = torch.empty(shape, device=META)
    return Domain(shape, low, 1.0, 10, mean, shape if paired else None)
