"""Samples of a sweep's trials: of the best (figure 4), and by one setting (figure 9)."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from energan.errors import RunError
from energan.io import pictures
from energan.io.run_folder import RunFolder
from energan.io.text import number
from energan.report.html import DPI, Picture, Theme, draw_figure, encode_image
from energan.report.snapshots import step_pictures
from energan.report.sweep.comparison import sign_of
from energan.report.sweep.labels import axis_label, axis_value, file_name, trial_label
from energan.report.sweep.records import SweepRecords, is_numeric, same, score_of
from energan.sweeps.store import Record

OF_A_ROW = 16
EMPTY = 128
"""Grey of what was not drawn."""


def draw_best(one: SweepRecords) -> Picture | None:
    """The last samples of the best trial that has some."""
    for place, record in enumerate(one.ranked()):
        path = newest_picture(one, record)
        if path is None:
            continue
        image = pictures.open_image(path).convert("RGB")
        rank = "Best" if place == 0 else f"The best with samples, number {place + 1}, of"
        score = f"{sign_of(one.metric)} {number(score_of(record, one.metric))}"
        settings = trial_label(one, record) or "The recipe"
        caption = f"{settings}; {score}. Unselected samples of trial {record['id']}."
        return encode_image(f"best-{file_name(one.label)}", f"{rank} {one.label}", caption, image)
    return None


def draw_strip(one: SweepRecords) -> Picture | None:
    """A row of samples for each value, if one axis varies and its values are numbers."""
    if len(one.varied) != 1:
        return None
    axis, values = next(iter(one.varied.items()))
    if not is_numeric(values):
        return None
    rows: list[tuple[str, list[Image.Image]]] = []
    for value in sorted(values):
        there = [r for r in one.records if same(r["values"].get(axis), value)]
        there = [r for r in one.ranked() if r in there] or there
        name = f"{axis_label(axis)} {axis_value(value)}"
        if not there:
            rows.append((f"{name}\nnot there yet", []))
            continue
        score = score_of(there[0], one.metric)
        told = there[0]["state"] if score is None else f"{sign_of(one.metric)} {number(score)}"
        rows.append((f"{name}\n{told}", _images(one, there[0])))
    drawn = [image for _, images in rows for image in images]
    if not drawn:
        return None
    width, height = drawn[0].width + pictures.GAP, drawn[0].height + pictures.GAP
    sheet = Image.new("RGB", (OF_A_ROW * width, len(rows) * height), (EMPTY,) * 3)
    for j, (_, images) in enumerate(rows):
        for i, image in enumerate(images[:OF_A_ROW]):
            sheet.paste(image, (i * width + 1, j * height + 1))
    longest = max(len(line) for name, _ in rows for line in name.split("\n"))
    size = (sheet.width / DPI + 0.3 + 0.07 * longest, sheet.height / DPI + 0.1)

    def draw(axes: Any, theme: Theme) -> None:
        axes.imshow(np.asarray(sheet), interpolation="antialiased")
        axes.set_xticks([])
        axes.set_yticks([(j + 0.5) * height for j in range(len(rows))], [name for name, _ in rows])
        axes.tick_params(left=False, labelsize=8)
        axes.spines[:].set_visible(False)

    caption = (
        f"Unselected samples, one row per {axis_label(axis)}, as in figure 9 of Zhao et al. 2017."
    )
    return draw_figure(
        f"strip-{file_name(one.label)}", f"Samples by {axis_label(axis)}", caption, draw, size
    )


def newest_picture(one: SweepRecords, record: Record) -> Path | None:
    """The picture of samples of its last step."""
    found = step_pictures(RunFolder(one.run(record)).samples)
    return found[-1][1] if found else None


def _images(one: SweepRecords, record: Record) -> list[Image.Image]:
    """The samples of its last picture one by one; none if they are no images."""
    path = newest_picture(one, record)
    try:
        shape = RunFolder(one.run(record)).read_config()["resolved"]["domain"]["shape"]
    except RunError:
        return []
    if path is None or len(shape) != 3:
        return []
    return pictures.cells(pictures.open_image(path).convert("RGB"), shape)
