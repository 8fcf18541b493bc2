"""Decoders that double the sides in other ways: unpooling by its definition, the networks."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from energan.core import Domain, Energy
from energan.models import cebgan_conv, ebgan_conv, ebgan_imagenet
from energan.nets.conv import UpConv, conv_autoencoder
from energan.nets.recompute import Recomputed
from energan.nets.switches import pool, switched_autoencoder, unpool

FACES = Domain((3, 32, 32), -1.0, 1.0)
SMALL = {"generator_width": 4, "encoder": (4, 6, 8), "latent": 5}


def by_hand(x: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of each window of 2×2, and maps of zeros but for it, where it was."""
    b, c, h, w = x.shape
    largest, back = torch.zeros(b, c, h // 2, w // 2), torch.zeros_like(x)
    for n in range(b):
        for k in range(c):
            for i in range(h // 2):
                for j in range(w // 2):
                    window = [(2 * i + p, 2 * j + q) for p in (0, 1) for q in (0, 1)]
                    top = max(window, key=lambda at: float(x[n, k, at[0], at[1]]))
                    largest[n, k, i, j] = back[n, k, top[0], top[1]] = x[n, k, top[0], top[1]]
    return largest, back


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_unpooling_puts_each_largest_value_back_where_it_was(
    batch: int, channels: int, height: int, width: int, last: bool
) -> None:
    torch.manual_seed(batch + 10 * channels + 100 * height + 1000 * width)
    x = torch.randn(batch, channels, 2 * height, 2 * width)
    given_ = x.contiguous(memory_format=torch.channels_last) if last else x
    values, switches = pool(given_)
    largest, back = by_hand(x)
    assert torch.equal(values, largest)
    assert torch.equal(unpool(values, switches), back)
    other = torch.randn_like(values)  # the decoder's maps are not the encoder's
    assert torch.equal(unpool(other, switches), F.max_unpool2d(other, switches, 2))


def test_the_gradient_of_unpooling_is_read_at_the_switches() -> None:
    x = torch.randn(2, 3, 4, 6, dtype=torch.double)
    values, switches = pool(x)
    assert torch.autograd.gradcheck(lambda v: unpool(v, switches), values.requires_grad_())


def kernels(network: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for p in network.parameters() if p.dim() == 4]


def energy_of(kind: str) -> Energy:
    config = ebgan_conv.Config.model_validate({**SMALL, "decoder_kind": kind})
    return ebgan_conv.build(config, FACES).energy


def test_the_published_decoder_is_the_default() -> None:
    torch.manual_seed(0)
    plain = ebgan_conv.build(ebgan_conv.Config(**SMALL), FACES).energy
    torch.manual_seed(0)
    asked = energy_of("transposed")
    assert all(
        torch.equal(a, b) for a, b in zip(plain.parameters(), asked.parameters(), strict=True)
    )
    assert any(isinstance(m, nn.ConvTranspose2d) for m in plain.modules())


def test_upsampling_layer_by_layer() -> None:
    energy = energy_of("upsample")
    assert kernels(energy) == [
        (4, 3, 4, 4), (6, 4, 4, 4), (8, 6, 4, 4), (6, 8, 3, 3), (4, 6, 3, 3), (3, 4, 3, 3),
    ]  # fmt: skip
    assert sum(isinstance(m, UpConv) for m in energy.modules()) == 3
    assert not any(isinstance(m, nn.ConvTranspose2d) for m in energy.modules())
    plain = conv_autoencoder(3, (4, 6, 8), "linear", kind="upsample")
    assert plain(torch.randn(2, 3, 32, 32), "real")[0].shape == (2, 3, 32, 32)


def test_unpooling_layer_by_layer() -> None:
    network = switched_autoencoder(3, (4, 6, 8), "linear", slope=0.2)
    assert kernels(network) == [
        (4, 3, 3, 3), (6, 4, 3, 3), (8, 6, 3, 3), (6, 8, 3, 3), (4, 6, 3, 3), (3, 4, 3, 3),
    ]  # fmt: skip
    x = torch.randn(2, 3, 32, 32)
    reconstruction, raw, activated = network(x, "real")
    assert reconstruction.shape == x.shape
    assert raw.shape == activated.shape == (2, 8, 4, 4)
    conv, act = network.encoder[0][0], nn.LeakyReLU(0.2)  # all of it once more, written out
    first, a = pool(conv(x))
    second, b = pool(network.encoder[1][1](act(first)))
    third, c = pool(network.encoder[2](second, "real"))
    torch.testing.assert_close(third, raw)
    back = network.decoder[0](unpool(network.bridge(third, "real"), c), "real")
    back = network.decoder[1](unpool(back, b), "real")
    torch.testing.assert_close(network.decoder[2](unpool(back, a), "real"), reconstruction)


@pytest.mark.parametrize("kind", ["transposed", "upsample", "unpool"])
@pytest.mark.parametrize("widths", [(5,), (4, 6)])
def test_labels_stand_beside_the_code_of_every_kind(kind: str, widths: tuple[int, ...]) -> None:
    config = cebgan_conv.Config.model_validate({**SMALL, "encoder": widths, "decoder_kind": kind})
    model = cebgan_conv.build(config, Domain((1, 16, 16), -1.0, 1.0, classes=3))
    assert kernels(model.energy)[0][1] == 1 + 3
    x, labels = torch.randn(2, 1, 16, 16).repeat(2, 1, 1, 1), torch.tensor([0, 0, 1, 1])
    scored = model.energy(x, labels, stream="real")
    assert scored.energy.shape == (4,)
    assert not torch.allclose(scored.energy[:2], scored.energy[2:], rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", ["upsample", "unpool"])
def test_checkpointing_recomputes_every_kind(kind: str) -> None:
    small = {"generator": (8, 8, 4, 4), "noise": (2, 2, 2), "encoder": (4, 6), "latent": 5}
    config = {**small, "decoder_kind": kind}
    models = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        asked = ebgan_imagenet.Config.model_validate({**config, "checkpointing": checkpointing})
        models.append(ebgan_imagenet.build(asked, FACES).energy)
    assert not any(isinstance(m, Recomputed) for m in models[0].modules())
    assert sum(isinstance(m, Recomputed) for m in models[1].modules()) >= 3
    x = torch.randn(2, 3, 32, 32)
    for energy in models:
        energy(x, stream="real").energy.sum().backward()
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert a.grad is not None
        assert torch.equal(a.grad, b.grad)
