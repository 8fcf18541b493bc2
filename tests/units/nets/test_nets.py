"""Layers and networks against naive forms, torch's own layers, and section 4.1's layer counts."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from energan.core import Domain, Randomness, SettingError, attach, calibrating
from energan.nets.autoencoder import AutoEncoder, mlp_autoencoder
from energan.nets.dense import (
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    Maxout,
    ReLU,
    Sequential,
    Unflatten,
)
from energan.nets.mlp import (
    check_output,
    maxout_logit,
    mlp_generator,
    mlp_logit,
    set_output_mean,
    set_weights,
)
from energan.training.cohort import stack

STREAMS_OF_TRAINING = ["real", "labelled", "fake"]


def randomise(network: nn.Module, seed: int) -> nn.Module:
    """In float64, every parameter and statistic somewhere else than where it starts."""
    network.double()
    g = torch.Generator().manual_seed(seed)
    for tensor in network.parameters():
        tensor.data = torch.randn(tensor.shape, generator=g, dtype=torch.float64)
    for name, tensor in network.named_buffers():
        if name.endswith("mean"):
            tensor.data = torch.randn(tensor.shape, generator=g, dtype=torch.float64)
        if name.endswith(("square", "variance")):
            tensor.data = 6 + 9 * torch.rand(tensor.shape, generator=g, dtype=torch.float64)
    return network


def stacked(networks: list[nn.Module]) -> nn.Module:
    """One network with parameters and buffers (M, ...), set by hand."""
    one = copy.deepcopy(networks[0])
    for path, module in one.named_modules():
        parts = [network.get_submodule(path) for network in networks]
        for key in module._parameters:
            if module._parameters[key] is not None:
                values = torch.stack([getattr(part, key).detach() for part in parts])
                module._parameters[key] = nn.Parameter(values)
        for key in module._buffers:
            module._buffers[key] = torch.stack([getattr(part, key) for part in parts])
    return one


# --- layers ---------------------------------------------------------------------------------------


def test_dense_is_x_w_transposed_plus_b():
    """Against einsum, for any leading shape, with torch's weight layout (out, in)."""
    layer = randomise(Dense(3, 5), 1)
    x = torch.randn(4, 3, dtype=torch.float64)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    expected = np.einsum("bi,oi->bo", x.numpy(), weight)
    np.testing.assert_allclose(layer(x).detach(), expected + bias, rtol=1e-12)
    bare = Dense(3, 5, bias=False).double()
    bare.weight.data = layer.weight.data
    assert [name for name, _ in bare.named_parameters()] == ["weight"]
    np.testing.assert_allclose(bare(x).detach(), expected, rtol=1e-12)


def test_dense_starts_as_torch_does():
    """Weights within 1/sqrt(inputs) and filling it; biases 0."""
    layer = Dense(64, 500)
    assert layer.weight.shape == (500, 64)
    assert 0.99 / 8 < layer.weight.abs().max() <= 1 / 8
    assert layer.weight.std().item() == pytest.approx(1 / 8 / 3**0.5, rel=0.02)
    assert not layer.bias.any()


def test_maxout_is_the_largest_of_its_pieces():
    """Unit u is the maximum over pieces p of w_pu . x + b_pu."""
    inputs, units, pieces = 3, 4, 5
    layer = randomise(Maxout(inputs, units, pieces), 1)
    x = torch.randn(6, inputs, dtype=torch.float64)
    weight = layer.linear.weight.detach().reshape(pieces, units, inputs).numpy()
    bias = layer.linear.bias.detach().reshape(pieces, units).numpy()
    expected = np.empty((6, units))
    for b in range(6):
        for u in range(units):
            expected[b, u] = max(weight[p, u] @ x[b].numpy() + bias[p, u] for p in range(pieces))
    np.testing.assert_allclose(layer(x).detach(), expected, rtol=1e-12)


@pytest.mark.parametrize("event", [(6,), (2, 3), (3, 4, 5)])
@pytest.mark.parametrize("lead", [(7,), (2, 7)])
def test_flatten_and_unflatten_touch_the_event_alone(event, lead):
    """(..., *event) -> (..., size) and back, in C order, with or without members."""
    x = torch.randn(*lead, *event)
    flat = Flatten(event)(x)
    assert flat.shape == (*lead, x[0].numel() if len(lead) == 1 else x[0, 0].numel())
    torch.testing.assert_close(flat, x.reshape(*lead, -1))
    torch.testing.assert_close(Unflatten(event)(flat), x)


