"""Learning from few labels: losses against plain numbers, m = 0 against the plain ladder."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import Tensor, nn

from energan.core import (
    Batch,
    Context,
    Draw,
    Energy,
    Randomness,
    Scored,
    SettingError,
    Stream,
    attach,
)
from energan.energies.ladder import LadderEnergy
from energan.energies.logit import Logit
from energan.nets.ladder import Ladder
from energan.nets.mlp import mlp_logit
from energan.objectives.few_labels import FewLabels
from support import plain_ladder as plain

CLASSES, INPUTS = 3, 6
OBJECTIVE = FewLabels()


def numbers(*shape: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=g, dtype=torch.float64)


def hyper(members: int = 1, **values: float) -> dict[str, Tensor]:
    whole = {"classification": 2.5, "reconstruction": 1.5, "margin": 4.0, "contrast": 0.7, **values}
    return {k: torch.full((members, 1), v, dtype=torch.float64) for k, v in whole.items()}


def context(members: int = 1, **values: float) -> Context:
    return Context(0, hyper(members, **values), Randomness(range(members), dtype=torch.float64))


class Given(Energy):
    """U and logits that are the numbers of an event themselves: the first, and the rest."""

    nonnegative = True

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        return self.score({stream: x})[stream]

    def score(self, parts: dict[Stream, Tensor]) -> dict[Stream, Scored]:
        return {s: Scored(x[..., 0], logits=x[..., 1:]) for s, x in parts.items()}


def batch(lead: tuple[int, ...] = ()) -> tuple[Batch, Draw, Tensor]:
    x, fake, known = (8 * numbers(*lead, n, 1 + CLASSES, seed=s) for s, n in enumerate((7, 5, 6)))
    labels = (torch.arange(6) % CLASSES).expand(*lead, 6)
    return Batch(x, labelled=Batch(known, labels)), Draw(fake), labels


@pytest.mark.parametrize("margin", [0.0, 3.0, 100.0])
@pytest.mark.parametrize("contrast", [0.0, 0.7])
def test_the_loss_is_cross_entropy_and_the_weighted_margin(margin: float, contrast: float) -> None:
    """w·CE + λ(mean U + c · mean [m − U]^+), the hinge on each sample."""
    given, draw, labels = batch()
    loss = OBJECTIVE.energy_loss(Given(), given, draw, context(margin=margin, contrast=contrast))
    logits = given.labelled.x[:, 1:].numpy()
    odds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    crossed = log_loss(labels.numpy(), odds, labels=range(CLASSES))
    real = given.x[:, 0].tolist()
    hinge = sum(max(0.0, margin - u) for u in draw.x[:, 0].tolist()) / 5
    wanted = 2.5 * crossed + 1.5 * (sum(real) / 7 + contrast * hinge)
    assert loss.total.shape == (1,)
    assert loss.total.item() == pytest.approx(wanted, rel=1e-12)
    told = {name: value.item() for name, value in loss.parts.items()}
    assert told["cross_entropy"] == pytest.approx(crossed)
    assert told["energy_real"] == pytest.approx(sum(real) / 7)
    assert told["energy_fake"] == pytest.approx(draw.x[:, 0].mean().item())


def test_without_a_draw_it_is_the_ladders_own_loss() -> None:
    given, _, labels = batch()
    loss = OBJECTIVE.energy_loss(Given(), given, None, context())
    crossed = nn.functional.cross_entropy(given.labelled.x[:, 1:], labels)
    assert loss.total.item() == pytest.approx((2.5 * crossed + 1.5 * given.x[:, 0].mean()).item())
    assert "energy_fake" not in loss.parts


def test_the_samplers_loss_is_the_mean_energy() -> None:
    given, draw, _ = batch()
    x = draw.x.clone().requires_grad_()
    loss = OBJECTIVE.sampler_loss(Given(), given, Draw(x), context())
    assert loss.total.item() == pytest.approx(x[:, 0].mean().item())
    loss.total.sum().backward()
    assert x.grad[:, 0].tolist() == pytest.approx([1 / 5] * 5)


def test_each_member_has_a_loss_of_its_own() -> None:
    given, draw, _ = batch((2,))
    values = hyper(2)
    values["margin"] = torch.tensor([[1.0], [6.0]], dtype=torch.float64)
    both = Context(0, values, Randomness([0, 1]))
    found = OBJECTIVE.energy_loss(Given(), given, draw, both).total
    assert found.shape == (2,)
    for i, margin in enumerate((1.0, 6.0)):
        known = Batch(given.labelled.x[i], given.labelled.condition[i])
        own = OBJECTIVE.energy_loss(
            Given(), Batch(given.x[i], labelled=known), Draw(draw.x[i]), context(margin=margin)
        )
        assert found[i].item() == pytest.approx(own.total.item(), rel=1e-12)


# --- with the ladder network ----------------------------------------------------------------------


def ladder_energy(noise: float) -> LadderEnergy:
    return LadderEnergy(plain.randomised(Ladder((INPUTS, 5, 4, CLASSES), noise)), (INPUTS,))


def gradients(noise: float, draw: Draw | None, margin: float) -> dict[str, Tensor]:
    energy = ladder_energy(noise)
    now = context(margin=margin)
    attach(energy, now.generator.at("step"))
    known = Batch(numbers(6, INPUTS, seed=1), torch.arange(6) % CLASSES)
    given = Batch(numbers(9, INPUTS, seed=2), labelled=known)
    OBJECTIVE.energy_loss(energy, given, draw, now).total.sum().backward()
    return {n: p.grad for n, p in energy.named_parameters() if p.grad is not None}


def test_at_margin_0_the_gradients_are_the_plain_ladders() -> None:
    """The fakes are there, and change nothing; with a margin they do."""
    fakes = Draw(numbers(9, INPUTS, seed=3))
    alone, beside = gradients(0.0, None, 0.0), gradients(0.0, fakes, 0.0)
    assert alone.keys() == beside.keys()
    assert len(alone) == len(list(ladder_energy(0.0).parameters()))
    for name, gradient in alone.items():
        torch.testing.assert_close(beside[name], gradient, rtol=1e-10, atol=1e-12)
    pushed = gradients(0.0, fakes, 1000.0)
    assert any((pushed[n] - g).norm() > 0.1 * g.norm() for n, g in alone.items())


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_loss_of_a_ladder_is_that_of_the_plain_equations(noise: float) -> None:
    """Cross-entropy of the noisy logits, and the sums of squares; λ and the hinge beside them."""
    energy = ladder_energy(noise)
    w = plain.weights_of(energy.network)
    known = Batch(numbers(6, INPUTS, seed=1), torch.arange(6) % CLASSES)
    x, fake = numbers(9, INPUTS, seed=2), numbers(9, INPUTS, seed=3)
    now = context(margin=3.0)
    attach(energy, now.generator)
    now.generator.at("step")
    parts: dict[Stream, Tensor] = {"real": x, "fake": fake, "labelled": known.x}
    encoded = energy.network.encode(parts)
    now.generator.at("step")
    loss = OBJECTIVE.energy_loss(energy, Batch(x, labelled=known), Draw(fake), now)
    ups = {s: plain.encode(w, v, encoded[s].layers) for s, v in parts.items()}
    u = {s: ((parts[s] - plain.decode(w, ups[s])[0]) ** 2).sum(1) for s in ("real", "fake")}
    log_odds = ups["labelled"].logits.log_softmax(1)
    crossed = -sum(log_odds[i, k] for i, k in enumerate(known.condition.tolist())) / 6
    hinge = (3.0 - u["fake"]).clamp_min(0).mean()
    wanted = 2.5 * crossed + 1.5 * (u["real"].mean() + 0.7 * hinge)
    assert math.isclose(loss.total.item(), wanted.detach().item(), rel_tol=1e-10)


def test_what_it_cannot_learn_from_is_refused() -> None:
    with pytest.raises(SettingError, match="Logit is not one: use a ladder network"):
        OBJECTIVE.check(Logit(mlp_logit((4,), (3,), norm=False)))
    OBJECTIVE.check(ladder_energy(0.0))
    given, draw, _ = batch()
    with pytest.raises(SettingError, match="needs batches with labelled examples"):
        OBJECTIVE.energy_loss(Given(), Batch(given.x), draw, context())
