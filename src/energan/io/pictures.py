"""Samples as files: PNG grids and scatter plots, .npz, folders of PNGs, or of TIFFs of many bands.

Pictures have the depth of the images that a run was trained on. Of images of more bands than three
they show some; see `core.Domain`.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from energan.core import DataError, Domain
from energan.io.files import aside
from energan.io.png import write_png16

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Array = np.ndarray[Any, Any]


def is_image(domain: Domain) -> bool:
    """Whether examples are pictures: (C, H, W)."""
    return len(domain.shape) == 3


def drawable(domain: Domain) -> bool:
    """Whether samples fit in one picture: images, or points, of which two numbers are shown."""
    return is_image(domain) or len(domain.shape) == 1


def to_uint8(x: Tensor, domain: Domain) -> Array:
    """Images (N, C, H, W) in the domain's range -> pictures, uint8 (N, H, W, 1 or 3), clipped at
    its ends."""
    return to_integers(show_bands(x, domain), domain, 8)


def to_integers(x: Tensor, domain: Domain, depth: int) -> Array:
    """Images (N, C, H, W) in the domain's range -> uint8 or uint16 (N, H, W, C), clipped."""
    low, high = domain.low, domain.high
    if low is None or high is None:
        low, high = float(x.min()), max(float(x.max()), float(x.min()) + 1e-12)
    unit = (x.detach().float().cpu() - low) / (high - low)
    most = 2**depth - 1
    scaled: Array = unit.mul(most).round().clamp(0, most).permute(0, 2, 3, 1).contiguous().numpy()
    return scaled.astype(np.uint8 if depth == 8 else np.uint16)


def show_bands(x: Tensor, domain: Domain) -> Tensor:
    """Of images (N, C, H, W) with other than 1 or 3 bands those that pictures show."""
    bands = x.shape[1]
    if bands in (1, 3) and not domain.shown:
        return x
    first = tuple(range(3 if bands > 2 else 1))
    shown = domain.shown if max(domain.shown, default=bands) < bands else first
    return x[:, list(shown)]


def show_condition(x: Tensor, domain: Domain) -> Tensor:
    """Conditions (N, C, H, W) as pictures: one-hot label maps in the colours of their classes."""
    labels = domain.label_map
    if labels is None or not labels.one_hot:
        return x
    assert domain.low is not None
    assert domain.high is not None
    colours = torch.tensor(labels.colours, device=x.device) / 255
    unit = colours[x.argmax(1)].permute(0, 3, 1, 2)  # (N, 3, H, W)
    return unit * (domain.high - domain.low) + domain.low


IN_A_ROW, MOST_ROWS = 8, 20
GAP, SIDE = 2, 64
"""Pixels between the images of a grid, and that a small image is enlarged to at most."""
STRIP = 2**20
"""Pixels of a large image that are copied at a time."""
DARK = 96 / 255
"""How light the gaps are."""


def labels_of_a_grid(classes: int) -> tuple[Tensor, int]:
    """Labels of a grid with a class in each row, and its columns; of many classes one each."""
    if classes <= MOST_ROWS:
        return torch.arange(classes).repeat_interleave(IN_A_ROW), IN_A_ROW
    count = min(classes, 100)
    return torch.arange(count) * classes // count, math.ceil(math.sqrt(count))


def columns_in_turn(count: int, classes: int) -> int | None:
    """The columns of a grid of classes in turn: a class a column, or some; None of many classes."""
    if classes > MOST_ROWS:
        return None
    return min(count, classes * max(1, round(math.sqrt(count) / classes)))


def grid(x: Tensor, domain: Domain, columns: int | None = None) -> Image.Image:
    """Images (N, C, H, W) side by side, small ones enlarged by whole factors, with a thin gap."""
    return to_image(_sheet(x, domain, columns, 8))


