"""Every model that takes images takes them with any number of bands."""

from dataclasses import replace

import pytest
import torch

from energan import models
from energan.core import Context, Domain, Randomness
from support.helpers import DOMAINS, make_loop, model_case

POINTS_ONLY = {"igebm_points", "tagging"}
BY_NETWORK = {"inspect_features"}
"""Models that take as many bands as the network does that the user names."""


def with_bands(domain: Domain, bands: int) -> Domain:
    conditions = domain.condition_shape
    return replace(
        domain,
        shape=(bands, *domain.shape[1:]),
        condition_shape=None if conditions is None else (bands + 1, *conditions[1:]),
    )


@pytest.mark.parametrize("bands", [2, 4, 5, 16])
@pytest.mark.parametrize("name", sorted({*models.names()} - POINTS_ONLY - BY_NETWORK))
def test_images_of_any_number_of_bands_train_and_come_out(name: str, bands: int) -> None:
    images = [with_bands(domain, bands) for domain in DOMAINS if len(domain.shape) == 3]
    case, data = model_case(name, images)
    loop = make_loop(case, data, steps=2)
    loop.run()
    figures = loop.flush_figures()
    assert all(v.isfinite().all() for _, found in figures for v in found.values())
    batch = loop.feed(0, 0, 1)
    condition = None if batch.condition is None else batch.condition[:3]
    loop.estimate_statistics()
    made = loop.sampler.sample(
        loop.energy, 3, condition, loop.state, Context(0, {}, Randomness([0]))
    )
    assert made is None or made.x.shape == (3, bands, *data.domain.shape[1:])
    with torch.no_grad():
        energy = loop.energy(batch.x, batch.condition, stream="eval").energy
    assert energy.isfinite().all()
