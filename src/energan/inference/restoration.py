"""Filling in and cleaning images by going down the energy, with what is known held.

Inpainting: the unknown pixels start from noise or from the mean of the data and follow the energy,
the known ones do not move. Denoising: all pixels follow it, and no image goes further from the
given one than its noise: the root mean square of the change stays within `noise_std`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from energan.core import DataError, Domain, PerSample, SettingError, StepRule
from energan.data import DataSettings, open_data
from energan.data.from_python import Images
from energan.data.inference import open_images
from energan.inference.chain_rules import ChainSchedule, check_finite, move_chains
from energan.inference.chains import start_noise
from energan.inference.composition import TrainedEnergy, check_alike, runs_of
from energan.io.console import progress, warn
from energan.samplers.chains import chains_at_once

Region = Literal["left", "right", "top", "bottom", "centre"]
REGIONS: tuple[Region, ...] = ("left", "right", "top", "bottom", "centre")
Start = Literal["noise", "mean"]
STEPS, ANNEAL = 200, 0.5


@dataclass(frozen=True)
class Restoration:
    """Restored examples, on the CPU.

    Attributes:
        start: the examples with which chains started, (B, *event).
        x: the restored examples, (B, *event).
        energy_start: U at the start, (B,).
        energy: U of the restored examples, (B,).
    """

    start: Tensor
    x: Tensor
    energy_start: Tensor
    energy: Tensor


def restore(
    run: TrainedEnergy,
    x: Images,
    *,
    unknown: Tensor | None = None,
    noise_std: float | None = None,
    steps: int = STEPS,
    start: Start = "noise",
    rule: StepRule | None = None,
    anneal: float = ANNEAL,
    labels: Tensor | None = None,
    seed: int = 0,
) -> Restoration:
    """Fill in unknown pixels, or remove noise, by moving images towards low energy.

    A warning on stderr says if the energy was not trained for this.

    Args:
        run: a run, or a sum of runs.
        x: examples, float (B, *event) in the range of the data, or images.
        unknown: bool, broadcastable to x, True for the pixels to fill in; the others keep their
            values exactly.
        noise_std: standard deviation of the noise on the known pixels, in the units of the data.
            They may change, by at most this root mean square per image.
        steps: number of chain steps.
        start: values that unknown pixels start from: "noise", or the "mean" of the data.
        rule: settings of a chain step; those of the run if not given.
        anneal: fraction of the steps, at the end, over which step size and noise fall to 0.
        labels: int64 (B,), for a conditional run; if not given, the lowest energy over all
            labels counts.
        seed: seed of the chains.

    Returns:
        The restored examples, with their energies before and after.

    Raises:
        SettingError: if neither `unknown` nor `noise_std` is given.
        DataError: if x does not fit the run.
    """
    x = x if isinstance(x, Tensor) else run.prepare(x)
    _check(run, x, unknown, noise_std)
    if labels is not None:
        labels = run.conditions.check(len(x), labels)
    x = x.detach().float().cpu()
    hidden = torch.zeros_like(x, dtype=torch.bool)
    if unknown is not None:
        hidden = hidden | unknown.cpu()
    first = runs_of([run])[0]
    filling = (
        _mean(first.job.settings.data) if start == "mean" else start_noise(first, len(x), seed)
    )
    begun = torch.where(hidden, filling, x)
    schedule = ChainSchedule((run.rule if rule is None else rule,), steps, anneal=anneal)
    _warn_of_others(run)
    parts, chunks = [], list(torch.arange(len(x)).split(chains_at_once(x)))
    with progress("restoring", steps * len(chunks), "steps") as advance:
        for rows in chunks:
            draws = PerSample(seed, x.shape[1:], run.engine.device)
            draws.at("restore", int(rows[0]))
            y, known = begun[rows].to(run.engine.device), ~hidden[rows].to(run.engine.device)
            u = run.potential(None if labels is None else labels[rows])
            made = move_chains(
                [u], schedule, y, draws,
                mask=known if noise_std is None else None,
                after=None if noise_std is None else _Within(y, known, noise_std),
                watch=lambda k, now: advance(),
            ).x  # fmt: skip
            check_finite(made, steps, schedule)
            parts.append(made.float().cpu())
    restored = torch.cat(parts)
    return Restoration(begun, restored, run.energy(begun, labels), run.energy(restored, labels))


def _check(run: TrainedEnergy, x: Tensor, unknown: Tensor | None, noise_std: float | None) -> None:
    check_alike(runs_of([run]))
    if unknown is None and noise_std is None:
        raise SettingError("nothing to restore: give the unknown pixels, or the noise level")
    if noise_std is not None and not 0 < noise_std < float("inf"):
        raise SettingError(f"noise_std {noise_std:g}: give a number above 0")
    if x.shape[1:] != torch.Size(run.domain.shape) or not x.is_floating_point():
        raise DataError(
            f"restoring needs float images of shape {run.domain.shape}: given {x.dtype}, "
            f"{tuple(x.shape)}"
        )
    if not len(x):
        raise DataError("there is nothing to restore: x is empty")
    if unknown is not None and not _fits(unknown, x):
        raise SettingError(
            f"unknown must be a bool mask that fits {tuple(x.shape)}: given {unknown.dtype}, "
            f"{tuple(unknown.shape)}"
        )


def _warn_of_others(run: TrainedEnergy) -> None:
    """Say which energies were trained neither by chains nor as a density."""
    for part in runs_of([run]):
        if part.sampler.rule is not None or part.temperature is not None:
            continue
        warn(
            f"{part.path}: the energy of {part.job.model} was not trained for restoring: it tells "
            "data from samples, and says little of images on the way between, so that what is "
            "filled in is often texture; train one by chains or as a density (igebm, "
            "energy_matching)"
        )


def _fits(mask: Tensor, x: Tensor) -> bool:
    """Whether a mask is of bool, and of x's shape once it is broadcast."""
    try:
        return mask.dtype == torch.bool and torch.broadcast_shapes(mask.shape, x.shape) == x.shape
    except RuntimeError:
        return False


