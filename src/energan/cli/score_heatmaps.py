"""`energan score --heatmaps` and `--overlays`: pictures of where energies come from."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from energan.anomaly import heatmaps
from energan.anomaly.calibration import Calibration
from energan.anomaly.heatmaps import ColourScale, check_smoothing, scale_of, threshold_scale
from energan.anomaly.overlays import overlay
from energan.anomaly.score_table import ScoreTable
from energan.core import SettingError
from energan.inference.run import Run
from energan.io.console import progress
from energan.io.files import aside
from energan.io.pictures import write_image

HeatmapScale = Literal["threshold", "shared", "own"]
AT_ONCE = 50


@dataclass(frozen=True)
class HeatmapOptions:
    """As those of `energan score`. panels, overlays: folders, None for none."""

    panels: Path | None
    overlays: Path | None
    limit: int
    files: tuple[str, ...]
    scale: HeatmapScale
    smooth: float

    @property
    def wanted(self) -> bool:
        return self.panels is not None or self.overlays is not None

    @property
    def needs_threshold(self) -> bool:
        """Whether something is drawn by a threshold of maps."""
        return self.wanted and self.scale == "threshold"

    def check(self) -> None:
        """Raise SettingError for options that cannot be."""
        for option, folder in (("--heatmaps", self.panels), ("--overlays", self.overlays)):
            if folder is not None and folder.exists() and not folder.is_dir():
                raise SettingError(f"{option} {folder} is a file: name a folder")
        if self.limit < 1:
            raise SettingError(f"--limit-heatmaps {self.limit}: give at least 1")
        if self.files and not self.wanted:
            raise SettingError(
                "--heatmap-files chooses images for --heatmaps and --overlays: give a folder "
                "for one of them"
            )

    def check_fits(self, run: Run) -> None:
        """Raise SettingError for what a run does not have."""
        option = "--heatmaps" if self.panels is not None else "--overlays"
        if self.wanted and len(run.domain.shape) != 3:
            raise SettingError(
                f"{option}: {run.path} was trained on points, which have no pictures: leave it out"
            )
        if self.smooth:
            check_smoothing(self.smooth, run.heatmap_kind)

    def choose(self, table: ScoreTable) -> set[int]:
        """Rows of the images that may be drawn. Raises SettingError for a file that is none."""
        return set(table.matching(self.files) if self.files else range(len(table)))

    def heatmap(self, run: Run) -> Callable[[Tensor], Tensor]:
        return partial(run.heatmap, smooth=self.smooth)


@dataclass(frozen=True)
class _Chosen:
    """What is drawn: rows of the table, their file names and maps (N, H, W); scale: of all
    pictures, None for each its own."""

    run: Run
    table: ScoreTable
    rows: list[int]
    names: list[str]
    maps: Tensor
    scale: ColourScale | None


def draw_heatmaps(
    run: Run, table: ScoreTable, calibration: Calibration, options: HeatmapOptions
) -> None:
    """Write the pictures, the highest energies first, and say what they show."""
    chosen = options.choose(table)
    rows = [row for row in table.worst(len(table)) if row in chosen]
    rows = rows if options.files else rows[: options.limit]
    make = options.heatmap(run)
    maps = torch.cat([make(table.events(rows[i : i + AT_ONCE]))
                      for i in range(0, len(rows), AT_ONCE)])  # fmt: skip
    scale = _scale(run, maps, calibration, options)
    names = heatmaps.file_names([table.names[row] for row in rows])
    shown = _Chosen(run, table, rows, names, maps, scale)
    if options.panels is not None:
        _draw_panels(shown, options.panels)
    if options.overlays is not None:
        _draw_overlays(shown, options.overlays)
    left = "" if len(rows) == len(table) else f" of {len(table):,}, the highest scores"
    if options.files:
        left = f" of {len(table):,}, chosen by --heatmap-files"
    where = ", ".join(str(path) for path in (options.panels, options.overlays) if path is not None)
    said = f", smoothed by {options.smooth:g} pixels" if options.smooth else ""
    print(f"heat maps: {len(rows):,}{left} ({run.heatmap_kind}{said}): {where}")
    print(f"  colours: {'of each its own' if scale is None else scale}")
    if run.heatmap_kind == "saliency":
        print("  this energy reconstructs nothing: the maps show its gradient, |dU/dx|")


def _scale(
    run: Run, maps: Tensor, calibration: Calibration, options: HeatmapOptions
) -> ColourScale | None:
    """Of all pictures; None for each its own."""
    if options.scale == "own":
        return None
    found = None
    if options.scale == "threshold":
        if calibration.judges_maps(options.smooth):
            found = threshold_scale(calibration, run.heatmap_kind)
        if found is None:
            print(
                "heat maps: there is no calibrated threshold for such maps, so one colour scale "
                "serves the images of this call; --calibrate NORMAL sets one"
            )
    return found or scale_of(maps, run.heatmap_kind)


def _draw_panels(chosen: _Chosen, folder: Path) -> None:
    run, table, rows = chosen.run, chosen.table, chosen.rows
    x = table.events(rows)
    found = [table.defects(row) for row in rows]
    shown = heatmaps.Pictures(
        x, chosen.maps, run.heatmap_kind,
        [table.line(row) for row in rows], [bool(table.scores.anomalous[row]) for row in rows],
        run.reconstruct(x) if run.reconstructs else None,
        [None if defects is None else defects.regions > 0 for defects in found],
    )  # fmt: skip
    with progress("drawing heat maps", len(rows)) as advance:
        heatmaps.write(folder, chosen.names, shown, run.domain, scale=chosen.scale, advance=advance)


def _draw_overlays(chosen: _Chosen, folder: Path) -> None:
    run, table, rows = chosen.run, chosen.table, chosen.rows
    folder.mkdir(parents=True, exist_ok=True)
    places = {row: i for i, row in enumerate(rows)}
    with progress("drawing overlays", len(rows)) as advance:
        for row, original in table.originals(rows, run.domain):
            heat = chosen.maps[places[row]]
            own = chosen.scale or scale_of(heat, run.heatmap_kind)
            drawn = overlay(original.pixels, original.place(heat), own, table.mask(row))
            text = {
                "Description": table.line(row), "map": run.heatmap_kind, "scale": str(own)
            }  # fmt: skip
            with aside(folder / f"{chosen.names[places[row]]}.png") as made:
                write_image(made, drawn, text)
            advance()
