"""Randomness by place, rows of a context, and the marks that networks carry."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from torch import nn

from energan.core import (
    Batch,
    Calibrated,
    Config,
    Context,
    Domain,
    Draw,
    Energy,
    Loss,
    Noisy,
    Objective,
    Optimiser,
    Randomness,
    Sampler,
    Scored,
    SettingError,
    attach,
    calibrating,
    describe,
    evaluating,
    exact,
    frozen,
    frozen_weights,
    kept_while_frozen,
    place_seed,
)

DRAWS = {
    "normal": lambda r, *shape: r.normal(*shape),
    "uniform": lambda r, *shape: r.uniform(-2.0, 3.0, *shape),
    "keep": lambda r, *shape: r.keep(0.3, *shape),
}

# --- randomness -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAWS)
def test_the_same_place_gives_the_same_draws(name):
    """Draws depend on (seed, place), not on what was drawn before, nor on which object draws."""
    draw = DRAWS[name]
    r = Randomness([3])
    first = [draw(r.at(5, "train"), 4, 6), draw(r, 4, 6)]
    r.at(6, "train").normal(1000)
    again = [draw(r.at(5, "train"), 4, 6), draw(r, 4, 6)]
    other = Randomness([3]).at(5, "train")
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(draw(other, 4, 6), first[0])
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("place", [(5, "train"), (6, "energy"), (5,), (5, "energy", 0), (56,)])
@pytest.mark.parametrize("name", DRAWS)
def test_other_places_give_other_draws(name, place):
    """A neighbouring step, another purpose, a longer or shorter path."""
    draw = DRAWS[name]
    here = draw(Randomness([3]).at(5, "energy"), 100)
    assert not torch.equal(draw(Randomness([3]).at(*place), 100), here)
    assert not torch.equal(draw(Randomness([4]).at(5, "energy"), 100), here)


def test_neighbouring_places_and_seeds_are_unrelated():
    """First draws at 2,000 steps, and of 2,000 seeds, are standard normal and uncorrelated."""
    r = Randomness([0])
    steps = torch.stack([r.at(step).normal(2) for step in range(2000)]).double()
    seeds = torch.stack([Randomness([s]).at(0).normal(2) for s in range(2000)]).double()
    for x in (steps, seeds):
        assert kstest(x[:, 0].numpy(), "norm").pvalue > 1e-4
        for a, b in ((x[:, 0], x[:, 1]), (x[1:, 0], x[:-1, 0]), (steps[:, 0], seeds[:, 0])):
            assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 5 / math.sqrt(2000)


@pytest.mark.parametrize("name", DRAWS)
def test_members_draw_what_their_single_runs_draw(name):
    """With M seeds a draw is (M, *shape), and row i is that of seed i alone, draw after draw."""
    draw, seeds = DRAWS[name], [7, 7, 2, 30]
    r = Randomness(seeds).at("place", 1)
    assert r.members == 4
    for shape in ((5,), (2, 3), ()):
        together = draw(r, *shape)
        assert together.shape == (4, *shape)
    r.at("place", 1)
    singles = [Randomness([s]).at("place", 1) for s in seeds]
    for _ in range(2):
        together = draw(r, 50)
        for i, single in enumerate(singles):
            assert torch.equal(together[i], draw(single, 50))
    assert torch.equal(together[0], together[1])
    assert not torch.equal(together[0], together[2])


@pytest.mark.parametrize("size", [3, 16, 1000])
def test_draws_are_those_of_torch_from_the_seed_of_the_place(size):
    """So that a run of before goes on as it would have."""
    for dtype in (torch.float32, torch.float64):
        own, g = Randomness([3, 4], dtype=dtype).at(5, "x"), torch.Generator()
        normal, uniform, kept = own.normal(size), own.uniform(0, 1, size), own.keep(0.3, size)
        for i, seed in enumerate((3, 4)):
            g.manual_seed(place_seed(seed, 5, "x"))
            assert torch.equal(normal[i], torch.randn(size, generator=g, dtype=dtype))
            assert torch.equal(uniform[i], torch.rand(size, generator=g, dtype=dtype))
            assert torch.equal(kept[i], torch.rand(size, generator=g) < 0.3)


def test_members_may_keep_with_probabilities_of_their_own():
    """One whose own is 1 keeps all and draws nothing."""
    own, g = Randomness([3, 4, 5]).at(5), torch.Generator()
    kept, later = own.keep((0.3, 1.0, 0.8), 20, 4), own.normal(4)
    for i, (seed, share) in enumerate(((3, 0.3), (4, 1.0), (5, 0.8))):
        g.manual_seed(place_seed(seed, 5))
        drawn = torch.rand(20, 4, generator=g) if share < 1 else torch.zeros(20, 4)
        assert torch.equal(kept[i], drawn < share)
        assert torch.equal(later[i], torch.randn(4, generator=g))


def test_a_single_run_has_no_member_axis():
    """One seed draws (*shape)."""
    assert Randomness([1]).normal(2, 3).shape == (2, 3)
    with pytest.raises(ValueError, match="at least one seed"):
        Randomness([])


def test_draws_have_the_stated_distributions():
    """Standard normal; uniform on [low, high); True with the probability."""
    r = Randomness([1], dtype=torch.float64)
    assert kstest(r.normal(20000).numpy(), "norm").pvalue > 1e-4
    u = r.uniform(-2.0, 3.0, 20000)
    assert kstest(u.numpy(), "uniform", args=(-2, 5)).pvalue > 1e-4
    assert u.min() >= -2
    assert u.max() < 3
    assert u.dtype == torch.float64
    kept = r.keep(0.3, 20000)
    assert kept.dtype == torch.bool
    assert kept.double().mean().item() == pytest.approx(0.3, abs=0.015)
    assert r.keep(1.0, 100).all()
    assert not r.keep(0.0, 100).any()


def test_randomness_touches_no_global_generator():
    """What users draw beside it, and what it draws, do not depend on each other."""
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first = Randomness([5]).at(1).normal(3)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(Randomness([5]).at(1).normal(3), first)


@given(st.integers(0, 2**40), st.integers(0, 2**40))
@settings(max_examples=100, deadline=None)
def test_place_seeds_are_63_bit_and_differ(a, b):
    """A seed torch accepts for every place, and different ones for different steps."""
    assert 0 <= place_seed(1, a) < 2**63
    assert (place_seed(1, a) == place_seed(1, b)) == (a == b)
    assert place_seed(1, a) != place_seed(2, a)


# --- the context ----------------------------------------------------------------------------------


def context(members: int) -> Context:
    return Context(0, {}, Randomness(range(members)))


def test_rows_gathers_samples_and_cells_by_member():
    """(B,), (B, *cells) -> (1, N); (M, B), (M, B, *cells) -> (M, N), in order."""
    for shape in ((6,), (6, 2, 3)):
        x = torch.randn(shape)
        assert torch.equal(context(1).rows(x), x.reshape(1, -1))
    for shape in ((4, 6), (4, 6, 2, 3)):
        x = torch.randn(shape)
        rows = context(4).rows(x)
        assert rows.shape[0] == 4
        for i in range(4):
            assert torch.equal(rows[i], x[i].flatten())


def test_vectors_keeps_the_last_axis():
    """(B, S) -> (1, B, S), and (M, B, S) as it is."""
    x = torch.randn(6, 5)
    assert torch.equal(context(1).vectors(x), x[None])
    y = torch.randn(4, 6, 5)
    assert torch.equal(context(4).vectors(y), y)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_losses_are_formed_in_full_precision(given, kept):
    """Half precision becomes float32; nothing else changes."""
    x = torch.ones(6, 2, dtype=given)
    assert exact(x).dtype == context(1).rows(x).dtype == context(1).vectors(x).dtype == kept


def test_domain_size_is_the_number_of_values():
    """In one event; two domains of the same kind are equal whatever their means."""
    assert Domain((3, 4, 5)).size == 60
    assert Domain((7,)).size == 7
    assert Domain((2,), mean=torch.zeros(2)) == Domain((2,), mean=torch.ones(2))
    assert Domain((2,), 0.0, 1.0) != Domain((2,), -1.0, 1.0)


def test_a_detached_draw_is_the_same_draw():
    """Cut from the graph, with its condition, diagnostics and mask."""
    x = torch.randn(3, requires_grad=True) * 2
    draw = Draw(x, x * 3, {"slope": x.norm()}, x * 5)
    cut = draw.detach()
    assert torch.equal(cut.x, x)
    assert torch.equal(cut.condition, x * 3)
    assert torch.equal(cut.info["slope"], x.norm())
    assert torch.equal(cut.mask, x * 5)
    assert not any(t.requires_grad for t in (cut.x, cut.condition, cut.info["slope"], cut.mask))
    assert draw.x.requires_grad


# --- marks ----------------------------------------------------------------------------------------


class Layer(Noisy):
    def forward(self, x, stream):
        return x


class Counting(Calibrated):
    """Says what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def begin(self) -> None:
        self.told.append("begin")

    def end(self) -> None:
        self.told.append("end")


