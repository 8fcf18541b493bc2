"""Adaptive augmentation: each change by its definition, and p by the rule that steers it."""

from math import pi

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import (
    Batch,
    Context,
    Domain,
    Draw,
    Energy,
    Loss,
    Objective,
    Randomness,
    Scored,
    SettingError,
)
from energan.models import ebgan_conv, gan
from energan.objectives import Logistic, Relativistic
from energan.objectives.adaptive import (
    DRAWS,
    AdaptiveAugment,
    AdaptivelyAugmented,
    geometry,
    recolour,
    warp,
)

IMAGES = Domain((3, 8, 8), -1.0, 1.0)


def images(*shape: int) -> Tensor:
    g = torch.Generator().manual_seed(2)
    return torch.rand(shape, generator=g, dtype=torch.float64) * 2 - 1


def draws(count: int = 1, **given: float) -> tuple[Tensor, Tensor]:
    """Uniform and normal draws that change nothing at p = ½, but for those that are given: u3 = 0.1
    is the fourth uniform one."""
    uniform = torch.full((count, DRAWS), 0.99).double()
    normal = torch.zeros(count, DRAWS).double()
    for name, value in given.items():
        (uniform if name[0] == "u" else normal)[:, int(name[1:])] = value
    return uniform, normal


HALF = torch.full((1,), 0.5).double()


def moved(x: Tensor, **given: float) -> Tensor:
    uniform, normal = draws(len(x), **given)
    return warp(x, geometry(uniform, normal, HALF.expand(len(x)), *x.shape[2:]))


def test_pixels_are_flipped_turned_and_moved_whole() -> None:
    x = images(2, 3, 8, 8)
    assert torch.equal(moved(x), x)
    torch.testing.assert_close(moved(x, u0=0.1, u9=0.2), x.flip(3))
    assert torch.equal(moved(x, u0=0.1, u9=0.7), x)  # the coin says no
    for quarter in range(4):
        found = moved(x, u1=0.1, u10=quarter / 4 + 0.1)
        torch.testing.assert_close(found, x.rot90(quarter, (2, 3)))
    shifted = moved(x, u2=0.1, u11=0.99, u12=0.01)  # one to the right, one up, of 8
    padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
    torch.testing.assert_close(shifted, padded[..., :-2, 2:])


def test_sizes_and_angles() -> None:
    """Of a plane that rises to the right, the slope tells both; rectangles too."""
    x = torch.linspace(-3.5, 3.5, 8).double().expand(1, 1, 6, 8)
    middle = (slice(None), slice(None), slice(2, 4), slice(3, 5))
    slope = lambda y: float((y[middle][..., 1] - y[middle][..., 0]).mean())  # noqa: E731
    assert slope(moved(x, u3=0.1, n0=-2.0)) == pytest.approx(2**-0.4)
    assert slope(moved(x, u4=0.1, n1=1.0)) == pytest.approx(2**0.2)
    share = 1 - 0.5**0.5  # of each of two rotations at p = ½
    assert slope(moved(x, u7=share - 0.01, u13=0.5 + 1 / 6)) == pytest.approx(0.5)  # by 60°
    assert slope(moved(x, u7=share + 0.01, u13=0.5 + 1 / 6)) == pytest.approx(1)
    assert float(moved(x, u5=0.1, n2=0.5)[0, 0, 3, 3]) == pytest.approx(-0.5 + 0.5)


def test_colours() -> None:
    x = images(2, 3, 4, 4)
    p = HALF.expand(2)

    def seen(of: Tensor = x, **given: float) -> Tensor:
        return recolour(of, *draws(2, **given), p)

    torch.testing.assert_close(seen(), x)
    torch.testing.assert_close(seen(u15=0.1, n4=1.0), x + 0.2)
    torch.testing.assert_close(seen(u16=0.1, n5=2.0), 2 * x)
    dark = seen(u17=0.1, u20=0.1)
    light = x.mean(1, keepdim=True)
    torch.testing.assert_close(dark, x - 2 * light)
    torch.testing.assert_close(seen(images(2, 1, 4, 4), u17=0.1, u20=0.1), -images(2, 1, 4, 4))
    torch.testing.assert_close(seen(u19=0.1, n6=1.0), light + 2 * (x - light))
    axis = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]).double() / 3**0.5
    turn = torch.linalg.matrix_exp(axis * (0.3 * 2 - 1) * pi)
    expected = torch.einsum("ij,bjhw->bihw", turn, x)
    torch.testing.assert_close(seen(u18=0.1, u21=0.3), expected)


