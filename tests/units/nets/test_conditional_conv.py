"""Convolutional networks that take labels: what each is told, and where."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from energan.core import Batch, Context, Domain, Randomness, SettingError
from energan.energies.reconstruction import reconstruction_energy
from energan.models import cdcgan, cebgan_conv, dcgan, ebgan_conv
from energan.nets.conditional import ConditionalMaps, planes
from energan.nets.conv import conv_autoencoder

K = 10
DIGITS = Domain((1, 32, 32), -1.0, 1.0, classes=K)
LABELS = torch.tensor([7, 0, 9, 7])
SMALL = {"generator_width": 8, "latent": 5}


def kernels(network: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for p in network.parameters() if p.dim() > 1]


def by_hand(x: Tensor, labels: Tensor) -> Tensor:
    """The image with K more maps, one pixel at a time."""
    out = torch.zeros(len(x), x.shape[1] + K, *x.shape[2:])
    for b in range(len(x)):
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                out[b, : x.shape[1], i, j] = x[b, :, i, j]
                out[b, x.shape[1] + int(labels[b]), i, j] = 1
    return out


def test_planes_by_their_definition() -> None:
    x = torch.randn(4, 3, 2, 5)
    assert torch.equal(planes(x, LABELS, K), by_hand(x, LABELS))


def test_cdcgan_is_dcgan_with_the_label_beside_z_and_beside_the_image() -> None:
    config = cdcgan.Config(**SMALL, discriminator_width=8)
    model = cdcgan.build(config, DIGITS)
    plain = dcgan.build(config, DIGITS)
    ours, theirs = kernels(model.sampler), kernels(plain.sampler)
    assert (ours[0], ours[1:]) == ((theirs[0][0], 5 + K), theirs[1:])
    ours, theirs = kernels(model.energy), kernels(plain.energy)
    assert (ours[0], ours[1:]) == ((8, 1 + K, 4, 4), theirs[1:])
    assert (model.conditional, plain.conditional) == (True, False)
    x = torch.randn(4, 1, 32, 32)
    expected = -model.energy.network.network(by_hand(x, LABELS), "real").squeeze(-1)
    assert torch.equal(model.energy(x, LABELS, stream="real").energy, expected)


def test_cebgan_conv_is_told_the_label_beside_the_image_and_beside_the_code() -> None:
    config = cebgan_conv.Config(**SMALL, encoder_width=8)
    model = cebgan_conv.build(config, DIGITS)
    plain = ebgan_conv.build(config, DIGITS)
    assert kernels(model.energy) == [
        (8, 1 + K, 4, 4), (16, 8, 4, 4), (16 + K, 8, 4, 4), (8, 1, 4, 4),
    ]  # fmt: skip
    assert kernels(plain.energy) == [(8, 1, 4, 4), (16, 8, 4, 4), (16, 8, 4, 4), (8, 1, 4, 4)]
    assert kernels(model.sampler)[1:] == kernels(plain.sampler)[1:]
    assert model.hyper == plain.hyper == {"margin": 20.0, "pull_away": 0.1}
    parts = model.energy.network.network
    x = torch.randn(4, 1, 32, 32)
    raw = parts.encoder(by_hand(x, LABELS), "real")
    back = parts.decoder(by_hand(parts.bridge(raw, "real"), LABELS), "real")
    scored = model.energy(x, LABELS, stream="real")
    torch.testing.assert_close(scored.energy, reconstruction_energy(x, back, 3))
    assert scored.code is not None
    torch.testing.assert_close(scored.code, raw.movedim(1, -1).flatten(1))


@pytest.mark.parametrize("widths", [(4,), (4, 6), (4, 6, 5)])
def test_a_decoder_is_given_further_maps_in_its_first_layer_alone(widths: tuple[int, ...]) -> None:
    network = ConditionalMaps(conv_autoencoder(2, widths, "tanh", beside=K), K)
    into = [2, *widths]
    out = [shape for shape in kernels(network) if len(shape) == 4]
    encoder = [(b, a, 4, 4) for a, b in pairwise(into)]
    encoder[0] = (widths[0], 2 + K, 4, 4)
    decoder = [(b, a, 4, 4) for a, b in pairwise(into)][::-1]
    decoder[0] = (widths[-1] + K, *decoder[0][1:])
    assert out == encoder + decoder
    assert network(torch.randn(4, 2, 16, 16), LABELS, "real")[0].shape == (4, 2, 16, 16)


@pytest.mark.parametrize("model", [cdcgan, cebgan_conv])
def test_the_label_changes_the_image_and_its_energy(model: object) -> None:
    built = model.build(model.Config(generator=(8, 4)), DIGITS)  # type: ignore[attr-defined]
    x = torch.randn(1, 1, 32, 32).expand(4, -1, -1, -1)
    energy = built.energy(x, LABELS, stream="real").energy
    torch.testing.assert_close(energy[0], energy[3])
    assert not torch.allclose(energy[:2], energy[1:3], rtol=0, atol=1e-7)
    once, again, other = (
        built.sampler.draw(built.energy, Batch(x, labels), {}, Context(0, {}, Randomness([0])))[0]
        for labels in (LABELS, LABELS, (LABELS + 1) % K)
    )
    assert torch.equal(once.x, again.x)
    assert torch.equal(once.condition, LABELS)
    assert not any(torch.equal(a, b) for a, b in zip(once.x, other.x, strict=True))


@pytest.mark.parametrize("model", [cdcgan, cebgan_conv])
def test_data_that_does_not_fit_is_refused(model: object) -> None:
    config = model.Config()  # type: ignore[attr-defined]
    for domain, said in (
        (Domain((1, 32, 32), -1.0, 1.0), "conditional on labels and the data has none"),
        (Domain((2,), classes=3), "is convolutional and the data holds points"),
    ):
        with pytest.raises(SettingError, match=said):
            model.build(config, domain)  # type: ignore[attr-defined]
