"""Where in an image the energy comes from, as pictures beside the image."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import Domain, SettingError
from energan.io.files import aside
from energan.io.pictures import to_uint8

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

COLOURS, BRIGHTEST = "inferno", 0.998
"""The colour map, and the share of all pixels below the scale's end: one spark is not the scale."""
NORMAL, ANOMALOUS = "#1a7f37", "#b42318"


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


def heatmap(
    x: Tensor, energy: Callable[[Tensor], Tensor], reconstruction: Tensor | None, at_once: int
) -> Tensor:
    """(B, H, W), on the CPU: the squared error, or the saliency where there is no reconstruction.

    energy: x (B, C, H, W) -> U (B,), of `at_once` images. Raises SettingError for points.
    """
    if x.dim() != 4:
        raise SettingError(
            f"heat maps are of images: the run's events are {tuple(x.shape[1:])}; `score` takes "
            "those"
        )
    if reconstruction is not None:
        return squared_error(x.float().cpu(), reconstruction)
    return torch.cat([saliency(energy, part) for part in x.split(at_once)])


@dataclass(frozen=True)
class Pictures:
    """What is drawn of N images: x (N, C, H, W), maps (N, H, W) named by `kind`, a line and a
    verdict on each, and the reconstructions where there are any."""

    x: Tensor
    maps: Tensor
    kind: str
    lines: Sequence[str]
    anomalous: Sequence[bool]
    reconstruction: Tensor | None = None


def scale_of(maps: Tensor) -> float:
    """The end of the colour scale for these maps; never 0."""
    values = maps.flatten()
    values = values[:: len(values) // 2**22 + 1]  # torch.quantile takes no more than 2²⁴
    values = values[values.isfinite()]
    found = float(values.quantile(BRIGHTEST)) if len(values) else 0.0
    return found if found > 0 else 1.0


def write(
    folder: Path, names: Sequence[str], shown: Pictures, domain: Domain, *,
    shared: bool = True, advance: Callable[[], None] = lambda: None,
) -> list[Path]:  # fmt: skip
    """One PNG an image: it, its reconstruction, its heat map with the scale beside it.

    names: file names without suffix. shared: one colour scale for all, so that pictures compare;
    else each has its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    panels = [("image", shown.x)]
    if shown.reconstruction is not None:
        panels.append(("reconstruction", shown.reconstruction))
    pictures = {title: to_uint8(images, domain) for title, images in panels}
    end = scale_of(shown.maps)
    figure, drawn, title = _draw_panels([*pictures], shown, end)
    paths = []
    for i, name in enumerate(names):
        for axis, images in zip(drawn, pictures.values(), strict=False):
            axis.set_data(_plain(images[i]))
        drawn[-1].set_data(shown.maps[i].numpy())
        if not shared:
            drawn[-1].set_clim(0, scale_of(shown.maps[i]))
        title.set_text(shown.lines[i])
        title.set_color(ANOMALOUS if shown.anomalous[i] else NORMAL)
        paths.append(folder / f"{name}.png")
        scale = f"0 to {drawn[-1].get_clim()[1]:.6g}, {'shared by all' if shared else 'its own'}"
        text = {"Description": shown.lines[i], "map": shown.kind, "scale": scale}
        with aside(paths[-1]) as made:
            figure.savefig(made, dpi=100, metadata=text)
        advance()
    return paths


def _draw_panels(
    titles: Sequence[str], shown: Pictures, end: float
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
        last = name == shown.kind
        colours = {"cmap": COLOURS, "vmin": 0, "vmax": end} if last else _GREY
        smooth = "nearest" if max(height, width) < 128 else "antialiased"
        drawn.append(axis.imshow(blank, interpolation=smooth, **colours))
    bar = figure.colorbar(drawn[-1], ax=list(axes), fraction=0.05, pad=0.01, extend="max")
    bar.ax.tick_params(labelsize=8)
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
