"""Training images side by side."""

import io
import math

import torch
from PIL import Image, ImageDraw, ImageFont

from energan.data.dataset import DataSet
from energan.data.pairs import PairSet
from energan.errors import DataError
from energan.io.pictures import grid, is_image, scatter, show_condition, strips

MOST_CLASSES = 20
"""Number of classes that get a row of their own."""
POINTS = 5000
MARGIN, GAP = 6, 4


def thumbnails(data: DataSet, count: int) -> Image.Image:
    """About `count` training events, spread over the set: by class where there are few, else in
    a square. Points are plotted. Raises DataError for what cannot be drawn."""
    if not is_image(data.domain):
        return _plot(data)
    if isinstance(data, PairSet):
        return _pairs(data, count)
    classes = data.domain.classes or 0
    if data.labels is None or not 1 < classes <= min(MOST_CLASSES, count):
        return grid(data.gather(_spread(torch.arange(len(data)), count)).x, data.domain)
    each, rows = count // classes, []
    columns = min(each, math.ceil(math.sqrt(count)))
    names = data.class_names or tuple(map(str, range(classes)))
    for label, name in [*enumerate(names), (-1, "(no label)")]:
        members = _spread((data.labels == label).nonzero().flatten(), each)
        if len(members):
            images = data.gather(members).x
            rows.append((name, grid(images, data.domain, columns)))
    return _stacked(rows)


def _pairs(data: PairSet, count: int) -> Image.Image:
    """Each source before its target."""
    batch = data.gather(_spread(torch.arange(len(data)), count))
    assert batch.condition is not None
    source = show_condition(batch.condition, data.domain)
    x, domain = strips([source, batch.x], data.domain)
    return grid(x, domain, 2 * math.ceil(math.sqrt(len(batch.x) / 2)))


def _spread(indices: torch.Tensor, count: int) -> torch.Tensor:
    """`count` of the indices at equal distances, or all of them."""
    count = min(count, len(indices))
    return indices[torch.arange(count) * len(indices) // max(count, 1)]


def _stacked(rows: list[tuple[str, Image.Image]]) -> Image.Image:
    """Rows of images below one another, each after its name."""
    font = ImageFont.load_default(12)
    left = max(int(font.getlength(_short(name))) for name, _ in rows) + 2 * MARGIN
    width = left + max(row.width for _, row in rows)
    height = sum(row.height + GAP for _, row in rows)
    sheet = Image.new("RGB", (width, height), "white")
    pen, top = ImageDraw.Draw(sheet), 0
    for name, row in rows:
        sheet.paste(row, (left, top))
        pen.text((MARGIN, top + row.height // 2), _short(name), "black", font, anchor="lm")
        top += row.height + GAP
    return sheet


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def _plot(data: DataSet) -> Image.Image:
    if len(data.domain.shape) != 1:
        raise DataError(
            f"{data.name} holds examples of shape {data.domain.shape}, which cannot be drawn: "
            "leave --out away"
        )
    points = data.gather(_spread(torch.arange(len(data)), POINTS)).x
    drawn = io.BytesIO()
    figure = scatter(points)
    legend = figure.axes[0].get_legend()
    if legend is not None:
        legend.remove()  # there are only data
    figure.savefig(drawn, dpi=100)
    return Image.open(drawn)
