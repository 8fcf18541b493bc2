"""The ladder network as an energy: U against the plain equations, in training and evaluation."""

import pytest
import torch
from torch import Tensor

from energan.core import Randomness, Stream, attach, calibrating
from energan.energies.ladder import LadderEnergy
from energan.nets.ladder import Ladder
from energan.training.cohort import stack
from support import plain_ladder as plain

EVENT = (1, 2, 4)
WIDTHS = (8, 6, 5, 3)
SIZES: dict[Stream, int] = {"real": 9, "fake": 7, "labelled": 6}


def ladder_energy(noise: float = 0.0, costs: tuple[float, ...] = (), seed: int = 0) -> LadderEnergy:
    energy = LadderEnergy(plain.randomised(Ladder(WIDTHS, noise), seed), EVENT, costs)
    attach(energy, Randomness([0], dtype=torch.float64))
    return energy


def events(count: int = 9, seed: int = 3) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(count, *EVENT, generator=g, dtype=torch.float64)


def batches() -> dict[Stream, Tensor]:
    return {s: events(n, seed) for seed, (s, n) in enumerate(SIZES.items())}


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("costs", [(), (0.1, 0.2, 0.7), (0.0, 0.0, 2.0)])
def test_u_is_the_sum_of_squares_and_the_weighted_costs_of_the_layers(
    costs: tuple[float, ...],
) -> None:
    energy, parts = ladder_energy(0.0, costs), batches()
    w = plain.weights_of(energy.network)
    scored = energy.score(parts)
    for stream in ("real", "fake"):
        up = plain.encode(w, parts[stream].flatten(1))
        guesses = plain.decode(w, up)
        bottom, *above = plain.costs(up, guesses)
        wanted = bottom + sum(c * a for c, a in zip(costs, above, strict=False))
        close(scored[stream].energy, wanted)
        close(scored[stream].reconstruction, guesses[0].reshape(-1, *EVENT))
        close(scored[stream].logits, up.logits)
    close(scored["labelled"].logits, plain.encode(w, parts["labelled"].flatten(1)).logits)


@pytest.mark.parametrize("costs", [(), (0.1, 0.2, 0.7)])
def test_with_noise_the_guesses_are_of_the_noisy_encoder_and_the_targets_clean(
    costs: tuple[float, ...],
) -> None:
    """U = ‖x − ẑ⁰‖² + …: x itself, not x̃."""
    energy, x = ladder_energy(0.3, costs), events()
    w, draws = plain.weights_of(energy.network), Randomness([6], dtype=torch.float64)
    attach(energy, draws)
    draws.at("here")
    z = energy.network.encode({"real": x.flatten(1)})["real"].layers
    draws.at("here")
    scored = energy(x, stream="real")
    guesses = plain.decode(w, plain.encode(w, x.flatten(1), z))
    bottom, *above = plain.costs(plain.encode(w, x.flatten(1)), guesses)
    close(scored.energy, bottom + sum(c * a for c, a in zip(costs, above, strict=False)))


def test_the_labelled_part_is_classified_and_not_reconstructed() -> None:
    """No cost, no reconstruction, and no gradient in the decoder."""
    energy = ladder_energy(0.3)
    scored = energy.score(batches())["labelled"]
    assert not scored.energy.any()
    assert scored.reconstruction is None
    assert scored.logits is not None
    scored.logits.square().sum().backward()
    for name, p in energy.network.named_parameters():
        down = name.startswith(("down", "combinators"))
        assert (p.grad is None or not p.grad.any()) == down, name


@pytest.mark.parametrize("costs", [(), (0.1, 0.2, 0.7)])
def test_no_part_reaches_another_in_values_or_gradients(costs: tuple[float, ...]) -> None:
    energy, parts = ladder_energy(0.0, costs), batches()
    for stream in ("real", "fake"):
        leaves = {s: x.clone().requires_grad_() for s, x in parts.items()}
        scored = energy.score(leaves)[stream]
        close(scored.energy, energy(parts[stream], stream=stream).energy)
        gradients = torch.autograd.grad(
            scored.energy.sum(), list(leaves.values()), materialize_grads=True
        )
        reached = [s for s, g in zip(leaves, gradients, strict=True) if g.any()]
        assert reached == [stream]


@pytest.mark.parametrize("costs", [(), (0.1, 0.2, 0.7)])
def test_the_whole_gradient_reaches_x_through_the_decoder(costs: tuple[float, ...]) -> None:
    """For G: 2(x − ẑ⁰) alone, with the reconstruction held, is not it."""
    energy, x = ladder_energy(0.0, costs), events(5).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: energy(v, stream="fake").energy, x)
    scored = energy(x, stream="fake")
    whole = torch.autograd.grad(scored.energy.sum(), x)[0]
    held = 2 * (x - scored.reconstruction).detach()
    assert (whole - held).norm() > 0.1 * held.norm()


def calibrated(energy: LadderEnergy, data: Tensor, chunk: int) -> None:
    with torch.no_grad(), calibrating(energy):
        for part in data.split(chunk):
            energy(part, stream="eval")


@pytest.mark.parametrize("costs", [(), (0.1, 0.2, 0.7)])
def test_evaluation_uses_the_statistics_of_a_clean_pass(costs: tuple[float, ...]) -> None:
    """Measured on the batch itself they give the plain clean pass, although training has noise."""
    energy, x = ladder_energy(0.3, costs), events(50)
    calibrated(energy, x, 50)
    w = plain.weights_of(energy.network)
    up = plain.encode(w, x.flatten(1))
    guesses = plain.decode(w, up)
    bottom, *above = plain.costs(up, guesses)
    scored = energy(x, stream="eval")
    close(scored.logits, up.logits)
    close(scored.energy, bottom + sum(c * a for c, a in zip(costs, above, strict=False)))
    again = energy(x, stream="eval")
    assert torch.equal(scored.energy, again.energy)  # no noise


def test_evaluation_is_of_each_event_by_itself_and_left_alone_by_training() -> None:
    energy, x = ladder_energy(0.3), events(50)
    calibrated(energy, x, 10)
    before = energy(x, stream="eval")
    energy.score(batches())
    alone = [energy(one[None], stream="eval") for one in x]
    close(torch.cat([s.energy for s in alone]), before.energy)
    close(torch.cat([s.logits for s in alone]), before.logits)


def test_a_cohort_scores_as_its_members() -> None:
    together = stack([ladder_energy(0.3, (0.1, 0.2, 0.7), seed) for seed in (1, 2)])
    attach(together, Randomness([5, 6], dtype=torch.float64))
    parts = batches()
    both = {s: torch.stack([x, x.flip(0) ** 2]) for s, x in parts.items()}
    scored = together.score(both)
    for i in range(2):
        single = ladder_energy(0.3, (0.1, 0.2, 0.7), i + 1)
        attach(single, Randomness([5 + i], dtype=torch.float64))
        own = single.score({s: x[i] for s, x in both.items()})
        for stream in parts:
            close(scored[stream].energy[i], own[stream].energy)
            close(scored[stream].logits[i], own[stream].logits)


def test_u_is_never_negative_and_starts_as_the_square_of_x() -> None:
    """With the reference's first numbers every ẑ is 0."""
    energy = LadderEnergy(Ladder(WIDTHS, 0.3), EVENT).double()
    attach(energy, Randomness([0], dtype=torch.float64))
    x = events()
    assert energy.nonnegative
    close(energy(x, stream="real").energy, x.flatten(1).square().sum(1))