def enlarge(pixels: Array) -> Image.Image:
    """An image (H, W, 1 or 3) of uint8, a small one enlarged as in a grid."""
    zoom = max(1, SIDE // max(pixels.shape[:2]))
    return to_image(_enlarge(pixels, zoom))


def _enlarge(pixels: Array, zoom: int) -> Array:
    """Smoothly: eight pixels drawn as eight blocks are hard to read as a digit."""
    size = pixels.shape[1] * zoom, pixels.shape[0] * zoom
    return resize(pixels, size, Image.Resampling.BICUBIC) if zoom > 1 else pixels


def _sheet(x: Tensor, domain: Domain, columns: int | None, depth: int) -> Array:
    """The grid as (H, W, 1 or 3) of integers of so many bits."""
    images = to_integers(show_bands(x, domain), domain, depth)
    count, high, wide, bands = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    zoom = max(1, SIDE // max(high, wide))
    height, width = high * zoom, wide * zoom
    sides = rows * (height + GAP) + GAP, columns * (width + GAP) + GAP
    sheet = np.full((*sides, bands), round(DARK * (2**depth - 1)), images.dtype)
    for i, image in enumerate(images):
        left, top = GAP + i % columns * (width + GAP), GAP + i // columns * (height + GAP)
        sheet[top : top + height, left : left + width] = _enlarge(image, zoom)
    return sheet


def resize(
    pixels: Array,
    size: tuple[int, int],
    how: Image.Resampling,
    box: tuple[float, float, float, float] | None = None,
    gap: float | None = None,
) -> Array:
    """Integers, or floats in [0, 1], (H, W, C) brought to a width and a height, antialiased.

    box: the part that is kept. gap: as Pillow's `reducing_gap`, which is faster and less exact.
    """
    whole = pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3)
    kind = np.uint8 if pixels.dtype == np.uint8 else np.float32
    bands = [to_image(pixels)] if whole else (
        Image.fromarray(band.astype(kind)) for band in np.moveaxis(pixels, -1, 0)
    )  # fmt: skip
    made = [np.asarray(band.resize(size, how, box, reducing_gap=gap)) for band in bands]
    resized: Array = np.stack(made, -1) if made[0].ndim == 2 else made[0]
    if pixels.dtype == np.uint8:
        return resized
    if pixels.dtype == np.float32:
        return resized.clip(0, 1)  # the filter overshoots at edges
    return np.rint(resized).clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)