def test_attach_reaches_every_noisy_layer():
    """At any depth, and back to torch's default generator with None."""
    deep = nn.Sequential(Layer(), nn.ModuleList([nn.Sequential(Layer(), nn.ReLU())]))
    noisy = [layer for layer in deep.modules() if isinstance(layer, Noisy)]
    randomness = Randomness([1])
    attach(deep, randomness)
    assert len(noisy) == 2
    assert all(layer.randomness is randomness for layer in noisy)
    assert Layer().randomness is None
    attach(deep, None)
    assert all(layer.randomness is None for layer in noisy)


def test_calibrating_begins_and_ends_every_layer():
    """Once each, also where the block raises; it says whether there was any."""
    network = nn.Sequential(Counting(), nn.Sequential(nn.ReLU(), Counting()))
    with calibrating(network) as needed:
        assert needed
        assert [m.told for m in network.modules() if isinstance(m, Counting)] == [["begin"]] * 2
    with pytest.raises(ZeroDivisionError), calibrating(network):
        raise ZeroDivisionError
    for layer in (network[0], network[1][1]):
        assert layer.told == ["begin", "end", "begin", "end"]
    with calibrating(nn.ReLU()) as needed:
        assert not needed


def test_frozen_parameters_collect_nothing_and_input_gradients_flow():
    """Within it the network is a function of its input alone; after it all is as before."""
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    network[2].bias.requires_grad_(False)
    x = torch.randn(5, 3, requires_grad=True)
    with frozen(network) as same:
        assert same is network
        network(x).sum().backward()
    inside = x.grad.clone()
    assert all(p.grad is None for p in network.parameters())
    assert [p.requires_grad for p in network.parameters()] == [True, True, True, False]
    x.grad = None
    network(x).sum().backward()
    torch.testing.assert_close(x.grad, inside)
    assert inside.abs().max() > 0
    with pytest.raises(ZeroDivisionError), frozen(network):
        raise ZeroDivisionError
    assert [p.requires_grad for p in network.parameters()] == [True, True, True, False]