def test_at_0_nothing_changes_and_at_1_nearly_all_does() -> None:
    x, randomness = images(2, 40, 3, 8, 8), Randomness([3, 4], dtype=torch.float64)
    augment = AdaptiveAugment(-1.0, 1.0, torch.tensor([0.0, 1.0]))
    seen = augment(x, randomness.at(0))
    torch.testing.assert_close(seen[0], x[0])
    assert float((seen[1] - x[1]).abs().mean()) > 0.2
    alone = AdaptiveAugment(-1.0, 1.0, torch.ones(1))
    other = alone(x[1], Randomness([4], dtype=torch.float64).at(0))
    torch.testing.assert_close(seen[1], other)  # a member's draws are its single run's


def test_penalties_go_through_it() -> None:
    x = images(2, 2, 4, 5).requires_grad_()
    g = torch.Generator().manual_seed(0)
    uniform = torch.rand(2, DRAWS, generator=g).double()
    normal = torch.randn(2, DRAWS, generator=g).double()
    maps = geometry(uniform, normal, torch.ones(2).double(), 4, 5)
    of = lambda x: recolour(warp(x, maps), uniform, normal, torch.ones(2)).pow(3)  # noqa: E731
    assert torch.autograd.gradcheck(of, (x,))
    assert torch.autograd.gradgradcheck(of, (x,))


# --- p --------------------------------------------------------------------------------------------


class Level(Energy):
    """U is what the first pixel says."""

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: str) -> Scored:
        return Scored(x[..., 0, 0, 0])


def steered(pairs: bool, real: list[float], fake: list[float], calls: int) -> AdaptivelyAugmented:
    objective = AdaptivelyAugmented(
        Relativistic() if pairs else Logistic(), -9, 9, pairs=pairs, images=100
    )
    context = Context(0, {}, Randomness([0]).at(0))
    objective.state = objective.init(context)
    x, made = (torch.tensor(v)[:, None, None, None].expand(-1, 1, 4, 4) for v in (real, fake))
    for _ in range(calls):
        loss = objective.energy_loss(Level(), Batch(x), Draw(made), context)
    assert {"augment_p", "augment_r"} <= loss.parts.keys()
    return objective


@pytest.mark.parametrize(
    ("pairs", "real", "moves"),
    [
        (False, [-1, -2, -1, -3, 5], 0),  # r = 0.6
        (False, [-1, -2, -1, -3, -5], 1),
        (False, [-1, -2, 1, -3, 5], -1),
        (True, [7, 7, 7, 7, 7], 1),  # all below those of samples, wherever D's level is
        (True, [7, 9, 7, 9, 7], -1),
    ],
)
def test_p_follows_the_sign_of_d(pairs: bool, real: list[float], moves: int) -> None:
    fake = [8.0] * 5
    found = steered(pairs, [float(u) for u in real], fake, 3)
    assert float(found.state["augment_p"]) == 0  # not before the fourth batch
    found = steered(pairs, [float(u) for u in real], fake, 4)
    if moves:
        assert float(found.state["augment_p"]) == pytest.approx(max(0, moves) * 4 * 5 / 100)
    assert float(found.state["augment_images"]) == 0


def test_what_another_objective_carries_is_carried() -> None:
    class Counting(Objective):
        def init(self, context: Context) -> dict[str, Tensor]:
            return {"steps": torch.zeros(1)}

        def energy_loss(self, energy, batch, draw, context) -> Loss:
            self.state["steps"] += 1
            return Loss(energy(batch.x, stream="real").energy.mean().view(1))

    wrapped = AdaptivelyAugmented(Counting(), -1, 1, pairs=False)
    context = Context(0, {}, Randomness([0]).at(0))
    wrapped.state = wrapped.init(context)
    wrapped.energy_loss(Level(), Batch(images(2, 1, 4, 4)), None, context)
    assert float(wrapped.state["steps"]) == 1
    assert set(wrapped.state) == {"steps", *AdaptivelyAugmented.OWN}


def test_models_that_cannot_are_refused() -> None:
    tiny = gan.Config.tiny().model_copy(update={"output": "linear", "augment": ("adaptive",)})
    built = gan.build(tiny, IMAGES)
    assert isinstance(built.objective, AdaptivelyAugmented)
    assert not built.objective.pairs
    assert gan.build(tiny.model_copy(update={"loss": "relativistic"}), IMAGES).objective.pairs
    both = tiny.model_copy(update={"augment": ("adaptive", "cutout")})
    with pytest.raises(SettingError, match="leave out cutout"):
        gan.build(both, IMAGES)
    with pytest.raises(SettingError, match="wasserstein does not give"):
        gan.build(tiny.model_copy(update={"loss": "wasserstein", "gradient_penalty": 10.0}), IMAGES)
    auto = ebgan_conv.Config.tiny().model_copy(update={"augment": ("adaptive",)})
    with pytest.raises(SettingError, match="does not give: use colour"):
        ebgan_conv.build(auto, IMAGES)
    with pytest.raises(SettingError, match="leave it unset"):
        gan.build(tiny, Domain((2,)))
