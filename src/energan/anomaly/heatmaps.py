"""Where in an image the energy comes from, as pictures beside the image."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from energan.anomaly.calibration import Calibration
from energan.core import Domain, SettingError
from energan.data import DataSet
from energan.data.defect_masks import Mask
from energan.io.console import progress
from energan.io.files import aside
from energan.io.pictures import to_uint8

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

COLOURS, BRIGHTEST = "inferno", 0.998
"""The colour map, and the share of all pixels below the scale's end: one spark is not the scale."""
NORMAL, ANOMALOUS = "#1a7f37", "#b42318"
CONTOUR, TRUTH = "#ff4b33", "#2fd6f5"
"""Around what lies above the threshold, and around defects by their masks."""
ENERGY_MAP = "energy map"
AT_ONCE = 50


def squared_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """(x − Dec(Enc(x)))² of images (B, C, H, W), summed over channels: (B, H, W)."""
    found: Tensor = (reconstruction - x).square().sum(1)
    return found


@torch.enable_grad()
def saliency(energy: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """‖∂U/∂x‖ over channels, at each pixel of images (B, C, H, W): (B, H, W), on the CPU."""
    x = x.detach().float().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(x).sum(), x)
    found: Tensor = torch.linalg.vector_norm(gradient, dim=1).cpu()
    return found


def energy_map(cells: Tensor, height: int, width: int) -> Tensor:
    """The energies of cells (B, h, w) at each pixel, (B, H, W): bilinear between their centres."""
    resized = F.interpolate(cells[:, None], (height, width), mode="bilinear", align_corners=False)
    return resized[:, 0]


def check_smoothing(sigma: float, kind: str) -> None:
    """Raise SettingError for what is no standard deviation in pixels, and for maps of a kind that
    are not to be smoothed."""
    if not 0 <= sigma <= 100:
        raise SettingError(f"--smooth {sigma:g}: give 0 to 100 pixels, for example 1.5")
    if sigma and kind == ENERGY_MAP:
        raise SettingError(
            "--smooth: the maps of this run come from its energy, and its threshold depends on "
            "how smooth they are: leave it out"
        )


def heatmap(
    x: Tensor, energy: Callable[[Tensor], Tensor], reconstruction: Tensor | None, at_once: int
) -> Tensor:
    """(B, H, W), on the CPU: the squared error, or the saliency where there is no reconstruction.

    energy: x (B, C, H, W) -> U (B,), of `at_once` images. Raises SettingError for points.
    """
    if x.dim() != 4:
        raise SettingError(
            "heat maps need images, and the run was trained on examples of shape "
            f"{tuple(x.shape[1:])}: use `score` for those"
        )
    if reconstruction is not None:
        return squared_error(x.float().cpu(), reconstruction)
    return torch.cat([saliency(energy, part) for part in x.split(at_once)])


def map_maxima(heatmap: Callable[[Tensor], Tensor], data: DataSet) -> Tensor:
    """The maximum (N,) of the map of each event. heatmap: x (B, C, H, W) -> (B, H, W)."""
    found = []
    with progress(f"heat maps of {data.name}", len(data)) as advance:
        for rows in torch.arange(len(data)).split(AT_ONCE):
            found.append(heatmap(data.gather(rows).x.float().cpu()).flatten(1).amax(1))
            advance(len(rows))
    return torch.cat(found)


@dataclass(frozen=True)
class ColourScale:
    """The values of the first and of the last colour. threshold: the value of the middle one, above
    which no more than a share fpr of normal images reaches anywhere; None where it is not known."""

    low: float
    high: float
    threshold: float | None = None

    def __str__(self) -> str:
        ends = f"{self.low:.6g} to {self.high:.6g}"
        return ends if self.threshold is None else f"{ends}, map threshold {self.threshold:.6g}"


def threshold_scale(calibration: Calibration, kind: str) -> ColourScale | None:
    """With the threshold in the middle, so that pictures of all sets compare; None where the
    calibration has no threshold of maps.

    From 0 to twice the threshold; of an energy's own map, which may be negative, as far to both
    sides as four times the distance between the threshold and the median of the maxima of normal
    maps.
    """
    threshold, maxima = calibration.map_threshold, calibration.map_maxima
    if threshold is None or maxima is None:
        return None
    reach = 4 * (threshold - float(maxima.median())) if kind == ENERGY_MAP else threshold
    if not reach > 0:  # all normal maps are flat
        return None
    return ColourScale(threshold - reach, threshold + reach, threshold)