def test_frozen_leaves_the_graph_before_it_alone():
    """The generator in front of a frozen energy gets its whole gradient."""
    front, energy = nn.Linear(2, 3), nn.Linear(3, 1)
    with frozen(energy):
        energy(front(torch.ones(4, 2))).sum().backward()
    torch.testing.assert_close(front.bias.grad, 4 * energy.weight[0].detach())
    assert energy.weight.grad is None


# --- contracts ------------------------------------------------------------------------------------


class Fixed(Energy):
    def forward(self, x, condition=None, *, stream):
        return Scored(x.sum(-1))


class NoDraw(Sampler):
    def draw(self, energy, batch, state, context):
        return None, state


class OnlyData(Objective):
    def energy_loss(self, energy, batch, draw, context):
        return Loss(context.rows(energy(batch.x, stream="real").energy).mean(-1))


def test_a_sampler_that_says_nothing_has_no_state_and_does_not_learn():
    """The defaults of the contract: a system without contrast needs to write `draw` alone."""
    sampler = NoDraw()
    assert sampler.init(context(1)) == {}
    assert not sampler.learns(0)
    assert sampler.sample(Fixed(), 3, None, {}, context(1)) is None


def test_an_objective_without_a_sampler_loss_refuses_to_train_one():
    """With its own name in the message."""
    with pytest.raises(SettingError, match="OnlyData trains no sampler"):
        OnlyData().sampler_loss(Fixed(), Batch(torch.ones(1, 2)), Draw(torch.ones(1)), context(1))