def test_a_chain_hands_on_the_stream():
    """Dropout in a chain is off in "eval" and on elsewhere; plain layers get x alone."""
    chain = Sequential(nn.Identity(), Dropout(0.5), nn.ReLU())
    x = torch.rand(50, 50) + 0.1
    torch.testing.assert_close(chain(x, "eval"), x)
    assert chain(x, "real").eq(0).float().mean().item() == pytest.approx(0.5, abs=0.05)


# --- batch norm -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", STREAMS_OF_TRAINING)
@pytest.mark.parametrize("shape", [(9, 5), (6, 5, 3, 4)])
def test_batch_norm_in_training_is_torchs(stream, shape):
    """Values and gradients equal torch.nn.BatchNorm in training mode."""
    ours = randomise(BatchNorm(5), 1)
    theirs = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(5).double()
    theirs.load_state_dict({"weight": ours.weight.data, "bias": ours.bias.data}, strict=False)
    x = (3 * torch.randn(shape, dtype=torch.float64) + 2).requires_grad_()
    y = x.detach().clone().requires_grad_()
    weights = torch.randn(shape, dtype=torch.float64)
    a, b = ours(x, stream), theirs(y)
    torch.testing.assert_close(a, b)
    (a * weights).sum().backward()
    (b * weights).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)


