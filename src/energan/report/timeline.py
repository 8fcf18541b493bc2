"""The pictures of samples, or of reconstructions, that a run drew on its way."""

import re
from functools import partial
from pathlib import Path

from PIL import Image

from energan.report.html import Picture, of_image
from energan.report.material import Material

SHOWN, LARGEST = 8, 560
STEP = re.compile(r"step-(\d+)\.png$")


def timeline(material: Material, folder: Path) -> list[Picture]:
    """The first picture in one of the run's folders, the last, and some between; SHOWN at most."""
    found = sorted(
        (int(m[1]), path) for path in folder.glob("*.png") if (m := STEP.search(path.name))
    )
    if not found and folder.is_dir() and any(folder.glob("*.npz")):
        what = folder.name
        material.lacking[what] = f"its {what} are no pictures; they lie in {what}/ as .npz"
    made = []
    for step, path in _spread(found):
        picture = material.attempt(f"{folder.name} of step {step:,}", partial(_picture, step, path))
        if picture is not None:
            made.append(picture)
    return made


def _spread(found: list[tuple[int, Path]]) -> list[tuple[int, Path]]:
    count = min(SHOWN, len(found))
    if count < 2:
        return found
    return [found[round(i * (len(found) - 1) / (count - 1))] for i in range(count)]


def _picture(step: int, path: Path) -> Picture:
    with Image.open(path) as opened:
        image = opened.convert("RGB" if opened.mode not in ("L", "RGB") else opened.mode)
    image.thumbnail((LARGEST, LARGEST))
    return of_image(path.stem, f"Step {step:,}", "", image)
