"""Logits of cells: sizes, what each one sees, and the norms against their definitions."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from energan.nets.segmentation import Cell, CellLogits, LocalNorm, RunningBatchNorm


def network(cell: Cell = 2, scales: int = 3, before: LocalNorm | None = None) -> CellLogits:
    torch.manual_seed(0)
    made = CellLogits(1, (4, 6, 8, 8)[:scales], cell, before)
    for layer in made.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.3)
    return made


@pytest.mark.parametrize("cell", [1, 2, 4])
@pytest.mark.parametrize("sides", [(16, 24), (17, 23), (1, 1), (5, 40), (33, 9)])
def test_each_cell_has_a_logit_whatever_the_sides(cell: Cell, sides: tuple[int, int]) -> None:
    height, width = sides
    found = network(cell)(torch.randn(2, 1, *sides), "eval")
    assert found.shape == (2, -(-height // cell), -(-width // cell))
    assert found.isfinite().all()


@pytest.mark.parametrize("cell", [1, 2, 4])
def test_a_window_gets_the_logits_of_the_whole_image(cell: Cell) -> None:
    """Away from its border, where it begins at a multiple of the coarsest cell."""
    net, x = network(cell), torch.randn(1, 1, 160, 192)
    with torch.no_grad():
        whole = net(x, "eval")
        window = net(x[..., 16:144, 32:176], "eval")
    own = whole[..., 16 // cell : 144 // cell, 32 // cell : 176 // cell]
    inner = (..., slice(48 // cell, 80 // cell), slice(48 // cell, 96 // cell))
    torch.testing.assert_close(window[inner], own[inner], atol=1e-4, rtol=1e-4)
    assert (window - own).abs().max() > 1e-3  # at the border it is another


def test_the_coarsest_scale_reaches_far() -> None:
    net, x = network(2, scales=4), torch.randn(1, 1, 128, 128, requires_grad=True)
    net(x, "eval")[0, 32, 32].backward()
    assert x.grad is not None
    seen = x.grad[0, 0].abs().sum(0).nonzero().flatten()
    assert int(seen.max() - seen.min()) > 40


def local(x: Tensor, window: int = 16) -> Tensor:
    """The part that is compared with what is around."""
    made: Tensor = LocalNorm(window, -1.0)(x)
    assert torch.equal(made[:, : x.shape[1]], x)
    return made[:, 2 * x.shape[1] :]


def test_what_is_plain_or_a_slope_does_not_differ_from_around() -> None:
    slope = torch.linspace(-0.5, 0.5, 96).expand(1, 2, 64, 96)
    inner = (..., slice(16, 48), slice(16, 80))
    assert local(torch.full((1, 1, 40, 40), 0.3)).abs().max() < 1e-4
    assert local(slope)[inner].abs().max() < 0.03


def test_a_photograph_of_another_brightness_and_contrast_looks_the_same() -> None:
    x = F.interpolate(torch.randn(1, 1, 60, 60), 120, mode="bilinear").clamp(-4, 4) / 10
    one, other = local(x), local(2 * x + 0.1)
    assert torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1] > 0.995
    assert float(one.std()) == pytest.approx(1, abs=0.3)  # less ε


def test_a_frame_is_left_out() -> None:
    x = torch.rand(1, 1, 64, 64)
    framed = F.pad(x, (32, 32, 32, 32), value=-1.0)
    found = local(framed)[..., 32:96, 32:96]
    torch.testing.assert_close(found, local(x), atol=0.05, rtol=0)  # but for what is interpolated
    assert (found - local(x)).abs().mean() < 2e-3
    assert (local(framed)[..., :32, :] == 0).all()


def test_each_image_is_compared_with_its_own_mean_without_its_frame() -> None:
    x = torch.rand(3, 2, 20, 24, generator=torch.Generator().manual_seed(0))
    found = LocalNorm(8, -1.0)(F.pad(x, (6, 6, 6, 6), value=-1.0))[:, 2:4, 6:-6, 6:-6]
    mean, deviation = x.mean((2, 3), keepdim=True), x.std((2, 3), keepdim=True, correction=0)
    torch.testing.assert_close(found, (x - mean) / (deviation + 0.02), atol=1e-4, rtol=1e-4)


def test_running_batch_norm_is_that_of_torch() -> None:
    own, theirs = RunningBatchNorm(3), torch.nn.BatchNorm2d(3, momentum=0.05)
    g = torch.Generator().manual_seed(0)
    for _ in range(4):
        x = 2 * torch.randn(5, 3, 6, 7, generator=g) + 1
        torch.testing.assert_close(own(x, "real"), theirs(x))
    torch.testing.assert_close(own(x, "eval"), theirs.eval()(x))
