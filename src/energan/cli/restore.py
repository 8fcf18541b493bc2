"""`energan restore`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from energan.cli.options import parse
from energan.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from energan.inference.run import Run

GREY = 0.5
"""What unknown pixels are drawn as, between black and white."""


def restore(args: list[str]) -> int:
    import tyro

    @dataclass
    class Restore:
        """Fill in what is unknown of images, or clean them of noise, by going down the energy of a
        run. Known pixels stay as they are; with --noise-std they may move, by no more than the
        noise. The picture shows of each image: given, start, restored, and the truth if that is
        known."""

        run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
        """the run's folder; RUN@STEP for one of its checkpoints"""
        images: Annotated[list[str], tyro.conf.Positional]
        """image files, folders, or data sources (of a name its test part, or what was held out)"""
        mask: str | None = None
        """what is unknown: an image that is white there, or left, right, top, bottom or centre"""
        noise_std: float | None = None
        """standard deviation of the images' noise, as a share of the range from black to white"""
        add_noise: bool = False
        """the images are clean: add noise of --noise-std first, to see it removed"""
        truth: Literal["yes", "no"] | None = None
        """whether the images as they are read are whole: show them last, and tell the error (yes
        for regions and --add-noise, no for a mask of yours)"""
        steps: int = 200
        """of the chains"""
        start: Annotated[Literal["noise", "mean"], tyro.conf.arg(name="from")] = "noise"
        """unknown pixels start from noise, or from the mean of the training data"""
        step_size: float | None = None
        """ε of chains; as in the run's training, or by its data's range"""
        noise: str | None = None
        """standard deviation of a step's noise; coupled for √ε, with half the gradient"""
        clip: str | None = None
        """bound of each coordinate of the gradient; none for none"""
        anneal: float = 0.5
        """share of the steps, at the end, over which step and noise fall to nothing"""
        label: str | None = None
        """of a conditional model, the class of the images; the likeliest of all otherwise"""
        n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8
        """of more images, only so many"""
        out: Path = Path("restored.png")
        """a .png picture, an .npz (arrays x, given, start, unknown, truth), or a folder for one PNG
        of each restored image"""
        seed: int = 0
        """of the draws"""
        weights: Literal["ema", "raw"] | None = None
        """averaged or raw; averaged where there are any"""
        checkpoint: str = "last"
        """last, best, or a step"""

    asked = parse(Restore, args, "energan restore")
    _check(asked)
    import torch

    from energan.cli.sample import class_number, opened
    from energan.cli.sample_chains import rule_asked
    from energan.core import Randomness, SettingError
    from energan.inference import restoration
    from energan.io import pictures

    run: Run = opened(asked.run, asked)
    if not pictures.is_image(run.domain):
        raise SettingError(
            f"{run.path} was trained on events of shape {run.domain.shape}: `energan restore` is "
            "of images (energan.restore takes any)"
        )
    pictures.check_target(asked.out, run.domain)
    names, x = _read(run, asked)
    unknown = None
    if asked.mask is not None:
        unknown = restoration.mask_of(asked.mask, run.job.settings.data, run.domain)
    low, high = float(run.domain.low or 0), float(run.domain.high or 0)
    std = None if asked.noise_std is None else asked.noise_std * (high - low)
    given = x
    if asked.add_noise and std is not None:
        drawn = Randomness([asked.seed]).at("noise").normal(*x.shape)
        given = (x + std * drawn).clamp(low, high)
    labels = None
    if asked.label is not None:
        labels = torch.full((len(x),), class_number(run, asked.label))
    made = restoration.restore(
        run, given,
        unknown=unknown, noise_std=std, steps=asked.steps, start=asked.start,
        rule=rule_asked(run, asked), anneal=asked.anneal, labels=labels, seed=asked.seed,
    )  # fmt: skip
    whole = asked.truth == "yes"
    if asked.truth is None:
        whole = asked.add_noise or asked.mask in restoration.REGIONS
    shown = given
    if unknown is not None:
        shown = torch.where(unknown, low + GREY * (high - low), given)
    columns = [shown, *([] if unknown is None else [made.start]), made.x, *([x] if whole else [])]
    told = [f"U {float(made.energy_start.mean()):.5g} -> {float(made.energy.mean()):.5g}"]
    if whole:
        before, after = (_error(y, x, unknown) / (high - low) for y in (made.start, made.x))
        told.append(f"root mean square error {before:.4g} -> {after:.4g} of the range")
    _write(asked, run, made.x, columns, unknown, x if whole else None)
    for name, u, v in zip(names, made.energy_start.tolist(), made.energy.tolist(), strict=True):
        print(f"  {name}: U {u:.5g} -> {v:.5g}")
    print(f"{len(x)} restored in {asked.steps} steps, {', '.join(told)}: {asked.out}")
    return 0


def _check(asked: Any) -> None:
    """Raise SettingError for options that make no sense."""
    from energan.core import SettingError

    if asked.mask is None and asked.noise_std is None:
        raise SettingError(
            "say what to restore: --mask for what is unknown (left, right, top, bottom, centre, or "
            "an image that is white there), --noise-std for noise"
        )
    if asked.noise_std is not None and not 0 < asked.noise_std <= 1:
        raise SettingError(f"--noise-std {asked.noise_std:g}: a share of the range, as 0.1")
    if asked.add_noise and asked.noise_std is None:
        raise SettingError("--add-noise: say how much, with --noise-std 0.1")
    if asked.n < 1:
        raise SettingError("-n is at least 1")


def _read(run: "Run", asked: Any) -> "tuple[list[str], Tensor]":
    """Names and events of the first n images, in the run's range."""
    import torch

    from energan.data.inference import open_images
    from energan.io.console import say

    found, skipped = open_images(asked.images, run.job.settings.data, run.domain)
    for where, why in skipped:
        say(f"energan: {where} cannot be read and is left out: {why}")
    names = [name for judged in found for name in judged.names]
    counts = [min(len(judged), asked.n) for judged in found]
    x = [
        judged.data.gather(torch.arange(count)).x.float().cpu()
        for judged, count in zip(found, counts, strict=True)
    ]
    names = [
        name for judged, count in zip(found, counts, strict=True) for name in judged.names[:count]
    ]
    return names[: asked.n], torch.cat(x)[: asked.n]


def _error(x: "Tensor", truth: "Tensor", unknown: "Tensor | None") -> float:
    """Root mean square over the unknown pixels, or over all."""
    squares = (x - truth).square()
    if unknown is not None:
        squares = squares[unknown.expand_as(squares)]
    return float(squares.mean().sqrt())


def _write(
    asked: Any,
    run: "Run",
    x: "Tensor",
    columns: "list[Tensor]",
    unknown: "Tensor | None",
    truth: "Tensor | None",
) -> None:
    from energan.io import pictures

    about: dict[str, Any] = {
        "run": run.config["hash"],
        "step": run.step,
        "seed": asked.seed,
        "weights": run.weights,
        "energan": __version__,
        "chain_steps": asked.steps,
        "mask": str(asked.mask),
        "noise_std": str(asked.noise_std),
    }
    if asked.out.suffix == ".png":
        shown, domain = pictures.strips(columns, run.domain)
        pictures.save_samples(asked.out, shown, domain, about=about, columns=len(columns))
        return
    if asked.out.suffix == ".npz":
        about["given"], about["start"] = (
            columns[0].numpy(),
            columns[-2 if truth is None else -3].numpy(),
        )
        if unknown is not None:
            about["unknown"] = unknown.numpy()
        if truth is not None:
            about["truth"] = truth.numpy()
    pictures.save_samples(asked.out, x, run.domain, about=about)
