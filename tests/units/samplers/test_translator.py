"""The generator of images from images as a sampler."""

import pytest
import torch

from energan.core import Batch, Context, Randomness, SettingError, attach
from energan.energies.patch import Patches
from energan.nets.patch import patch_logits
from energan.nets.unet import UNet
from energan.samplers.translator import Translator

ENERGY = Patches(patch_logits(3, (4, 8)))


def context(step: int = 0, seed: int = 0) -> Context:
    return Context(step, {}, Randomness([seed]).at(step))


def translator(**options) -> Translator:
    torch.manual_seed(0)
    return Translator(UNet(2, 1, (4, 4, 4), innermost_norm=True, **options))


def test_a_draw_is_g_of_the_batchs_sources_as_fakes() -> None:
    sampler, sources = translator(dropout=0.0), torch.randn(3, 2, 16, 16)
    state = {"kept": torch.ones(2)}
    draw, after = sampler.draw(ENERGY, Batch(torch.randn(3, 1, 16, 16), sources), state, context())
    assert draw is not None
    assert draw.condition is sources
    assert after is state
    torch.testing.assert_close(draw.x, sampler.network(sources, "fake"))
    draw.x.square().sum().backward()
    assert all(p.grad is not None for p in sampler.parameters())
    assert sampler.learns(0)
    assert sampler.learns(10**9)


def test_a_sample_is_g_of_the_given_sources_in_evaluation_mode() -> None:
    sampler, sources = translator(dropout=0.0), torch.randn(3, 2, 16, 16)
    draw = sampler.sample(ENERGY, 3, sources, {}, context())
    assert draw is not None
    assert draw.condition is sources
    assert not draw.x.requires_grad
    torch.testing.assert_close(draw.x, sampler.network(sources, "eval").detach())
    assert (draw.x - sampler.network(sources, "fake")).abs().max() > 1e-3


def test_samples_of_one_source_differ_by_dropout_and_repeat_by_place() -> None:
    sampler, sources = translator(), torch.randn(1, 2, 16, 16).expand(4, -1, -1, -1)
    randomness = Randomness([1])
    attach(sampler, randomness)

    def made(*place: object) -> torch.Tensor:
        draw = sampler.sample(ENERGY, 4, sources, {}, Context(0, {}, randomness.at(*place)))
        assert draw is not None
        return draw.x

    first = made("a")
    assert (first[0] - first[1]).abs().max() > 1e-3
    assert torch.equal(made("a"), first)
    assert not torch.equal(made("b"), first)


def test_of_no_source_nothing_is_made() -> None:
    sampler = translator()
    assert sampler.sample(ENERGY, 5, None, {}, context()) is None
    with pytest.raises(ValueError, match="5 images for 3 sources"):
        sampler.sample(ENERGY, 5, torch.randn(3, 2, 16, 16), {}, context())
    with pytest.raises(SettingError, match="data in pairs"):
        sampler.draw(ENERGY, Batch(torch.randn(3, 1, 16, 16)), {}, context())