def test_batch_norm_without_a_scale_has_only_a_bias():
    """scale=False leaves beta and unit spread (the ladder network's batch norm)."""
    layer = BatchNorm(4, scale=False)
    assert [name for name, _ in layer.named_parameters()] == ["bias"]
    layer.bias.data += 2
    y = layer(7 * torch.randn(500, 4) - 3, "real")
    torch.testing.assert_close(y.mean(0), torch.full((4,), 2.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(y.std(0, correction=0), torch.ones(4), atol=1e-4, rtol=0)


BATCHES = [(4, 5), (17, 5), (8, 5)], [(2, 5, 3, 4), (7, 5, 2, 2), (3, 5, 1, 6)]


@pytest.mark.parametrize("shapes", BATCHES, ids=["features", "maps"])
def test_calibrated_statistics_are_the_exact_pooled_ones(shapes):
    """After batches of several sizes "eval" uses the mean and biased variance of all values
    together, not the mean of the batches' variances; a second pass forgets the first."""
    layer = randomise(BatchNorm(5), 1)
    batches = [3 * torch.randn(s, dtype=torch.float64) + 10 * i for i, s in enumerate(shapes)]
    for chosen in (batches, batches[1:]):
        with calibrating(layer) as needed:
            assert needed
            for x in chosen:
                torch.testing.assert_close(layer(x, "eval"), layer(x, "real"))
        every = torch.cat([x.transpose(0, 1).flatten(1) for x in chosen], 1)  # (5, all values)
        mean, variance = every.mean(1), every.var(1, correction=0)
        for x in (batches[0], batches[0][:1]):  # even one sample alone
            expected = F.batch_norm(x, mean, variance, layer.weight, layer.bias, eps=1e-5)
            torch.testing.assert_close(layer(x, "eval"), expected)
        within = sum(x.numel() * x.var() for x in chosen) / sum(x.numel() for x in chosen)
        assert (variance > 2 * within).any()  # pooling, not averaging, is what was tested


@pytest.mark.parametrize("offset", [10.0, 300.0])
def test_calibrated_statistics_keep_their_precision_far_from_zero(offset):
    """In float32 a feature of spread 1 about 300 is still normalised to spread 1: E[x²] - E[x]²
    would lose it to cancellation."""
    layer = BatchNorm(8)
    batches = [offset + torch.randn(250, 8) for _ in range(8)]
    with calibrating(layer):
        for x in batches:
            layer(x, "eval")
    every = torch.cat(batches)
    spread = layer(every, "eval").std(0, correction=0)
    torch.testing.assert_close(spread, torch.ones(8), atol=1e-3, rtol=0)


@pytest.mark.parametrize("stream", STREAMS_OF_TRAINING)
def test_streams_of_training_leave_no_trace(stream):
    """Neither real nor fake batches change what "eval" gives, nor any buffer."""
    layer = randomise(BatchNorm(5), 1)
    before = {k: v.clone() for k, v in layer.named_buffers()}
    x = torch.randn(6, 5, dtype=torch.float64)
    scored = layer(x, "eval")
    for _ in range(3):
        layer(100 + torch.randn(8, 5, dtype=torch.float64), stream)
    for name, buffer in layer.named_buffers():
        assert torch.equal(buffer, before[name]), name
    assert torch.equal(layer(x, "eval"), scored)


@pytest.mark.parametrize("stream", STREAMS_OF_TRAINING)
def test_streams_of_training_leave_no_trace_while_calibrating(stream):
    """Only passes with stream "eval" are measured, also inside `calibrating`."""
    layer = BatchNorm(5).double()
    x = torch.randn(50, 5, dtype=torch.float64)
    with calibrating(layer):
        layer(x, "eval")
        layer(100 + x, stream)
    torch.testing.assert_close(layer.mean, x.mean(0))


def test_a_calibrating_that_sees_nothing_changes_nothing():
    """Statistics stay as they were, and "eval" is out of measuring again, after an error too."""
    layer = randomise(BatchNorm(5), 1)
    x = torch.randn(6, 5, dtype=torch.float64)
    before = layer(x, "eval")
    with calibrating(layer):
        pass
    assert torch.equal(layer(x, "eval"), before)
    with pytest.raises(RuntimeError, match="stop"), calibrating(layer):
        raise RuntimeError("stop")
    assert torch.equal(layer(x, "eval"), before)
    with calibrating(nn.Linear(2, 2)) as needed:
        assert not needed


# --- dropout --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("attached", [True, False])
def test_dropout_keeps_the_mean(rate, attached):
    """Inputs are 0 with probability `rate`, else divided by 1 - rate."""
    torch.manual_seed(0)
    layer = Dropout(rate)
    attach(layer, Randomness([3]) if attached else None)
    x = torch.full((400, 500), 2.0)
    y = layer(x, "real")
    dropped = y == 0
    assert dropped.float().mean().item() == pytest.approx(rate, abs=0.005)
    torch.testing.assert_close(y[~dropped], torch.full_like(y[~dropped], 2 / (1 - rate)))
    assert y.mean().item() == pytest.approx(2, rel=0.02)
    assert torch.equal(layer(x, "eval"), x)


def test_dropout_of_rate_0_is_the_identity():
    """And a rate outside [0, 1) is refused."""
    x = torch.randn(5, 5)
    assert torch.equal(Dropout(0.0)(x, "real"), x)
    for rate in (1.0, -0.1, 1.5):
        with pytest.raises(ValueError, match="dropout rate"):
            Dropout(rate)


def test_relu_with_dropout_is_one_after_the_other():
    """And without, it is torch's; in "eval" too."""
    x = torch.randn(30, 40)
    both, drop = ReLU(0.3), Dropout(0.3)
    for layer in (both, drop):
        attach(layer, Randomness([3]).at(1))
    assert torch.equal(both(x, "real"), drop(torch.relu(x), "real"))
    assert torch.equal(both(x, "eval"), torch.relu(x))
    assert torch.equal(ReLU()(x, "real"), torch.relu(x))


@pytest.mark.parametrize("layers", [(mlp_logit, (9,)), (mlp_autoencoder, (9,))])
def test_names_do_not_depend_on_dropout(layers):
    """A checkpoint of a network without dropout fits one with it, and members may differ in it."""
    make, event = layers
    names = [
        [name for name, _ in make(event, (8, 7), norm=True, dropout=rate).named_modules()]
        for rate in (0.0, 0.5)
    ]
    assert names[0] == names[1]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.9]), min_size=2, max_size=5))
def test_each_member_has_its_own_rate_of_dropout(rates):
    """Stacked, each member's part and its later draws are those of its own run; one of rate 0 draws
    nothing, as its own run does not."""
    seeds = list(range(len(rates)))
    x = torch.randn(len(rates), 20, 30)
    together = stack([Sequential(ReLU(rate), Dropout(rate)) for rate in rates])
    of_all = Randomness(seeds).at(5)
    attach(together, of_all)
    y, later = together(x, "fake"), of_all.normal(3)
    for i, rate in enumerate(rates):
        alone, own = Sequential(ReLU(rate), Dropout(rate)), Randomness([seeds[i]]).at(5)
        attach(alone, own)
        assert torch.equal(y[i], alone(x[i], "fake"))
        assert torch.equal(later[i], own.normal(3))
    assert torch.equal(together(x, "eval"), torch.relu(x))