def test_energies_promise_nothing_unless_they_say_so():
    """`nonnegative` is False by default: margins refuse what has not promised."""
    assert not Fixed().nonnegative


def test_settings_are_frozen_and_know_their_names():
    """A misspelt setting, a changed one, an infinite one and an impossible one are errors."""
    with pytest.raises(ValueError, match="extra"):
        Optimiser(learning_rate=0.1)
    with pytest.raises(ValueError, match="frozen"):
        Optimiser().beta1 = 0.9
    for wrong in ({"beta1": 1.0}, {"beta2": -0.1}, {"eps": 0.0}, {"clip": 0.0}, {"kind": "lion"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Optimiser(**wrong)
    with pytest.raises(ValueError, match="finite"):
        Optimiser(eps=math.inf)
    assert issubclass(Optimiser, Config)


@given(st.text("ab \n\t\r\x85\u2028'", max_size=300))
@settings(max_examples=100, deadline=None)
def test_describe_is_one_short_line(text):
    """Whatever a user wrote, for an error message."""
    line = describe(text)
    assert len(line) <= 80
    assert len(line.splitlines()) <= 1
    if len(" ".join(text.split())) <= 80:
        assert line == " ".join(text.split())


def spectral() -> nn.Module:
    return nn.utils.parametrizations.spectral_norm(nn.Linear(5, 5))


def test_a_frozen_network_keeps_its_buffers():
    """A spectral norm turns its vectors in every training pass; not while it is frozen."""
    network = spectral()
    before = {k: v.clone() for k, v in network.named_buffers()}
    x = torch.randn(4, 5, requires_grad=True)
    with frozen(network):
        network(x).sum().backward()
    assert all(torch.equal(v, before[k]) for k, v in network.named_buffers())
    assert x.grad is not None
    network(x)
    assert any(not torch.equal(v, before[k]) for k, v in network.named_buffers())


def test_looking_at_a_resting_network_changes_nothing():
    """Evaluation mode within, each layer's own mode after."""
    network = nn.Sequential(spectral(), nn.Dropout(0.5), nn.BatchNorm1d(5).eval())
    before = {k: v.clone() for k, v in network.state_dict().items()}
    x = torch.randn(8, 5)
    with evaluating(network):
        assert torch.equal(network(x), network(x))
        assert not network(x).requires_grad
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert [layer.training for layer in network] == [True, True, False]


def test_a_sampler_has_no_chains_unless_it_says_so() -> None:
    sampler = NoDraw()
    assert sampler.makes_samples
    assert not sampler.samples_at_once
    assert sampler.kernel is sampler.rule is sampler.chain_steps is sampler.start_range is None
    assert sampler.replayed({}, 3, None, Randomness([0])) is None


def test_what_layers_keep_lasts_as_long_as_weights_are_frozen() -> None:
    weight = torch.ones(2)
    assert kept_while_frozen() is None
    with frozen_weights():
        kept = kept_while_frozen()
        assert kept == {}
        kept[id(weight)] = weight, weight * 2
        with frozen_weights():
            assert kept_while_frozen() is kept
        assert id(weight) in kept
    assert kept_while_frozen() is None
