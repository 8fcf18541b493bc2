"""Landscapes: the energy over a box of the plane and where it pulls, taken in training.

RUN/landscapes/step-000500.npz holds one: some 35 kB, and all that a picture of it needs.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from energan.core import DataError, Domain, Energy, Function, evaluating, frozen, potential
from energan.data.dataset import DataSet
from energan.energies.minimum_over_labels import MinimumOverLabels
from energan.experiment.callbacks.samples import draw
from energan.io.files import write_atomically
from energan.io.run_folder import RunFolder
from energan.training.checkpoint_folder import checkpoint_name
from energan.training.hooks import Periodic
from energan.training.train_state import TrainState

SIDE, ARROWS = 81, 20
"""Points along each side of the map, and arrows."""
OF_DATA, SHOWN = 2000, 500
"""Examples inside the box, and examples and samples stored with a landscape."""
BORDER = 0.15
"""Margin shown around the data, as a fraction of its extent."""
AT_ONCE = 2048


@dataclass(frozen=True)
class Landscape:
    """U over the box from `low` to `high`, each (2,); all on the CPU, float32.

    energy: (S, S) at equal steps from border to border; rows go up, columns across.
    pull: −∇U (A, A, 2) at the middles of A × A cells, laid out alike.
    samples, data: (N, 2) and (M, 2); no samples of a model that makes none.
    """

    energy: Tensor
    pull: Tensor
    low: Tensor
    high: Tensor
    samples: Tensor
    data: Tensor
    step: int
    seed: int
    weights: str

    def to_bytes(self) -> bytes:
        """As an .npz file holds it."""
        file = io.BytesIO()
        arrays = {k: v.numpy() if isinstance(v, Tensor) else v for k, v in vars(self).items()}
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        return file.getvalue()


def read(path: Path) -> Landscape:
    """A landscape from its file. Raises DataError if that is torn or of something else."""
    try:
        with np.load(io.BytesIO(path.read_bytes())) as stored:
            tensors = {
                name: torch.from_numpy(stored[name].astype(np.float32))
                for name in ("energy", "pull", "low", "high", "samples", "data")
            }
            step, seed, weights = (stored[name].item() for name in ("step", "seed", "weights"))
        return Landscape(**tensors, step=int(step), seed=int(seed), weights=str(weights))
    except (OSError, ValueError, LookupError, EOFError, BadZipFile) as error:
        raise DataError(f"{path} is not a landscape ({error}): delete it") from None


def files(folder: RunFolder) -> list[Path]:
    """The files of a run's landscapes, in the order of their steps, without what a resume undid."""
    found = {e["step"]: folder.path / e["path"] for e in folder.read("landscape")}
    return [found[step] for step in sorted(found) if found[step].is_file()]


# --- an energy over a box -------------------------------------------------------------------------


def bounding_box(x: Tensor) -> tuple[Tensor, Tensor]:
    """The corners (D,) of the box that holds x (N, D), a border around it."""
    low, high = x.amin(0), x.amax(0)
    border = BORDER * (high - low).clamp_min(1e-3)
    return low - border, high + border


def grid_axes(low: Tensor, high: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """`side` numbers at equal steps from border to border: those across, and those up."""
    across, up = (torch.linspace(float(a), float(b), side) for a, b in zip(low, high, strict=True))
    return across, up


def cell_centres(low: Tensor, high: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """The middles of `cells` equal parts of each side: those across, and those up."""
    half = (high - low) / (2 * cells)
    return grid_axes(low + half, high - half, cells)


def energy_grid(energy: Function, low: Tensor, high: Tensor, side: int = SIDE) -> Tensor:
    """U (side, side) over the box; rows go up, columns across."""
    with torch.no_grad():
        parts = _places(*grid_axes(low, high, side)).split(AT_ONCE)
        return torch.cat([energy(part).float().cpu() for part in parts]).view(side, side)


def force(energy: Function, x: Tensor) -> Tensor:
    """−∇U at x (N, 2), float32 on the CPU."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(energy(x).sum(), x)
    return -slope.float().cpu()


def force_grid(energy: Function, low: Tensor, high: Tensor, arrows: int = ARROWS) -> Tensor:
    """−∇U (arrows, arrows, 2) at the middles of the box's cells, laid out as `energy_grid`."""
    return force(energy, _places(*cell_centres(low, high, arrows))).view(arrows, arrows, 2)


def on_device(
    energy: Function, device: torch.device, dtype: torch.dtype = torch.float32
) -> Function:
    """The same of points wherever they are: the energy sees them on its device, in its type."""
    return lambda x: energy(x.to(device, dtype))


def _places(across: Tensor, up: Tensor) -> Tensor:
    """Points (len(up) * len(across), 2), row by row."""
    y, x = torch.meshgrid(up, across, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


# --- in training ----------------------------------------------------------------------------------


def has_landscape(domain: Domain) -> bool:
    """Whether examples are points in the plane, with an energy of their own."""
    return domain.shape == (2,) and domain.condition_shape is None


class Landscapes(Periodic):
    """Every `every` steps, before the first and after the last, a landscape in the run's folder.

    Of the weights that a run is evaluated with, averaged where there are any. A model that takes
    labels is shown by its energy under any label. Nothing that training reads is changed.
    """

    def __init__(self, folder: RunFolder, every: int, data: DataSet) -> None:
        super().__init__(every)
        self.folder = folder
        self.classes = data.domain.classes
        real = data.gather(torch.arange(min(OF_DATA, len(data)))).x.float().cpu()
        self.low, self.high = bounding_box(real)
        self.real = real[:SHOWN]

    def start(self, loop: TrainState) -> None:
        if loop.step == 0 and self.every:
            loop.ranks.first(lambda: self._write(loop))

    def take(self, loop: TrainState) -> Landscape:
        """The landscape of the loop as it stands."""
        networks, labels = loop.averaged(), None
        loop.estimate_statistics([networks])
        network = cast(Energy, networks["energy"])
        if loop.conditional and self.classes:
            network = MinimumOverLabels(network, self.classes)
            labels = torch.arange(SHOWN, device=loop.engine.device) % self.classes
        made = draw(loop, SHOWN, "landscape", labels)
        energy = on_device(potential(network), loop.engine.device, loop.engine.dtype)
        with frozen(network), evaluating(network):
            found = (
                energy_grid(energy, self.low, self.high),
                force_grid(energy, self.low, self.high),
            )
        return Landscape(
            *found,
            self.low,
            self.high,
            torch.empty(0, 2) if made is None else made.float().cpu(),
            self.real,
            step=loop.step,
            seed=loop.randomness.seeds[0],
            weights=loop.weights,
        )

    def _write(self, loop: TrainState) -> None:
        taken = self.take(loop)
        path = self.folder.landscapes / f"{checkpoint_name(loop.step)}.npz"
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, taken.to_bytes())
        where = str(path.relative_to(self.folder.path))
        self.folder.append("landscape", step=loop.step, path=where, weights=taken.weights)