def test_dropout_masks_repeat_by_place():
    """The same place gives the same mask, another place or a second draw another."""
    layer, randomness, x = Dropout(0.5), Randomness([3]), torch.ones(20, 30)
    attach(layer, randomness)
    randomness.at(7, "energy")
    first, second = layer(x, "real"), layer(x, "real")
    randomness.at(8, "energy")
    other = layer(x, "real")
    randomness.at(7, "energy")
    assert torch.equal(layer(x, "real"), first)
    assert not torch.equal(second, first)
    assert not torch.equal(other, first)


def test_each_member_drops_what_its_own_run_would():
    """(M, B, F): member i's mask is that of a single run with seed i."""
    x, seeds = torch.randn(3, 20, 30), [4, 9, 2]
    layer = Dropout(0.4)
    attach(layer, Randomness(seeds).at(5))
    together = layer(x, "fake")
    for i, seed in enumerate(seeds):
        attach(layer, Randomness([seed]).at(5))
        assert torch.equal(together[i], layer(x[i], "fake"))
    assert not torch.equal(together[0] == 0, together[1] == 0)


# --- the member axis ------------------------------------------------------------------------------

NETWORKS = {
    "dense": lambda: Sequential(Dense(6, 4)),
    "dense without a bias": lambda: Sequential(Dense(6, 4, bias=False)),
    "maxout": lambda: Sequential(Maxout(6, 4, 3)),
    "batch norm": lambda: Sequential(BatchNorm(6)),
    "batch norm without a scale": lambda: Sequential(BatchNorm(6, scale=False)),
    "generator": lambda: mlp_generator(6, (8, 7), (2, 3), norm=True, output="tanh"),
    "logit": lambda: mlp_logit((6,), (8, 7), norm=True, dropout=0.3),
    "maxout logit": lambda: maxout_logit((6,), (5, 4), 3, input_dropout=0.2, dropout=0.5),
    "auto-encoder": lambda: mlp_autoencoder((6,), (8, 4), decoder=(7,), norm=True, dropout=0.3),
}


