"""Pictures of images that the model makes: fresh, extreme, between latents, beside the data."""

from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from energan.core import Domain, Scored
from energan.data import DataSet
from energan.evaluation.neighbours import nearest_events
from energan.inference import latents
from energan.inference.run import Run
from energan.io import pictures
from energan.io.text import number
from energan.report.html import Picture, encode_image
from energan.report.run.contents import RunContents
from energan.report.snapshots import spread, step_pictures

FRESH, EXTREMES, SCORED = 64, 24, 1000
PAIRS, STEPS = 4, 9
TRANSLATED = 12
QUERIES, NEAREST = 8, 3
COMPARED = 100
"""Number of samples, and of held-out examples, whose distances to the training set are compared."""
LARGEST = 1400
"""Pixels across, above which a picture of images is reduced."""


def draw_fresh(x: Tensor, domain: Domain, about: str) -> Picture:
    """A grid of the first samples."""
    caption = f"{min(FRESH, len(x))} random samples, not selected ({about})."
    return encode_image("samples", "Fresh samples", caption, _grid(x[:FRESH], domain), tall=True)


def draw_translations(run: Run, data: DataSet, about: str) -> list[Picture]:
    """Strips of held-out pairs: source, target, and what the run makes of the source."""
    kept = data if data.held_out is None else data.held_out
    batch = kept.gather(torch.arange(min(TRANSLATED, len(kept))))
    assert batch.condition is not None
    made = run.sample(len(batch.x), condition=batch.condition)
    source = pictures.show_condition(batch.condition, run.domain)
    x, domain = pictures.strips([source, batch.x, made], run.domain)
    caption = (
        f"Source, target and result of the first {len(made)} held-out pairs, not selected "
        f"({about})."
    )
    return [
        encode_image("samples", "Held-out pairs", caption, _grid(x, domain, columns=6), tall=True)
    ]


