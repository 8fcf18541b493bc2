"""The ladder network against its equations written plainly."""

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from energan.core import Randomness, Stream, attach
from energan.nets.ladder import Combinator, Ladder
from energan.training.cohort import stack
from support import plain_ladder as plain

WIDTHS = (7, 6, 5, 4)
PARTS: dict[Stream, int] = {"real": 9, "fake": 8, "labelled": 6}


def ladder(
    noise: float = 0.0, seed: int = 0, widths: tuple[int, ...] = WIDTHS, top_scale: bool = False
) -> Ladder:
    return plain.randomised(Ladder(widths, noise, top_scale=top_scale), seed)


def parts(inputs: int = WIDTHS[0]) -> dict[Stream, Tensor]:
    g = torch.Generator().manual_seed(5)
    return {
        stream: 0.2 * i + torch.randn(n, inputs, generator=g, dtype=torch.float64)
        for i, (stream, n) in enumerate(PARTS.items())
    }


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("widths", [WIDTHS, (5, 3), (3, 8, 8, 8, 2)])
@pytest.mark.parametrize("top_scale", [False, True])
def test_encoder_and_decoder_are_the_papers(
    noise: float, widths: tuple[int, ...], top_scale: bool
) -> None:
    """Each part by itself, given the z̃ that its noise made: sums, logits, and ẑ of every layer."""
    network, batches = ladder(noise, 0, widths, top_scale), parts(widths[0])
    attach(network, Randomness([1], dtype=torch.float64))
    w = plain.weights_of(network)
    encoded = network.encode(batches)
    guesses = network.decode(encoded)
    assert encoded.keys() == guesses.keys() == batches.keys()
    for stream, x in batches.items():
        found = encoded[stream]
        wanted = plain.encode(w, x, found.layers)
        if noise == 0:
            for z, before in zip(found.layers, wanted.before, strict=True):
                close(z, before)
        for total, own in zip(found.sums, wanted.sums, strict=True):
            close(total, own)
        close(found.logits, wanted.logits)
        for guess, own in zip(guesses[stream], plain.decode(w, wanted), strict=True):
            close(guess, own)


def test_noise_of_every_layer_is_normal_of_the_stated_size() -> None:
    """z̃ − N(Wh), and z̃⁰ − x; of each part and layer its own."""
    network = ladder(0.3)
    g = torch.Generator().manual_seed(2)
    batches: dict[Stream, Tensor] = {
        s: torch.randn(2000, WIDTHS[0], generator=g, dtype=torch.float64) for s in PARTS
    }
    attach(network, Randomness([4], dtype=torch.float64))
    w, encoded = plain.weights_of(network), network.encode(batches)
    noises = []
    for stream, x in batches.items():
        layers = encoded[stream].layers
        for z, before in zip(layers, plain.encode(w, x, layers).before, strict=True):
            noises.append(z - before)
            assert kstest((noises[-1] / 0.3).flatten().detach().numpy(), "norm").pvalue > 1e-4
    columns = torch.cat(noises, 1)
    correlations = torch.corrcoef(columns.T).fill_diagonal_(0)
    assert correlations.abs().max() < 0.12  # 2000 rows: 5 standard deviations