def scale_of(maps: Tensor, kind: str) -> ColourScale:
    """Of these maps alone: from 0, or the lowest value of energies, to their 99.8th percentile."""
    values = maps.flatten()
    values = values[:: len(values) // 2**22 + 1]  # torch.quantile takes no more than 2²⁴
    values = values[values.isfinite()]
    low = float(values.min()) if len(values) and kind == ENERGY_MAP else 0.0
    high = float(values.quantile(BRIGHTEST)) if len(values) else low
    return ColourScale(low, high if high > low else low + 1.0)


@dataclass(frozen=True)
class Pictures:
    """What is drawn of N images: x (N, C, H, W), maps (N, H, W) named by `kind`, a line and a
    verdict on each, the reconstructions where there are any, and masks (H, W) of their defects
    where these are known."""

    x: Tensor
    maps: Tensor
    kind: str
    lines: Sequence[str]
    anomalous: Sequence[bool]
    reconstruction: Tensor | None = None
    defects: Sequence[Mask | None] = ()


def write(
    folder: Path, names: Sequence[str], shown: Pictures, domain: Domain, *,
    scale: ColourScale | None = None, advance: Callable[[], None] = lambda: None,
) -> list[Path]:  # fmt: skip
    """One PNG an image: it, its reconstruction, its heat map with the scale beside it; contours of
    the threshold and of the defects on the first and the last.

    names: file names without suffix. scale: of all, so that pictures compare; None for own ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    panels = [("image", shown.x)]
    if shown.reconstruction is not None:
        panels.append(("reconstruction", shown.reconstruction))
    pictures = {title: to_uint8(images, domain) for title, images in panels}
    figure, drawn, title = _draw_panels([*pictures], shown, scale)
    paths = []
    for i, name in enumerate(names):
        for axis, images in zip(drawn, pictures.values(), strict=False):
            axis.set_data(_plain(images[i]))
        heat = shown.maps[i].numpy()
        own = scale_of(shown.maps[i], shown.kind) if scale is None else scale
        drawn[-1].set_data(heat)
        drawn[-1].set_clim(own.low, own.high)
        lines = _contours([drawn[0].axes, drawn[-1].axes], heat, own.threshold, CONTOUR)
        if shown.defects and (mask := shown.defects[i]) is not None:
            lines += _contours([drawn[0].axes, drawn[-1].axes], mask.astype(float), 0.5, TRUTH)
        title.set_text(shown.lines[i])
        title.set_color(ANOMALOUS if shown.anomalous[i] else NORMAL)
        paths.append(folder / f"{name}.png")
        text = {
            "Description": shown.lines[i], "map": shown.kind,
            "scale": f"{own}, {'its own' if scale is None else 'shared by all'}",
        }  # fmt: skip
        with aside(paths[-1]) as made:
            figure.savefig(made, dpi=100, metadata=text)
        for line in lines:
            line.remove()
        advance()
    return paths


def _contours(all_axes: Sequence[Any], values: Any, level: float | None, colour: str) -> list[Any]:
    """Where values (H, W) reach a level, on each of the axes; none where all or none do."""
    inside = None if level is None else np.nan_to_num(values, nan=np.inf) > level
    if inside is None or inside.all() or not inside.any():
        return []
    return [
        axes.contour(values, levels=[level], colors=[colour], linewidths=1.2) for axes in all_axes
    ]


def _draw_panels(
    titles: Sequence[str], shown: Pictures, scale: ColourScale | None
) -> tuple["Figure", list["AxesImage"], Any]:
    """A figure that is filled once for every image: its panels, the map last, and its title."""
    from matplotlib.figure import Figure

    count = len(titles) + 1
    height, width = shown.maps.shape[1:]
    across = min(max(width / height, 0.5), 2.0) * 3.0
    figure = Figure(figsize=(count * (across + 0.1) + 0.8, 3.9), layout="constrained")
    title = figure.suptitle("x\nx", fontsize=11, fontweight="bold")
    axes = figure.subplots(1, count)
    drawn = []
    blank = torch.zeros(height, width).numpy()
    for axis, name in zip(axes, [*titles, shown.kind], strict=True):
        axis.set_title(name, fontsize=10)
        axis.set_axis_off()
        colours = {"cmap": COLOURS, "vmin": 0, "vmax": 1} if name == shown.kind else _GREY
        smooth = "nearest" if max(height, width) < 128 else "antialiased"
        drawn.append(axis.imshow(blank, interpolation=smooth, **colours))
    bar = figure.colorbar(drawn[-1], ax=list(axes), fraction=0.05, pad=0.01, extend="max")
    bar.ax.tick_params(labelsize=8)
    if scale is not None and scale.threshold is not None:
        drawn[-1].set_clim(scale.low, scale.high)
        bar.ax.axhline(scale.threshold, color=CONTOUR, linewidth=2)
        bar.set_label(f"{shown.kind}; red: threshold of maps, not of images", fontsize=8)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # where all stands is worked out once
    return figure, drawn, title


_GREY: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255}


def _plain(image: Any) -> Any:
    """(H, W, C) as matplotlib takes it: grey without its axis."""
    return image[..., 0] if image.shape[-1] == 1 else image


def file_names(names: Sequence[str]) -> list[str]:
    """Names of files for images so named, numbered in the order given, so that they sort by it."""
    digits = max(3, len(str(len(names))))
    plain = [re.sub(r"\.[A-Za-z]{2,5}$", "", Path(name).name) for name in names]
    stems = [re.sub(r"[^\w.-]+", "-", name)[-80:].strip("-.") for name in plain]
    return [f"{i:0{digits}d}-{stem}" for i, stem in enumerate(stems, 1)]
