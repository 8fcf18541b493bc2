"""A landscape through training, as a GIF."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from energan.experiment.callbacks import landscapes
from energan.experiment.callbacks.landscapes import Landscape
from energan.inference.run import Run
from energan.io.files import write_atomically
from energan.io.run_folder import RunFolder
from energan.report import energy_map
from energan.report.figures import landscape
from energan.report.figures.options import FigureOptions
from energan.report.snapshots import spread
from energan.training import checkpoint_folder

MOST = 200
"""Frames; of more, evenly spread ones are shown, the first and the last among them."""
FRAME, LAST = 120, 1500
"""Milliseconds that a frame stays, and the last one."""
DPI, TINTS = 90, 255


@dataclass(frozen=True)
class Animation:
    """Landscapes in the order of their steps.

    name: of what they are; notes: what the user should know of them.
    """

    shown: list[Landscape]
    name: str
    notes: list[str]


def animate(path: Path, options: FigureOptions, source: str | None = None) -> Animation:
    """A run's landscapes through training: those that it kept, else those of its checkpoints.

    source: where the data is now, which the checkpoints need, if it was moved.
    Raises SettingError for a run of other than points in the plane.
    """
    folder = RunFolder(path)
    name = landscape.run_label(folder.read_config())
    files = landscapes.files(folder)
    lands = [landscapes.read(file) for file in spread(files, MOST)]
    of = {land.weights for land in lands}
    if len(lands) > 1 and options.weights in (None, *of):
        few = f"{len(lands)} of the {len(files)} landscapes are shown"
        return Animation(lands, name, [few] if len(lands) < len(files) else [])
    taken = _of_checkpoints(path, options, source)
    why = f"{path} keeps no landscapes of several steps"
    if len(lands) > 1:
        why = f"{path} keeps landscapes of {' and '.join(of)} weights only"
    count = "the one checkpoint that it keeps is" if len(taken) == 1 else (
        f"the {len(taken)} checkpoints that it keeps are"
    )  # fmt: skip
    hint = (
        "" if len(lands) > 1 else ("; train with --output.sample-every 100 to store one as often")
    )
    return Animation(taken, name, [f"{why}: {count} shown instead{hint}"])


def _of_checkpoints(path: Path, options: FigureOptions, source: str | None) -> list[Landscape]:
    data = landscape.open_data_of(landscape.open_plane(path, options), source)
    steps = checkpoint_folder.steps_in(RunFolder(path).checkpoints)
    runs = (Run(path, checkpoint=step, weights=options.weights) for step in steps)
    return [landscape.landscape_of(run, data, options.seed) for run in runs]


def save(shown: Sequence[Landscape], name: str, out: Path) -> Path:
    """Write a GIF of a frame a landscape, all in the same colours; name: what heads each."""
    out.parent.mkdir(parents=True, exist_ok=True)
    frames = _frames(shown, name)
    palette = frames[-1].quantize(
        TINTS, Image.Quantize.MAXCOVERAGE
    )  # one for all: colours do not flicker
    drawn = [f.quantize(palette=palette, dither=Image.Dither.NONE) for f in frames]
    stays = [FRAME] * (len(drawn) - 1) + [LAST]
    file = io.BytesIO()
    drawn[0].save(file, "GIF", save_all=True, append_images=drawn[1:], duration=stays, loop=0)
    write_atomically(out, file.getvalue())
    return out


def _frames(shown: Sequence[Landscape], name: str) -> list[Image.Image]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    between = energy_map.energy_range(shown)
    figure, (axes, *_) = landscape.new_sheet(shown[-1])
    figure.set_dpi(DPI)
    canvas: Any = FigureCanvasAgg(figure)
    heading, frames = None, []
    for land in shown:
        axes.clear()
        filled = energy_map.draw_map(axes, land, between)
        energy_map.draw_arrows(axes, land)
        energy_map.draw_points(axes, land)
        if heading is None:
            landscape.add_title(figure, axes, "", filled)
            heading = landscape.add_heading(figure, " ")
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # nothing moves from frame to frame
        heading.set_text(f"{name}, {landscape.checkpoint_label(land)}")
        canvas.draw()
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    return frames