class _Within:
    """Brings x back until the root mean square of x − y over known pixels is at most `radius`."""

    def __init__(self, y: Tensor, known: Tensor, radius: float) -> None:
        self.y, self.known, self.radius = y, known, radius
        self.count = known.flatten(1).sum(1).clamp_min(1)

    def __call__(self, x: Tensor) -> Tensor:
        change = torch.where(self.known, x - self.y, 0)
        length = (change.flatten(1).square().sum(1) / self.count).sqrt()
        share = (self.radius / length.clamp_min(1e-12)).clamp_max(1)
        return torch.where(self.known, self.y + share.view(-1, *[1] * (x.dim() - 1)) * change, x)


def _mean(settings: DataSettings) -> Tensor:
    """The mean training example of a run's data."""
    mean = open_data(settings).domain.mean
    assert mean is not None
    return mean.float()


# --- masks ----------------------------------------------------------------------------------------


def read_mask(word: str, settings: DataSettings, domain: Domain) -> Tensor:
    """Unknown pixels, bool (1, H, W): a region's name, or an image that is white where unknown.

    An image is cropped and sized as the run's data were; half white counts as white. Raises
    DataError if it cannot be read, SettingError if it hides nothing.
    """
    height, width = domain.shape[1:]
    unknown = torch.zeros(1, height, width, dtype=torch.bool)
    if word in REGIONS:
        rows, columns = {
            "left": (slice(None), slice(None, width // 2)),
            "right": (slice(None), slice(width // 2, None)),
            "top": (slice(None, height // 2), slice(None)),
            "bottom": (slice(height // 2, None), slice(None)),
            "centre": (_middle(height), _middle(width)),
        }[word]
        unknown[:, rows, columns] = True
    elif not Path(word).expanduser().is_file():
        raise DataError(f"--mask {word}: name an image, or one of {', '.join(REGIONS)}")
    else:
        (found, *more), _ = open_images([word], settings, domain)
        if more or len(found) != 1:
            raise DataError(f"--mask {word} holds {len(found)} images: name one")
        assert domain.low is not None
        assert domain.high is not None
        grey = found.data.gather(torch.tensor([0])).x[0].mean(0, keepdim=True)
        unknown = grey > (domain.low + domain.high) / 2
    if not unknown.any():
        raise SettingError(f"--mask {word} has no white pixels, so nothing is unknown")
    return unknown


def _middle(side: int) -> slice:
    return slice(side // 4, side - side // 4)
