"""Landscapes: maps and fields beside closed forms, files, and a hook that changes nothing."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from energan import models
from energan.core import DataError, Domain, Model, SettingError, place_seed
from energan.experiment.callbacks import landscapes
from energan.experiment.callbacks.landscapes import Landscape, Landscapes
from energan.io.run_folder import RunFolder
from energan.report.energy_map import energy_range
from energan.report.figures import animation
from energan.report.figures.landscape import density, smooth
from energan.report.snapshots import spread
from support.helpers import assert_identical, make_loop, small_data, snapshot

PLANE = Domain((2,), classes=10)


def land(energy: Tensor | None = None, step: int = 5, **more: Any) -> Landscape:
    """A small one with random numbers."""
    energy = torch.randn(9, 9) if energy is None else energy
    parts = {
        "pull": torch.randn(4, 4, 2), "low": torch.tensor([-1.0, -2.0]),
        "high": torch.tensor([3.0, 1.0]), "samples": torch.randn(7, 2), "data": torch.randn(5, 2),
        "step": step, "seed": 3, "weights": "ema",
    }  # fmt: skip
    return Landscape(energy, **{**parts, **more})


# --- the map and the field ------------------------------------------------------------------------


def test_heights_and_pulls_are_those_of_a_bowl() -> None:
    centre, a, b, c = torch.randn(2), 0.7, 2.0, 0.4

    def bowl(x: Tensor) -> Tensor:
        u, v = (x - centre).T
        return a * u**2 + b * v**2 + c * u * v

    low, high = torch.tensor([-3.0, -1.0]), torch.tensor([2.0, 4.0])
    found = landscapes.energy_grid(bowl, low, high, 51)
    for row, column in [(0, 0), (0, 50), (50, 0), (17, 33)]:  # rows go up, columns across
        at = low + (high - low) * torch.tensor([column, row]) / 50
        torch.testing.assert_close(found[row, column], bowl(at[None])[0])
    field = landscapes.force_grid(bowl, low, high, 10)
    for row, column in [(0, 9), (4, 2)]:
        u, v = low + (high - low) * (torch.tensor([column, row]) + 0.5) / 10 - centre
        slope = torch.stack([2 * a * u + c * v, 2 * b * v + c * u])
        torch.testing.assert_close(field[row, column], -slope)


def test_the_field_of_a_network_is_that_of_finite_differences() -> None:
    network = nn.Sequential(nn.Linear(2, 20), nn.Tanh(), nn.Linear(20, 1)).double()

    def energy(x: Tensor) -> Tensor:
        return network(x).squeeze(1)

    x, step = torch.randn(30, 2, dtype=torch.float64), 1e-6
    with torch.no_grad():
        found = landscapes.force(energy, x)  # also where nothing builds a graph
        sides = [step * torch.eye(2, dtype=torch.float64)[i] for i in (0, 1)]
        slopes = [(energy(x + side) - energy(x - side)) / (2 * step) for side in sides]
    torch.testing.assert_close(found, -torch.stack(slopes, 1).float(), atol=1e-5, rtol=1e-4)
    assert all(p.grad is None for p in network.parameters())


def test_the_density_is_that_of_a_gaussian() -> None:
    low, high = torch.tensor([-4.0, -6.0]), torch.tensor([4.0, 6.0])
    spread = torch.tensor([0.6, 0.9])
    energy = landscapes.energy_grid(
        lambda x: 0.5 * (x / spread).square().sum(1) + 40, low, high, 161
    )
    found = density(land(energy, low=low, high=high))
    peak = 1 / (2 * np.pi * float(spread.prod()))
    assert float(found[80, 80]) == pytest.approx(peak, rel=1e-4)
    across = found[80, 80 + 12]  # 0.6: one standard deviation
    assert float(across) == pytest.approx(peak * np.exp(-0.5), rel=1e-4)


def test_smoothed_points_integrate_to_one_and_lie_where_they_are() -> None:
    x = torch.randn(5000, 2) * 0.2 + torch.tensor([1.0, -1.0])
    low, high = torch.tensor([-1.0, -4.0]), torch.tensor([3.0, 1.0])
    found = smooth(x, low, high)
    cell = (high - low).double() / len(found)
    assert float(found.sum() * cell.prod()) == pytest.approx(1, abs=1e-3)
    row, column = divmod(int(found.argmax()), len(found))
    peak = low + cell * (torch.tensor([column, row]) + 0.5)
    assert float((peak - torch.tensor([1.0, -1.0])).norm()) < 0.3


# --- colours --------------------------------------------------------------------------------------


def test_colours_are_not_those_of_far_away_energies() -> None:
    energy = torch.rand(30, 30)
    energy[0], energy[1, 0], energy[1, 1] = 1e12, torch.inf, torch.nan
    low, high = energy_range([land(energy), land(torch.rand(30, 30))])
    assert 0 <= low < 0.05
    assert 0.8 < high <= 1
    low, high = energy_range([land(torch.full((5, 5), 3.0))])
    assert low < high


def test_colours_reach_into_a_narrow_well_and_leave_out_a_wild_step() -> None:
    energy = torch.rand(81, 81)
    energy[40, 40] = -7
    assert energy_range([land(energy)])[0] == -7
    wild = land(torch.randn(9, 9) * 1e6)
    low, high = energy_range([land(torch.rand(9, 9)) for _ in range(11)] + [wild])
    assert 0 <= low < high <= 1


@pytest.mark.parametrize("energy", [torch.full((9, 9), 2.0), torch.full((9, 9), torch.nan),
                                    torch.randn(9, 9) * 1e30])  # fmt: skip
def test_any_energy_is_drawn(energy: Tensor, tmp_path: Path) -> None:
    flat = torch.zeros(4, 4, 2)
    flat[0, 0] = torch.nan
    shown = [land(energy, pull=flat, samples=torch.empty(0, 2)), land(energy, step=6)]
    path = animation.save(shown, "x on y", tmp_path / "deep" / "a.gif")
    assert path.stat().st_size > 1000


# --- files ----------------------------------------------------------------------------------------


def test_a_landscape_comes_back_from_its_file(tmp_path: Path) -> None:
    written = land(samples=torch.empty(0, 2))
    (tmp_path / "a.npz").write_bytes(written.to_bytes())
    found = landscapes.read(tmp_path / "a.npz")
    for name, value in vars(written).items():
        back = getattr(found, name)
        assert torch.equal(back, value) if isinstance(value, Tensor) else back == value


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    whole = land().to_bytes()
    np.savez(tmp_path / "b.npz", x=np.zeros(3))
    (tmp_path / "a.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("a.npz", "b.npz"):
        with pytest.raises(DataError, match=rf"{name} is not a landscape .*: delete it"):
            landscapes.read(tmp_path / name)


def test_what_a_resume_undid_is_not_kept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.landscapes.mkdir()
    for step in (2, 4, 6, 8):
        path = f"landscapes/step-{step:06d}.npz"
        (tmp_path / path).touch()
        if step == 8:
            folder.append("resume", step=4)
        folder.append("landscape", step=step, path=path)
    (folder.landscapes / "step-000002.npz").unlink()
    assert [p.name for p in landscapes.files(folder)] == ["step-000004.npz", "step-000008.npz"]


def test_of_many_files_evenly_spread_ones_are_shown() -> None:
    files = [Path(str(i)) for i in range(1001)]
    shown = [int(str(p)) for p in spread(files, animation.MOST)]
    assert len(set(shown)) == animation.MOST
    assert (shown[0], shown[-1]) == (0, 1000)
    assert max(np.diff(shown)) <= min(np.diff(shown)) + 1


# --- the hook -------------------------------------------------------------------------------------


def _built(name: str) -> Model:
    """A model on labelled points in the plane. Raises SettingError if it takes none."""
    found = models.find(name)
    config = found.config.tiny()  # type: ignore[attr-defined]
    if "output" in type(config).model_fields:
        config = config.model_copy(update={"output": "linear"})
    with torch.random.fork_rng():
        torch.manual_seed(place_seed(0, "init"))
        return found.build(config, PLANE)


def _of_points() -> list[str]:
    taken = []
    for name in models.names():
        with suppress(SettingError):
            _built(name)
            taken.append(name)
    return taken


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("name", _of_points())
def test_training_is_the_same_with_and_without(name: str, ema: float, tmp_path: Path) -> None:
    data = small_data(PLANE)
    after = []
    for every in (0, 2):
        hooks = [Landscapes(RunFolder(tmp_path), every, data)] if every else []
        loop = make_loop([_built(name)], data, steps=5, ema=ema, hooks=hooks)
        loop.run()
        after.append(snapshot(loop))
    assert_identical(*after)
    kept = landscapes.files(RunFolder(tmp_path))
    assert [landscapes.read(p).step for p in kept] == [0, 2, 4, 5]
    assert landscapes.read(kept[-1]).weights == ("ema" if ema else "raw")
    assert not [p for p in (tmp_path / "landscapes").iterdir() if p.name.startswith(".")]


def test_the_hooks_landscape_is_the_energy_under_any_label(tmp_path: Path) -> None:
    data = small_data(PLANE)
    loop = make_loop([_built("cebgan")], data, steps=2, ema=0.9)
    loop.run()
    found = Landscapes(RunFolder(tmp_path), 1, data).take(loop)
    energy: Any = loop.averaged()["energy"]
    across, up = landscapes.grid_axes(found.low, found.high, landscapes.SIDE)
    at = torch.stack([across[10], up[60]])[None]
    with torch.no_grad():
        each = [energy(at, torch.tensor([y]), stream="eval").energy for y in range(10)]
    torch.testing.assert_close(found.energy[60, 10], torch.cat(each).min())
    real = data.events
    assert (real >= found.low).all()
    assert (real <= found.high).all()
    assert len(found.samples) == landscapes.SHOWN


def test_a_sampler_that_makes_no_samples_is_shown_without(tmp_path: Path) -> None:
    data = small_data(PLANE)
    loop = make_loop([_built("gan")], data, steps=1)
    loop.averaged()["sampler"].sample = lambda *_: None  # type: ignore[assignment]
    found = Landscapes(RunFolder(tmp_path), 1, data).take(loop)
    assert found.samples.shape == (0, 2)
    assert found.energy.isfinite().all()
    assert animation.save([found], "x", tmp_path / "x.gif").is_file()