def test_noise_follows_from_the_place_and_is_off_in_a_clean_pass() -> None:
    network, batches = ladder(0.3), parts()
    draws = Randomness([3], dtype=torch.float64)
    attach(network, draws)
    first, again, other = (
        (draws.at(step), network.encode(batches)["real"].logits)[1] for step in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    clean = network.encode(batches, noisy=False)
    w = plain.weights_of(network)
    for stream, x in batches.items():
        close(clean[stream].logits, plain.encode(w, x).logits)
        assert torch.equal(clean[stream].layers[0], x)


def test_no_part_of_a_batch_reaches_another() -> None:
    """Neither its values nor its being there; so neither its statistics."""
    network, batches = ladder(), parts()
    whole = network.decode(network.encode(batches))
    for stream, x in batches.items():
        alone = network.decode(network.encode({stream: x}))[stream]
        for a, b in zip(whole[stream], alone, strict=True):
            close(a, b)
        changed = network.encode({**batches, stream: 10 * x.flip(0) - 3})
        back = network.decode(changed)
        for other in batches.keys() - {stream}:
            close(changed[other].logits, network.encode(batches)[other].logits)
            for a, b in zip(back[other], whole[other], strict=True):
                close(a, b)


def test_costs_of_the_layers_are_between_clean_z_and_guesses_by_clean_statistics() -> None:
    network, batches = ladder(0.3), parts()
    w = plain.weights_of(network)
    encoded, clean = network.encode(batches), network.encode(batches, noisy=False)
    guesses = network.decode(encoded)
    for stream, x in batches.items():
        up = plain.encode(w, x)
        wanted = plain.costs(up, plain.decode(w, plain.encode(w, x, encoded[stream].layers)))
        found = network.errors(stream, clean[stream], guesses[stream])
        assert len(found) == len(WIDTHS) - 1
        for a, b in zip(found, wanted[1:], strict=True):
            close(a, b)


# --- the combinator -------------------------------------------------------------------------------


def test_the_combinator_has_ten_numbers_for_each_unit() -> None:
    layer = Combinator(3).double()
    assert sum(p.numel() for p in layer.parameters()) == 30
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, dtype=torch.float64))
    z, u = (torch.randn(5, 3, dtype=torch.float64) for _ in range(2))
    close(layer(z, u), plain.combine(z, u, layer.state_dict()["a"]))
    for unit in range(3):  # its own
        alone = Combinator(1).double()
        alone.load_state_dict({"a": layer.state_dict()["a"][:, unit : unit + 1]})
        at = slice(unit, unit + 1)
        close(alone(z[:, at], u[:, at]), layer(z, u)[:, at])


def test_the_combinator_starts_as_the_reference_does() -> None:
    """a₂ = a₇ = 1, the rest 0: ẑ = 0, and the gradients of a₁ and a₆ are σ(u) and z̃·σ(u)."""
    layer = Combinator(4).double()
    z, u = (torch.randn(6, 4, dtype=torch.float64) for _ in range(2))
    guess = layer(z, u)
    assert torch.equal(guess, torch.zeros_like(guess))
    guess.sum().backward()
    (gradient,) = (p.grad for p in layer.parameters())
    close(gradient[0], u.sigmoid().sum(0))
    close(gradient[5], (z * u.sigmoid()).sum(0))
    assert not gradient[[1, 2, 6, 7]].any()


# --- gradients, members ---------------------------------------------------------------------------


class Whole(torch.nn.Module):
    """Up and down as one function."""

    def __init__(self, network: Ladder) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        encoded = self.network.encode({"real": x})
        return (encoded["real"].logits, *self.network.decode(encoded)["real"])


def test_gradients_against_differences() -> None:
    """Of logits and every ẑ in x and in all weights, through the statistics."""
    network, x = ladder(widths=(4, 5, 3), top_scale=True), parts(4)["real"][:5].requires_grad_()
    names = [n for n, _ in Whole(network).named_parameters()]

    def of(x: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        return torch.func.functional_call(Whole(network), dict(zip(names, weights, strict=True)), x)

    weights = [p.detach().clone().requires_grad_() for p in network.parameters()]
    assert torch.autograd.gradcheck(of, (x, *weights), fast_mode=True)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_member_of_a_cohort_equals_a_single_network(noise: float) -> None:
    """Weights, statistics, noise and gradients of each its own."""
    singles, batches = [ladder(noise, seed) for seed in (1, 2)], parts()
    moved = {s: x.flip(0) * 1.5 for s, x in batches.items()}
    together = stack([ladder(noise, seed) for seed in (1, 2)])
    attach(together, Randomness([8, 9], dtype=torch.float64))
    encoded = together.encode({s: torch.stack([batches[s], moved[s]]) for s in batches})
    guesses = together.decode(encoded)
    sum(z.sin().sum() for back in guesses.values() for z in back).backward()
    for i, (single, own) in enumerate(zip(singles, (batches, moved), strict=True)):
        attach(single, Randomness([(8, 9)[i]], dtype=torch.float64))
        up = single.encode(own)
        for stream, back in single.decode(up).items():
            close(encoded[stream].logits[i], up[stream].logits)
            for a, b in zip(guesses[stream], back, strict=True):
                close(a[i], b)
        sum(z.sin().sum() for back in single.decode(up).values() for z in back).backward()
        for (name, p), q in zip(together.named_parameters(), single.parameters(), strict=True):
            assert p.grad is not None, name
            close(p.grad[i], q.grad)