def to_image(pixels: Array) -> Image.Image:
    """uint8 (H, W, 1 or 3), copied some rows at a time: a large one fits memory once."""
    plain = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    rows = max(1, STRIP // plain.shape[1])
    if len(plain) <= rows:
        return Image.fromarray(plain)
    made = Image.new("L" if plain.ndim == 2 else "RGB", plain.shape[1::-1])
    for top in range(0, len(plain), rows):
        made.paste(Image.fromarray(plain[top : top + rows]), (0, top))
    return made


def cells(sheet: Image.Image, shape: Sequence[int]) -> list[Image.Image]:
    """The images of a grid that `grid` made of images (C, H, W), row by row, as large as there.

    A grid's last row may end in empty ones.
    """
    zoom = max(1, SIDE // max(shape[1:]))
    height, width = (side * zoom for side in shape[1:])
    columns, rows = sheet.width // (width + GAP), sheet.height // (height + GAP)
    corners = [
        (GAP + i * (width + GAP), GAP + j * (height + GAP))
        for j in range(rows)
        for i in range(columns)
    ]
    return [sheet.crop((x, y, x + width, y + height)) for x, y in corners]


def strips(parts: Sequence[Tensor], domain: Domain) -> tuple[Tensor, Domain]:
    """Sets of N images (N, C, H, W) as one (k·N, 1 or 3, H, W) that holds each's first, then each's
    second, …: rows of a grid; in colour if one of them is. domain: of their range.
    """
    parts = [show_bands(part, domain) for part in parts]
    channels = max(part.shape[1] for part in parts)
    alike = [part.float().cpu().expand(-1, channels, -1, -1) for part in parts]
    x = torch.stack(alike, 1).flatten(0, 1)
    return x, Domain(tuple(x.shape[1:]), domain.low, domain.high, depth=domain.depth)


def scatter(x: Tensor, reference: Tensor | None = None, what: str = "samples") -> "Figure":
    """Points (N, D), with real ones (M, D) behind them: their first two numbers.

    Points of one number are counted: their histogram over that of the real ones.
    """
    if x.shape[1] == 1:
        return _histogram(x, reference, what)
    figure = _figure((5, 5))
    axes = figure.add_subplot()
    for points, colour, name in ((reference, "0.75", "data"), (x, "tab:blue", what)):
        if points is not None:
            across, up = points[:, :2].T.cpu().numpy()
            axes.scatter(across, up, s=3, c=colour, alpha=0.6, label=name)
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(loc="upper right", markerscale=3)
    return figure


def _histogram(x: Tensor, reference: Tensor | None, what: str) -> "Figure":
    figure = _figure((5, 5))
    axes = figure.add_subplot(ylabel="density")
    parts = {what: x} if reference is None else {"data": reference, what: x}
    numbers = {name: part.detach().flatten().float().cpu().numpy() for name, part in parts.items()}
    bins = np.histogram_bin_edges(np.concatenate(list(numbers.values())), 60).tolist()
    for name, values in numbers.items():
        colour = "0.75" if name == "data" else "tab:blue"
        axes.hist(values, bins=bins, density=True, color=colour, alpha=0.6, label=name)
    axes.legend(loc="upper right")
    return figure


def save_samples(
    path: Path,
    x: Tensor,
    domain: Domain,
    *,
    reference: Tensor | None = None,
    about: Mapping[str, object] | None = None,
    columns: int | None = None,
    what: str = "samples",
    labels: Tensor | None = None,
    class_names: Sequence[str] = (),
) -> Path:
    """Write samples to `path`: .npz (array `x`), a .png grid or plot, else a folder of PNGs, or of
    TIFFs with all bands of images that have other than 1 or 3.

    about: where they come from (seed, step, weights): entries of the .npz, text in a PNG.
    columns: of a grid; it is square if not given. what: x is, in the legend of a plot. labels:
    (N,), of the classes of these names: arrays of the .npz, and text in each PNG of a folder.
    Raises DataError if examples cannot be drawn that way.
    """
    check_target(path, domain)
    text = {k: str(v) for k, v in (about or {}).items()}
    if not path.suffix:
        digits, suffix = len(str(len(x) - 1)), ".png" if x.shape[1] in (1, 3) else ".tif"
        for i, image in enumerate(to_integers(x, domain, domain.depth)):
            own = {} if labels is None else {"label": class_names[int(labels[i])]}
            with aside(path / f"{i:0{digits}d}{suffix}") as made:
                write_image(made, image, {**text, **own})
        return path
    with aside(path) as made:
        if path.suffix == ".npz":
            extra: dict[str, Any] = {**(about or {}), **label_arrays(labels, class_names)}
            np.savez(made, x=x.detach().float().cpu().numpy(), **extra)
        elif is_image(domain):
            write_image(made, _sheet(x, domain, columns, domain.depth), text)
        else:
            scatter(x, reference, what).savefig(made, dpi=100, metadata=text)
    return path


def label_arrays(labels: Tensor | None, class_names: Sequence[str]) -> dict[str, Any]:
    """What an .npz of samples with labels has beside them: labels (N,), class_names (classes,)."""
    if labels is None:
        return {}
    return {"labels": labels.cpu().numpy(), "class_names": np.array(class_names, dtype=str)}


def write_image(path: Path, pixels: Array, text: Mapping[str, str]) -> None:
    """Write uint8 or uint16 (H, W, C), by the suffix: PNGs of 1 or 3 bands have either depth and
    the text, TIFFs any number of bands; others 8 bits."""
    if path.suffix.lower() in (".tif", ".tiff"):
        tifffile.imwrite(path, pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels,
                         photometric="rgb" if pixels.shape[-1] == 3 else "minisblack",
                         planarconfig="contig", compression="zlib")  # fmt: skip
    elif path.suffix.lower() == ".png" and pixels.dtype == np.uint16:
        write_png16(path, pixels, text)
    else:
        deep = pixels.dtype == np.uint16
        image = to_image(np.rint(pixels / 257).astype(np.uint8) if deep else pixels)
        if path.suffix.lower() == ".png":
            image.save(path, pnginfo=_png_text(text))
        else:
            image.save(path)


def pixels(path: Path) -> Array:
    """A picture as uint8 (H, W, 3)."""
    return np.asarray(open_image(path).convert("RGB"))


def open_image(path: Path) -> Image.Image:
    """A picture with 8 bits."""
    with Image.open(path) as image:
        image.load()
        if not image.mode.startswith("I"):
            return image
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def check_target(path: Path, domain: Domain) -> None:
    """Raise DataError if examples cannot be written to `path`."""
    if path.suffix not in (".npz", ".png", ""):
        raise DataError(f"--out {path}: name a .png, an .npz, or a folder (no suffix)")
    if (path.suffix == ".png" and not drawable(domain)) or (
        not path.suffix and not is_image(domain)
    ):
        raise DataError(f"examples of shape {domain.shape} cannot be drawn: write them to an .npz")
    if path.suffix and path.is_dir():
        raise DataError(f"--out {path} is a folder; name a file")
    if not path.suffix and path.exists() and not path.is_dir():
        raise DataError(f"--out {path} is a file; name a folder, a .png or an .npz")
    if not path.suffix and path.is_dir() and any(path.iterdir()):
        raise DataError(f"--out {path} holds files already; name a new or an empty folder")


def _png_text(text: Mapping[str, str]) -> PngInfo:
    info = PngInfo()
    for key, value in text.items():
        info.add_text(key, value)
    return info


def _figure(size: tuple[float, float]) -> "Figure":
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    return Figure(figsize=size)
