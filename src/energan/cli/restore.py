"""`energan restore`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import Tensor

from energan.cli.options import (
    Checkpoint,
    ComputeDevice,
    GradientClip,
    ImageSources,
    StepNoise,
    StepSize,
    Weights,
    parse,
    target_of,
)
from energan.cli.run_options import (
    chain_rule,
    open_run_at,
    print_facts,
    provenance,
    warn_skipped,
)
from energan.core import Domain, PerSample, SettingError
from energan.data.inference import open_images
from energan.inference.labels import class_number
from energan.inference.restoration import REGIONS, Restoration, read_mask
from energan.inference.restoration import restore as restore_images
from energan.inference.run import Run
from energan.io import pictures
from energan.io.text import plural

GREY = 0.5
"""Colour that unknown pixels are drawn in, between black and white."""


@dataclass
class Restore:
    """Fill in missing parts of images, or remove noise, by following the energy of a run
    downhill. Known pixels do not change; with --noise-std they may change by at most the
    noise. The picture shows for each image what was given, the start, the restored image, and
    the truth if it is known."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """the run's folder; RUN@STEP for one of its checkpoints"""
    images: ImageSources
    mask: str | None = None
    """the unknown region: an image that is white there, or left, right, top, bottom or centre"""
    noise_std: float | None = None
    """standard deviation of the images' noise, as a fraction of the range from black to white"""
    add_noise: bool = False
    """the images are clean: add noise of --noise-std before removing it"""
    truth: Literal["yes", "no"] | None = None
    """the images are complete, so that the result can be compared with them: show them last and
    print the error (default: yes for named regions and --add-noise, no for a mask of your own)"""
    steps: int = 200
    """number of chain steps"""
    start: Annotated[Literal["noise", "mean"], tyro.conf.arg(name="from")] = "noise"
    """start unknown pixels from noise, or from the mean of the training data"""
    step_size: StepSize = None
    noise: StepNoise = None
    clip: GradientClip = None
    anneal: float = 0.5
    """fraction of the steps, at the end, during which step size and noise fall to 0"""
    label: str | None = None
    """for a conditional model: the class of the images; by default the most likely one"""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8
    """restore at most this many images"""
    out: Path = Path("restored.png")
    """a .png picture, an .npz (arrays x, given, start, unknown, truth), or a folder of PNG files,
    one per restored image"""
    seed: int = 0
    """seed of the chains"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"
    device: ComputeDevice = "auto"


@dataclass(frozen=True)
class Task:
    """Images to be restored: the truth as far as it is known, and what of it is given.

    truth, given: float (B, *event). unknown: bool, broadcastable to them; None where all is known.
    noise_std: of the known pixels, in the data's units.
    """

    names: list[str]
    truth: Tensor
    given: Tensor
    unknown: Tensor | None
    noise_std: float | None


def restore(args: list[str]) -> int:
    options = parse(Restore, args, "energan restore")
    _check(options)
    run = open_run_at(options.run, options.checkpoint, options.weights, options.device)
    if not pictures.is_image(run.domain):
        raise SettingError(
            f"{run.path} was trained on examples of shape {run.domain.shape}, and `energan "
            "restore` takes images: use energan.restore in Python"
        )
    pictures.check_target(options.out, run.domain)
    task = _task(run, options)
    made = _restored(run, task, options)
    whole = options.truth == "yes"
    if options.truth is None:
        whole = options.add_noise or options.mask in REGIONS
    _write(run, task, made, whole, options)
    _print(task, made, whole, run.domain, options)
    return 0


def _check(options: Restore) -> None:
    """Raise SettingError for options that make no sense."""
    if options.mask is None and options.noise_std is None:
        raise SettingError(
            "say what to restore: give --mask (left, right, top, bottom, centre, or an image "
            "that is white where pixels are unknown) or --noise-std"
        )
    if options.noise_std is not None and not 0 < options.noise_std <= 1:
        raise SettingError(
            f"--noise-std {options.noise_std:g}: give a fraction of the range, for example 0.1"
        )
    if options.add_noise and options.noise_std is None:
        raise SettingError("--add-noise needs --noise-std: add it, for example --noise-std 0.1")
    if options.n < 1:
        raise SettingError("give -n at least 1")


def _task(run: Run, options: Restore) -> Task:
    names, x = _read(run, options)
    unknown = None
    if options.mask is not None:
        unknown = read_mask(options.mask, run.job.settings.data, run.domain)
    low, high = _ends(run.domain)
    std = None if options.noise_std is None else options.noise_std * (high - low)
    given = x
    if options.add_noise and std is not None:
        noise = PerSample(options.seed, x.shape[1:]).at("noise").normal(*x.shape)
        given = (x + std * noise).clamp(low, high)
    return Task(names, x, given, unknown, std)


def _read(run: Run, options: Restore) -> tuple[list[str], Tensor]:
    """Names and events of the first n images, in the run's range."""
    found, skipped = open_images(options.images, run.job.settings.data, run.domain)
    warn_skipped(skipped)
    print_facts(found)
    names, x = list[str](), list[Tensor]()
    for part in found:
        count = min(len(part), options.n)
        names += part.names[:count]
        x.append(part.data.gather(torch.arange(count)).x.float().cpu())
    return names[: options.n], torch.cat(x)[: options.n]


