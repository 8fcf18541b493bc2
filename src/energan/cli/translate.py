"""`energan translate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from energan.cli.options import parse


def translate(args: list[str]) -> int:
    import tyro

    @dataclass
    class Translate:
        """What a run of image to image (pix2pix) makes of an image, or of each image of a folder.
        Images keep their size where the network takes it."""

        run: Annotated[Path, tyro.conf.Positional]
        """the run's folder"""
        source: Annotated[Path, tyro.conf.Positional]
        """an image file, or a folder; the images of folders in it count too"""
        out: Annotated[Path, tyro.conf.Positional]
        """a file to write, or a new folder for images of the same names (.png)"""
        size: str | None = None
        """bring images to a square of this side, as training did; or nearest: each side to the
        nearest that the network takes, and the result back"""
        pairs: bool = False
        """each file holds a pair side by side: take the half that the run starts from"""
        strip: bool = False
        """write source, target (of pairs) and result side by side"""
        seed: int = 0
        """of the dropout that is the network's noise"""
        weights: Literal["ema", "raw"] | None = None
        """averaged or raw; averaged where there are any"""
        checkpoint: str = "last"
        """last, best, or a step"""
        threads: int | None = None
        """CPU threads; as many as there are cores if not given"""

    asked = parse(Translate, args, "energan translate")
    size = _size(asked.size)
    from energan.cli.anomaly import opened
    from energan.cli.evaluate import set_threads
    from energan.inference.translation import translate as translated
    from energan.io.console import say

    set_threads(asked.threads)
    run = opened(asked.run, asked.checkpoint, asked.weights)
    made = translated(
        run, asked.source, asked.out,
        size=size, pairs=asked.pairs, strip=asked.strip, seed=asked.seed,
    )  # fmt: skip
    for file, reason in made.skipped:
        say(f"energan: {file} cannot be read and is left out: {reason}")
    where = made.written[0] if asked.source.is_file() else asked.out
    count = len(made.written)
    images = "1 image" if count == 1 else f"{count} images"
    print(f"{images} by step {run.step} ({run.weights} weights, seed {asked.seed}): {where}")
    return 0


def _size(text: str | None) -> Any:
    from energan.errors import SettingError

    if text is None or text == "nearest":
        return text
    if not text.isdigit() or int(text) < 1:
        raise SettingError(f"--size {text}: a number of pixels, as 256, or nearest")
    return int(text)