def draw_extremes(x: Tensor, energy: Tensor, domain: Domain) -> list[Picture]:
    """The samples (N, *event) of lowest and of highest energy (N,)."""
    order = energy.argsort()
    count = min(EXTREMES, len(x) // 2)
    found = []
    for name, title, chosen in (
        ("best", "Lowest energy", order[:count]),
        ("worst", "Highest energy", order.flip(0)[:count]),
    ):
        first, last = float(energy[chosen[0]]), float(energy[chosen[-1]])
        caption = (
            f"The {count} samples of {'lowest' if name == 'best' else 'highest'} energy among "
            f"{len(x):,}, U from {number(first)} to {number(last)} in reading order."
        )
        if name == "best":
            caption += " If they are all alike, the energy prefers a few simple images."
        image = _grid(x[chosen], domain, columns=8)
        found.append(encode_image(f"energy-{name}", title, caption, image))
    return found


def draw_interpolations(run: Run) -> list[Picture]:
    """Images along the way between pairs of latents; none if the sampler has no latents."""
    z = latents.draw(run, 2 * PAIRS)
    if z is None:
        return []
    made = []
    for name, way, caption in (
        ("linear", latents.linear,
         "Linear interpolation between pairs of latents. Smooth changes, without jumps or a mix "
         "of both ends, suggest that the generator does not only repeat single images."),
        ("spherical", latents.spherical,
         "The same pairs on great circles, which keep the norm of z as the prior gives it; the "
         "middle of a straight line is shorter than usual latents."),
    ):  # fmt: skip
        path = way(z[:PAIRS], z[PAIRS:], STEPS).flatten(0, 1)
        labels = latents.row_labels(run, PAIRS, STEPS)
        image = _grid(latents.generate(run, path, labels), run.domain, columns=STEPS)
        made.append(encode_image(f"interpolation-{name}", f"Interpolation, {name}", caption, image))
    return made


def draw_neighbours(x: Tensor, data: DataSet, domain: Domain) -> list[Picture]:
    """Samples, each above its nearest training images."""
    queries = x[:COMPARED]
    distances, rows = nearest_events(queries, data, NEAREST)
    shown = min(QUERIES, len(queries))
    real = data.gather(rows[:shown].T.flatten()).x.cpu()  # (K, Q) flattened: a row for each rank
    image = _stacked([_grid(x[:shown], domain, shown), _grid(real, domain, shown)])
    caption = (
        f"Top row: samples; below each, its {NEAREST} nearest training images by Euclidean "
        f"distance. The median distance to the nearest is {_median(distances)} ({len(queries)} "
        "samples)"
    )
    if data.held_out is not None and len(data.held_out) > 1:
        rows = torch.arange(min(COMPARED, len(data.held_out)))
        held_out, _ = nearest_events(data.held_out.gather(rows).x.cpu(), data, 1)
        caption += (
            f", and {_median(held_out)} for held-out images: a far smaller one would mean copies"
        )
    return [encode_image("neighbours", "Nearest training images", caption + ".", image)]


@torch.no_grad()
def draw_reconstructions(run: Run, data: DataSet) -> list[Picture]:
    """Held-out images that the energy likes least and most, above what D makes of them."""
    held_out = data.held_out if data.held_out is not None else data
    x = held_out.gather(torch.arange(min(SCORED, len(held_out)))).x.float().cpu()
    if _scored(run, x[:1]).reconstruction is None:
        return []
    parts = [_scored(run, part) for part in x.split(latents.AT_ONCE)]
    energy = torch.cat([p.energy.reshape(len(p.energy), -1).mean(-1).float().cpu() for p in parts])
    made = torch.cat(
        [p.reconstruction.float().cpu() for p in parts if p.reconstruction is not None]
    )
    order, count = energy.argsort(), min(QUERIES, len(x))
    what = "held-out" if data.held_out is not None else "training"
    found = []
    for name, title, chosen in (
        ("worst", "Worst reconstructions", order.flip(0)[:count]),
        ("best", "Best reconstructions", order[:count]),
    ):
        first, last = (number(float(energy[chosen[i]])) for i in (0, -1))
        pairs = [_grid(part[chosen], run.domain, count) for part in (x, made)]
        caption = (
            f"Of {len(x):,} {what} images those of {'highest' if name == 'worst' else 'lowest'} "
            f"energy (U {first} to {last}), above their reconstructions."
        )
        if name == "worst":
            caption += " What is missing there is what the model has not learned."
        found.append(encode_image(f"reconstruction-{name}", title, caption, _stacked(pairs, gap=0)))
    return found


def _scored(run: Run, x: Tensor) -> Scored:
    scored: Scored = run.energy_network(x.to(run.engine.device, torch.float32), stream="eval")
    return scored


def _grid(x: Tensor, domain: Domain, columns: int | None = None) -> Image.Image:
    image = pictures.grid(x, domain, columns)
    share = LARGEST / max(image.size)
    if share >= 1:
        return image
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _stacked(parts: list[Image.Image], gap: int = 10) -> Image.Image:
    """Pictures above each other, with a gap that the page shows through."""
    height = sum(part.height for part in parts) + gap * (len(parts) - 1)
    sheet = Image.new("RGBA", (max(part.width for part in parts), height), (0, 0, 0, 0))
    top = 0
    for part in parts:
        sheet.paste(part.convert("RGBA"), (0, top))
        top += part.height + gap
    return sheet


def _median(distances: Tensor) -> str:
    return number(float(distances[:, 0].median()))


SHOWN, LARGEST_TIMELINE = 8, 560


def timeline(contents: RunContents, folder: Path) -> list[Picture]:
    """The first picture in one of the run's folders, the last, and some between; SHOWN at most."""
    found = step_pictures(folder)
    if not found and folder.is_dir() and any(folder.glob("*.npz")):
        what = folder.name
        contents.notes[what] = f"its {what} are not pictures; they are in {what}/ as .npz"
    made = []
    for step, path in spread(found, SHOWN):
        picture = contents.attempt(f"{folder.name} of step {step:,}", partial(_picture, step, path))
        if picture is not None:
            made.append(picture)
    return made


def _picture(step: int, path: Path) -> Picture:
    image = pictures.open_image(path)
    image = image if image.mode in ("L", "RGB") else image.convert("RGB")
    image.thumbnail((LARGEST_TIMELINE, LARGEST_TIMELINE))
    return encode_image(path.stem, f"Step {step:,}", "", image)
