"""The focal loss and that of cells, against their definitions."""

import pytest
import torch
import torch.nn.functional as F

from energan.core import Batch, Context, Draw, Randomness, SettingError
from energan.energies.anomaly_map import AnomalyMap
from energan.energies.logit import Logit
from energan.nets.mlp import mlp_logit
from energan.nets.segmentation import CellLogits
from energan.objectives import CellwiseFocal, focal
from energan.objectives.cells import balanced, mark_cells


@pytest.mark.parametrize("focus", [0.0, 0.5, 2.0, 5.0])
def test_focal_is_equation_4(focus: float) -> None:
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(50, generator=g, dtype=torch.float64) * 4
    anomalous = (torch.rand(50, generator=g) < 0.3).double()
    p = 1 / (1 + (-logits).exp())
    p_t = torch.where(anomalous > 0, p, 1 - p)
    torch.testing.assert_close(focal(logits, anomalous, focus), -((1 - p_t) ** focus) * p_t.log())


def test_focal_is_exact_and_has_a_gradient_where_it_is_sure() -> None:
    logits = torch.tensor([-200.0, 200.0, -200.0, 200.0], requires_grad=True)
    loss = focal(logits, torch.tensor([1.0, 1.0, 0.0, 0.0]), 2.0)
    torch.testing.assert_close(loss, torch.tensor([200.0, 0.0, 0.0, 200.0]))
    loss.sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([-1.0, 0.0, 0.0, 1.0]))


def test_a_cell_is_anomalous_by_the_share_of_its_pixels() -> None:
    mask = torch.zeros(1, 4, 6)
    mask[0, 0, 0] = mask[0, 2:, 2:4] = mask[0, 1, 5] = mask[0, 0, 5] = 1
    expected = torch.tensor([[[0.0, 0, 1], [0, 1, 0]]])
    assert torch.equal(mark_cells(mask, 2, 3, 0.3), expected)
    assert torch.equal(mark_cells(mask, 2, 3, 0.25)[0, 0], torch.tensor([1.0, 0, 1]))
    assert torch.equal(mark_cells(mask, 4, 6, 0.3), mask)


def test_a_crack_counts_as_much_as_a_region() -> None:
    """Each image's mean over its anomalous cells, then over images: by hand."""
    losses = torch.tensor([[[1.0, 2, 3, 4]], [[5, 6, 7, 8]], [[9, 10, 11, 12]]])
    anomalous = torch.tensor([[[1.0, 0, 0, 0]], [[1, 1, 1, 0]], [[0, 0, 0, 0]]])
    of_defects, of_normal = (1 + 6) / 2, (3 + 8 + 10.5) / 3
    found = balanced(losses, anomalous, 0.25)
    assert float(found) == pytest.approx(0.25 * of_defects + 0.75 * of_normal)


@pytest.mark.parametrize(("normal", "kept"), [(1.0, 3), (0.5, 2), (0.1, 1)])
def test_the_loss_is_over_the_cells_and_the_images_of_data_and_draws(
    normal: float, kept: int
) -> None:
    torch.manual_seed(0)
    energy = AnomalyMap(CellLogits(1, (4, 4), 2), 1.0)
    x, made, mask = torch.randn(3, 1, 8, 12), torch.randn(3, 1, 8, 12), torch.zeros(3, 8, 12)
    mask[0, :4, :6] = mask[2, 6:, :] = 1
    context = Context(0, {}, Randomness([0]))
    found = CellwiseFocal(2.0, 0.25, 0.3, 0.5, normal).energy_loss(
        energy, Batch(x), Draw(made, mask=mask), context
    )
    logits = energy.logits(torch.cat([x[:kept], made]), "real")
    u = energy.score(logits).energy
    cells = torch.cat([torch.zeros(kept, 4, 6), mask[:, ::2, ::2]])
    defective = torch.tensor(kept * [0.0] + [1, 0, 1])  # the draw without a defect is normal
    expected = balanced(focal(logits, cells, 2), cells, 0.25)
    expected = expected + 0.3 * F.binary_cross_entropy_with_logits(u, defective)
    torch.testing.assert_close(found.total, expected.reshape(1))
    for name, half in (("energy_real", u[:kept]), ("energy_fake", u[kept:])):
        torch.testing.assert_close(found.parts[name], half.mean().view(1))


def test_draws_without_defects_have_a_finite_loss() -> None:
    energy = AnomalyMap(CellLogits(1, (4, 4), 2))
    x = torch.randn(2, 1, 8, 8)
    draw = Draw(x, mask=torch.zeros(2, 8, 8))
    found = CellwiseFocal().energy_loss(energy, Batch(x), draw, Context(0, {}, Randomness([0])))
    assert found.total.isfinite().all()


def test_an_energy_without_cells_is_refused() -> None:
    with pytest.raises(SettingError, match="needs an energy with an anomaly map"):
        CellwiseFocal().check(Logit(mlp_logit((3,), (4,), norm=False)))
