"""Looking at large images takes a bounded amount of memory: fewer at once, and fewer in all."""

import pytest
import torch

from energan.core import Batch, Context, Domain, Randomness
from energan.data.dataset import DataSet
from energan.experiment.callbacks.scores import Score
from energan.models import dcgan, ebgan_imagenet
from energan.nets.dense import BatchNorm
from energan.samplers.generator import Generator
from energan.training import batch_statistics
from energan.training.batch_statistics import CHUNK, bounded
from energan.training.device import Device
from support.helpers import make_loop, small_data

SMALL = {"generator_width": 1, "encoder_width": 1, "noise_width": 1}


@pytest.mark.parametrize(
    ("shape", "kept"),
    [((2,), CHUNK), ((3, 64, 64), CHUNK), ((3, 128, 128), 62), ((1, 128, 128), 187),
     ((3, 256, 256), 32)],
)  # fmt: skip
def test_a_chunk_of_large_images_is_smaller(shape: tuple[int, ...], kept: int) -> None:
    x = torch.empty(1, device="meta").expand(CHUNK, *shape)
    batch = bounded(Batch(x, torch.arange(CHUNK)), 1)
    assert len(batch.x) == kept
    assert batch.condition is not None
    assert torch.equal(batch.condition, torch.arange(kept))
    members = bounded(Batch(x.expand(2, *x.shape)), 2)
    assert members.x.shape == (2, kept, *shape)


def test_calibration_of_large_images_sees_as_many_as_that() -> None:
    domain = Domain((1, 256, 256), -1.0, 1.0)
    config = ebgan_imagenet.Config(**SMALL)
    loop = make_loop(lambda seed: ebgan_imagenet.build(config, domain), small_data(domain, 4))
    loop.estimate_statistics([loop.networks])
    images = 46 * (batch_statistics.SAMPLES // CHUNK)  # 46 in each chunk
    norms = [m for m in loop.energy.modules() if isinstance(m, BatchNorm)]
    assert {float(m.count) for m in norms} == {images * side**2 for side in (16, 32, 64, 128)}
    first = next(m for m in loop.sampler.modules() if isinstance(m, BatchNorm))
    assert float(first.count) == images * 4**2


def test_samples_in_parts_are_the_same_samples() -> None:
    config = dcgan.Config(generator_width=2, discriminator_width=2)
    torch.manual_seed(0)
    model = dcgan.build(config, Domain((3, 16, 16), -1.0, 1.0))
    assert isinstance(model.sampler, Generator)
    seen: list[int] = []
    model.sampler.network[0].register_forward_hook(lambda _, z, out: seen.append(len(z[0])))
    made = []
    for at_once in (None, 3, 7, 100):
        model.sampler.at_once = at_once
        context = Context(0, {}, Randomness([0]))
        made.append(model.sampler.sample(model.energy, 7, None, {}, context))
    assert seen == [7, 3, 3, 1, 7, 7]
    for draw in made:
        assert draw is not None
        torch.testing.assert_close(draw.x, made[0].x)


@pytest.mark.parametrize(("side", "count"), [(8, 1000), (64, 1000), (128, 250), (256, 125)])
def test_scores_on_the_way_take_fewer_large_images(side: int, count: int) -> None:
    domain = Domain((3, side, side), -1.0, 1.0)
    events = torch.zeros(2, *domain.shape, dtype=torch.uint8)
    data = DataSet("images", events, domain, None)
    assert Score(data, Device(torch.device("cpu"), "32", 1)).count == count
