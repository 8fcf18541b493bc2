"""Maps that are computed again give the same training, and leave no trace."""

import copy

import pytest
import torch
from torch import Tensor, nn

from energan.core import Domain, Model, calibrating
from energan.models import dcgan, ebgan_imagenet
from energan.nets.dense import BatchNorm, Dropout, Sequential
from energan.nets.recompute import Recomputed, recomputed
from support.helpers import assert_identical, make_loop, small_data, snapshot

IMAGES = Domain((3, 16, 16), -1.0, 1.0)
SMALL = {"generator": (16, 8, 8), "noise": (4, 2), "encoder": (8, 16), "latent": 6}


def built(checkpointing: bool, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    config = ebgan_imagenet.Config(**SMALL, checkpointing=checkpointing)
    return ebgan_imagenet.build(config, IMAGES)


def gradients(network: nn.Module, x: Tensor, *, half: bool = False) -> list[Tensor]:
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        y = network(x, "fake")
        out = y[0] if isinstance(y, tuple) else y
    loss = out.float().square().sum()
    return list(torch.autograd.grad(loss, [x, *network.parameters()]))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("part", ["sampler", "energy"])
def test_gradients_are_those_of_the_plain_network_to_the_bit(part: str, half: bool) -> None:
    plain, again = (getattr(built(flag), part).network for flag in (False, True))
    assert any(isinstance(m, Recomputed) for m in again.modules())
    x = torch.randn(4, 6 + 4 * 16 + 2 * 64) if part == "sampler" else torch.randn(4, 3, 16, 16)
    for a, b in zip(gradients(plain, x, half=half), gradients(again, x, half=half), strict=True):
        assert torch.equal(a, b)


def test_training_is_the_same_step_for_step_and_so_are_the_measured_statistics() -> None:
    data = small_data(IMAGES)
    loops = [make_loop([built(flag)], data, steps=4) for flag in (False, True)]
    for loop in loops:
        loop.run()
        loop.estimate_statistics()
    assert_identical(snapshot(loops[0]), snapshot(loops[1]))
    buffers = [dict(loop.networks.named_buffers()) for loop in loops]
    assert buffers[0].keys() == buffers[1].keys()
    assert all(torch.equal(v, buffers[1][k]) for k, v in buffers[0].items())
    counts = [v for k, v in buffers[1].items() if k.endswith(".count")]
    assert counts
    assert all(c > 0 for c in counts)  # each pass counted once, in evaluation alone


def test_the_names_of_parameters_stay_so_that_either_loads_the_other() -> None:
    plain, again = built(False, 0), built(True, 1)
    for a, b in ((plain.energy, again.energy), (plain.sampler, again.sampler)):
        b.load_state_dict(a.state_dict())
        assert list(a.state_dict()) == list(b.state_dict())


def test_a_backward_pass_leaves_statistics_and_torchs_generator_alone() -> None:
    network = built(True).energy.network
    before = copy.deepcopy(dict(network.named_buffers()))
    drawn = torch.get_rng_state()
    gradients(network, torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)))
    assert all(torch.equal(v, before[k]) for k, v in network.named_buffers())
    assert torch.equal(torch.get_rng_state(), drawn)


def test_measuring_with_gradient_on_counts_once() -> None:
    chain = recomputed(nn.ModuleList([Sequential(nn.Conv2d(1, 2, 1), BatchNorm(2))]))[0]
    x = torch.randn(5, 1, 2, 2)
    with calibrating(chain):
        chain(x, "eval").sum().backward()
    assert float(chain[1].count) == 20


def test_less_is_kept_for_the_gradient() -> None:
    """Of each layer its input alone: about half of what convolution, norm and activation keep."""

    def kept(network: nn.Module, x: Tensor) -> int:
        held: dict[int, int] = {}

        def pack(t: Tensor) -> Tensor:
            held[t.data_ptr()] = t.untyped_storage().nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            network(x, "fake")
        own = {p.data_ptr() for p in network.parameters()}
        return sum(size for where, size in held.items() if where not in own)

    x = torch.randn(4, 3, 16, 16)
    again, plain = (kept(built(flag).energy.network, x) for flag in (True, False))
    # the inputs of four convolutions and of the bridge, float32, for four images
    assert again == 4 * 4 * (3 * 256 + 2 * 8 * 64 + 2 * 16 * 16)
    assert again < 0.6 * plain


def test_stages_begin_at_convolutions() -> None:
    chain = Recomputed(nn.ReLU(), nn.Conv2d(1, 2, 1), BatchNorm(2), nn.Conv2d(2, 1, 1), nn.Tanh())
    assert [[type(m) for m in stage] for stage in chain._stages()] == [
        [nn.ReLU], [nn.Conv2d, BatchNorm], [nn.Conv2d, nn.Tanh],
    ]  # fmt: skip


def test_a_network_that_draws_is_refused() -> None:
    with pytest.raises(ValueError, match="draw"):
        recomputed(nn.Sequential(Sequential(Dropout(0.5))))


def test_another_network_can_be_recomputed_too() -> None:
    model = dcgan.build(dcgan.Config(generator_width=4, discriminator_width=4), IMAGES)
    plain = copy.deepcopy(model.energy)
    x = torch.randn(3, 3, 16, 16)
    for a, b in zip(
        gradients(plain.network, x), gradients(recomputed(model.energy).network, x), strict=True
    ):
        assert torch.equal(a, b)