@pytest.mark.parametrize("stream", ["real", "fake", "eval"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_stack_of_members_is_each_member_alone(name, stream):
    """(M, B, F) through stacked parameters and buffers: values and gradients of single runs."""
    seeds = [11, 12, 13]
    singles = [randomise(NETWORKS[name](), seed) for seed in seeds]
    together = stacked(singles)
    attach(together, Randomness(seeds).at("there"))
    x = torch.randn(3, 9, 6, dtype=torch.float64)

    def outputs(network: nn.Module, values: Tensor) -> tuple[Tensor, ...]:
        out = network(values, stream)
        return out if isinstance(out, tuple) else (out,)

    ours = outputs(together, x)
    sum(out.square().sum() for out in ours).backward()
    grads = dict(together.named_parameters())
    for i, single in enumerate(singles):
        attach(single, Randomness([seeds[i]]).at("there"))
        alone = outputs(single, x[i])
        for a, b in zip(ours, alone, strict=True):
            torch.testing.assert_close(a[i], b)
        sum(out.square().sum() for out in alone).backward()
        for key, parameter in single.named_parameters():
            torch.testing.assert_close(grads[key].grad[i], parameter.grad)


def test_a_stack_of_members_is_calibrated_member_by_member():
    """Pooled statistics of (M, B, F) batches are those of each member's own batches."""
    singles = [randomise(Sequential(Dense(4, 5), BatchNorm(5)), seed) for seed in (1, 2)]
    together = stacked(singles)
    batches = [torch.randn(2, n, 4, dtype=torch.float64) + n for n in (6, 11)]
    with calibrating(together):
        for x in batches:
            together(x, "eval")
    for i, single in enumerate(singles):
        with calibrating(single):
            for x in batches:
                single(x[i], "eval")
        torch.testing.assert_close(together(batches[0], "eval")[i], single(batches[0][i], "eval"))


# --- the networks of the papers -------------------------------------------------------------------


def layers(network: nn.Module) -> list[str]:
    """What the network consists of, in order, with the sizes of its weight layers."""
    found = []
    for layer in network.modules():
        if isinstance(layer, Dense):
            found.append(f"{layer.weight.shape[1]}>{layer.weight.shape[0]}")
        elif isinstance(layer, BatchNorm):
            found.append(f"norm{layer.bias.shape[0]}")
        elif isinstance(layer, ReLU):
            found += ["relu", *([f"drop{layer.rate}"] if layer.rate else [])]
        elif isinstance(layer, Dropout):
            found.append(f"drop{layer.rate}")
        elif isinstance(layer, nn.Tanh | nn.Sigmoid):
            found.append(type(layer).__name__.lower())
    return found


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_a_generator_of_n_layers(n):
    """n - 1 hidden layers with batch norm and ReLU, then the output: Tanh and no batch norm."""
    network = mlp_generator(100, (40,) * (n - 1), (1, 32, 32), norm=True, output="tanh")
    hidden = ["100>40", "norm40", "relu", *["40>40", "norm40", "relu"] * (n - 2)]
    assert layers(network) == [*hidden, "40>1024", "tanh"]
    x = network(torch.randn(7, 100), "fake")
    assert x.shape == (7, 1, 32, 32)
    assert x.abs().max() <= 1


@pytest.mark.parametrize("n", [2, 3, 4, 5])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_logistic_discriminator_of_n_layers(n, dropout):
    """n - 1 hidden layers, batch norm on all but the first (D's input), then one bare logit."""
    network = mlp_logit((1, 32, 32), (12,) * (n - 1), norm=True, dropout=dropout)
    drop = [f"drop{dropout}"] if dropout else []
    hidden = ["1024>12", "relu", *drop, *["12>12", "norm12", "relu", *drop] * (n - 2)]
    assert layers(network) == [*hidden, "12>1"]
    assert network(torch.randn(7, 1, 32, 32), "real").shape == (7, 1)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_an_auto_encoder_of_n_layers(n, dropout):
    """n - 1 layers of the encoder, whose last is the code, and one of the decoder, linear; batch
    norm after every weight layer but the first and the last."""
    network = mlp_autoencoder((1, 32, 32), (12,) * (n - 1), norm=True, dropout=dropout)
    drop = [f"drop{dropout}"] if dropout else []
    hidden = ["1024>12", "relu", *drop, *["12>12", "norm12", "relu", *drop] * (n - 2)]
    assert layers(network) == [*hidden, "12>1024"]
    # the encoder ends with the raw code: norm, ReLU and dropout of the last hidden are the bridge
    assert layers(network.encoder)[-1] == ("1024>12" if n == 2 else "12>12")
    assert layers(network.bridge) == [*(["norm12"] if n > 2 else []), "relu", *drop]
    x = torch.randn(7, 1, 32, 32)
    reconstruction, raw, activated = network(x, "eval")
    assert reconstruction.shape == x.shape
    assert raw.shape == activated.shape == (7, 12)
    assert (raw < 0).any()
    torch.testing.assert_close(activated, network.bridge(raw, "eval"))
    torch.testing.assert_close(reconstruction, network.decoder(activated, "eval"))


def test_an_auto_encoder_with_a_deeper_decoder():
    """Decoder hidden layers have batch norm, its output has none; the output unit is a choice."""
    network = mlp_autoencoder((10,), (8, 3), decoder=(6, 7), norm=True, output="tanh")
    assert isinstance(network, AutoEncoder)
    assert layers(network) == [
        *["10>8", "relu", "8>3", "norm3", "relu"],
        *["3>6", "norm6", "relu", "6>7", "norm7", "relu", "7>10", "tanh"],
    ]


def test_weight_layers_before_a_batch_norm_have_no_bias():
    """The norm would cancel it; all others have one, and it makes a difference there."""
    for network in (
        mlp_generator(3, (4, 5), (6,), norm=True, output="tanh"),
        mlp_logit((6,), (4, 5), norm=True, dropout=0.5),
        mlp_autoencoder((6,), (4, 5), decoder=(7,), norm=True),
    ):
        modules = [m for m in network.modules() if isinstance(m, Dense | BatchNorm | ReLU)]
        for layer, following in zip(modules, [*modules[1:], None], strict=True):
            if isinstance(layer, Dense):
                assert (layer.bias is None) == isinstance(following, BatchNorm)


def test_networks_without_batch_norm_have_none():
    """norm=False, as on the 2014 networks."""
    for network in (
        mlp_generator(3, (4, 4), (5,), norm=False, output="linear"),
        mlp_logit((5,), (4, 4), norm=False),
        mlp_autoencoder((5,), (4, 4), decoder=(4,), norm=False),
    ):
        assert not any(isinstance(layer, BatchNorm) for layer in network.modules())
        assert all(m.bias is not None for m in network.modules() if isinstance(m, Dense))


def test_the_networks_of_the_gan_of_2014():
    """G 1200-1200 ReLU with sigmoid; D maxout 240 x 5 twice, dropout 0.2 at input, 0.5 after."""
    generator = mlp_generator(100, (1200, 1200), (1, 28, 28), norm=False, output="sigmoid")
    assert layers(generator) == ["100>1200", "relu", "1200>1200", "relu", "1200>784", "sigmoid"]
    discriminator = maxout_logit((1, 28, 28), (240, 240), 5, input_dropout=0.2, dropout=0.5)
    assert layers(discriminator) == [
        *["drop0.2", "784>1200", "drop0.5", "240>1200", "drop0.5", "240>1"]
    ]
    maxouts = [layer for layer in discriminator.modules() if isinstance(layer, Maxout)]
    assert [layer.pieces for layer in maxouts] == [5, 5]
    assert discriminator(torch.rand(3, 1, 28, 28), "real").shape == (3, 1)


@pytest.mark.parametrize("kind", ["normal", "uniform"])
@pytest.mark.parametrize("scale", [0.002, 0.05])
def test_set_weights_gives_the_stated_distribution(kind, scale):
    """scale is the standard deviation, or the half-width, of every matrix; biases become 0."""
    torch.manual_seed(0)
    for network in (
        mlp_autoencoder((300,), (200, 100), norm=True),
        maxout_logit((100,), (90,), 5, input_dropout=0.2, dropout=0.5),
    ):
        dense = [layer for layer in network.modules() if isinstance(layer, Dense)]
        for layer in dense:
            if layer.bias is not None:
                layer.bias.data += 1
        set_weights(network, kind, scale)
        for layer in dense:
            w = layer.weight.detach()
            n = w.numel()
            std = scale if kind == "normal" else scale / 3**0.5
            if n > 1000:
                assert w.std().item() == pytest.approx(std, rel=5 / n**0.5)
            assert abs(w.mean().item()) < 5 * std / n**0.5
            if kind == "uniform":
                assert w.abs().max() <= scale
            elif n > 1000:
                assert w.abs().max() > 2.5 * scale
            assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize(
    ("output", "low", "high"), [("linear", -3, 3), ("tanh", -1, 1), ("sigmoid", 0, 1)]
)
def test_set_output_mean_starts_at_the_mean(output, low, high):
    """With its weights at 0 the generator gives the mean event; at the range's ends, nearly."""
    mean = torch.empty(2, 3).uniform_(low, high)
    mean[0, 0], mean[1, 2] = low, high  # always black, always white: a finite bias all the same
    network = mlp_generator(4, (5,), (2, 3), norm=False, output=output)
    set_weights(network, "normal", 1e-9)
    set_output_mean(network, mean, output)
    x = network(torch.randn(8, 4), "fake")
    assert x.isfinite().all()
    torch.testing.assert_close(x, mean.expand(8, 2, 3), atol=1.1e-3, rtol=0)
    torch.testing.assert_close(x[:, 0, 1], mean[0, 1].expand(8), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("low", "high", "fits", "refused"),
    [
        (-1.0, 1.0, ["tanh", "linear"], ["sigmoid"]),
        (0.0, 1.0, ["sigmoid", "linear"], ["tanh"]),
        (None, None, ["linear"], ["tanh", "sigmoid"]),
        (-3.0, 3.0, ["linear"], ["tanh", "sigmoid"]),
    ],
)
def test_an_output_that_cannot_reach_the_data_is_refused(low, high, fits, refused):
    """A sigmoid never gives -1; the message names the unit that would fit."""
    domain = Domain((4,), low, high)
    for output in fits:
        check_output(output, domain)
    for output in refused:
        with pytest.raises(SettingError, match=rf"model\.output: {output} .*use {fits[0]}"):
            check_output(output, domain)