def _ends(domain: Domain) -> tuple[float, float]:
    return float(domain.low or 0), float(domain.high or 0)


def _restored(run: Run, task: Task, options: Restore) -> Restoration:
    labels = None
    if options.label is not None:
        labels = torch.full((len(task.given),), class_number(run, options.label))
    return restore_images(
        run, task.given,
        unknown=task.unknown, noise_std=task.noise_std, steps=options.steps, start=options.start,
        rule=chain_rule(run, options.step_size, options.noise, options.clip),
        anneal=options.anneal, labels=labels, seed=options.seed,
    )  # fmt: skip


def _write(run: Run, task: Task, made: Restoration, whole: bool, options: Restore) -> None:
    """The picture with a column of each, or the arrays, or the restored images alone."""
    about: dict[str, Any] = {
        **provenance(run, options.seed),
        "chain_steps": options.steps,
        "mask": str(options.mask),
        "noise_std": str(options.noise_std),
    }
    shown, low_high = task.given, _ends(run.domain)
    if task.unknown is not None:
        low, high = low_high
        shown = torch.where(task.unknown, low + GREY * (high - low), task.given)
    target_of(options)
    if options.out.suffix == ".png":
        start = [] if task.unknown is None else [made.start]
        columns = [shown, *start, made.x, *([task.truth] if whole else [])]
        strips, domain = pictures.strips(columns, run.domain)
        pictures.save_samples(options.out, strips, domain, about=about, columns=len(columns))
        return
    if options.out.suffix == ".npz":
        about["given"] = shown.numpy()
        about["start"] = (shown if task.unknown is None else made.start).numpy()
        if task.unknown is not None:
            about["unknown"] = task.unknown.numpy()
        if whole:
            about["truth"] = task.truth.numpy()
    pictures.save_samples(options.out, made.x, run.domain, about=about)


def _print(task: Task, made: Restoration, whole: bool, domain: Domain, options: Restore) -> None:
    """The energy of each image before and after, their mean, and the error where it is known."""
    figures = [f"energy {float(made.energy_start.mean()):.5g} -> {float(made.energy.mean()):.5g}"]
    if whole:
        low, high = _ends(domain)
        before, after = (
            _error(x, task.truth, task.unknown) / (high - low) for x in (made.start, made.x)
        )
        figures.append(f"root mean square error {before:.4g} -> {after:.4g} of the range")
    energies = made.energy_start.tolist(), made.energy.tolist()
    for name, before, after in zip(task.names, *energies, strict=True):
        print(f"  {name}: energy {before:.5g} -> {after:.5g}")
    count = len(task.truth)
    print(
        f"{count} restored in {plural(options.steps, 'step')}, {', '.join(figures)}: {options.out}"
    )


def _error(x: Tensor, truth: Tensor, unknown: Tensor | None) -> float:
    """Root mean square over the unknown pixels, or over all."""
    squares = (x - truth).square()
    if unknown is not None:
        squares = squares[unknown.expand_as(squares)]
    return float(squares.mean().sqrt())
