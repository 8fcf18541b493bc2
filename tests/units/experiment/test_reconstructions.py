"""What is shown of energies that learn from noisy events."""

import torch

from energan.core import Randomness, attach
from energan.energies.ladder import LadderEnergy
from energan.energies.logit import Logit
from energan.experiment.callbacks.reconstructions import IN_A_ROW, denoises, reconstruct_noisy, rows
from energan.nets.dense import Dense, Sequential
from energan.nets.ladder import Ladder

SHAPE = (1, 4, 4)


def ladder(noise: float = 0.3) -> LadderEnergy:
    torch.manual_seed(0)
    energy = LadderEnergy(Ladder((16, 6, 3), noise), SHAPE)
    attach(energy, Randomness([0]))
    return energy


def test_only_energies_with_noise_have_something_to_restore() -> None:
    assert denoises(ladder())
    assert not denoises(Logit(Sequential(Dense(16, 1))))


def test_the_event_is_shown_as_the_network_saw_it() -> None:
    """The energy of training is the squared distance of the event from what is shown."""
    energy, x = ladder(), torch.rand(20, *SHAPE)
    draws = Randomness([0])
    attach(energy, draws.at("here"))
    seen, made = reconstruct_noisy(energy, x)
    assert made is not None
    attach(energy, draws.at("here"))
    scored = energy(x, stream="real")
    torch.testing.assert_close(made, scored.reconstruction)
    torch.testing.assert_close((made - x).square().sum((1, 2, 3)), scored.energy)
    noise = draws.at("here").normal(20, 16).reshape(x.shape)
    torch.testing.assert_close(seen - x, 0.3 * noise)


def test_looking_changes_nothing() -> None:
    energy, x = ladder(), torch.rand(20, *SHAPE)
    before = {name: value.clone() for name, value in energy.state_dict().items()}
    reconstruct_noisy(energy, x)
    assert all(torch.equal(value, before[name]) for name, value in energy.state_dict().items())
    assert not any(layer._forward_hooks for layer in energy.modules())
    assert energy.training


def test_each_image_stands_above_what_became_of_it() -> None:
    event, seen = (
        torch.arange(40.0).reshape(40, 1, 1, 1),
        torch.arange(100.0, 140).reshape(-1, 1, 1, 1),
    )
    x, columns = rows([event, seen])
    table = x.reshape(-1, columns)
    assert columns == IN_A_ROW
    assert len(table) == 4
    assert torch.equal(table[1] - table[0], torch.full((columns,), 100.0))
    assert table[2, 0] == columns
    few, columns = rows([event[:5], seen[:5]])
    assert columns == 5
    assert few.reshape(-1, 5).tolist() == [[0, 1, 2, 3, 4], [100, 101, 102, 103, 104]]
