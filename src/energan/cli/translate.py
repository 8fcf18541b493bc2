"""`energan translate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from energan.cli.options import Checkpoint, ComputeDevice, RunPath, Threads, Weights, parse
from energan.cli.run_options import set_threads, warn_skipped
from energan.errors import SettingError
from energan.inference.run import Run
from energan.inference.translation import Size
from energan.inference.translation import translate as translate_images
from energan.io.text import plural


@dataclass
class Translate:
    """Translate an image, or each image of a folder, with an image-to-image run (pix2pix).
    Images keep their size if the network accepts it."""

    run: RunPath
    source: Annotated[Path, tyro.conf.Positional]
    """an image file, or a folder, searched with its subfolders"""
    out: Annotated[Path, tyro.conf.Positional]
    """the file to write, or a new folder for images of the same names (.png)"""
    size: str | None = None
    """resize images to a square of this side, as in training; nearest: to the nearest size that the
    network takes, and resize the result back"""
    pairs: bool = False
    """each file holds a pair side by side: translate the half that the run translates from. This is
    the default if all images are as wide as the pairs side by side that the run was trained on"""
    whole: bool = False
    """translate whole images, even if they are as wide as pairs side by side"""
    strip: bool = False
    """write source, target (of pairs) and result side by side"""
    seed: int = 0
    """seed of the dropout, the network's noise"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"
    device: ComputeDevice = "auto"
    threads: Threads = None


def translate(args: list[str]) -> int:
    options = parse(Translate, args, "energan translate")
    size = _size(options.size)
    if options.pairs and options.whole:
        raise SettingError("--pairs translates a half of each image, --whole all of it: give one")
    pairs = options.pairs if options.pairs or options.whole else None
    set_threads(options.threads)
    run = Run(
        options.run, checkpoint=options.checkpoint, weights=options.weights, device=options.device
    )
    made = translate_images(
        run, options.source, options.out,
        size=size, pairs=pairs, strip=options.strip, seed=options.seed,
    )  # fmt: skip
    warn_skipped(made.skipped)
    for fact in made.facts:
        print(fact)
    where = made.written[0] if options.source.is_file() else options.out
    images = plural(len(made.written), "image")
    print(f"{images} by step {run.step} ({run.weights} weights, seed {options.seed}): {where}")
    return 0


def _size(text: str | None) -> Size:
    if text is None:
        return None
    if text == "nearest":
        return "nearest"
    if not text.isdigit() or int(text) < 1:
        raise SettingError(f"--size {text}: give a number of pixels, for example 256, or nearest")
    return int(text)
