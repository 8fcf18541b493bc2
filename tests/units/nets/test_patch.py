"""The patch discriminator: its layers, and which pixels one logit sees, told by gradients."""

import pytest
import torch
from torch import nn

from energan.core import SettingError
from energan.nets.instance_norm import PresentNorm
from energan.nets.patch import check_patches, patch_logits, receptive_field, strides

PUBLISHED = (64, 128, 256, 512)


def test_the_published_network_layer_by_layer() -> None:
    """64-128-256-512-1, 4×4, strides 2 2 2 1 1, no norm on the first layer (appendix 6.1.2)."""
    with torch.device("meta"):
        network = patch_logits(6, PUBLISHED)
    layers = [m for m in network if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in layers] == [
        (6, 64), (64, 128), (128, 256), (256, 512), (512, 1),
    ]  # fmt: skip
    assert [c.kernel_size for c in layers] == [(4, 4)] * 5
    assert [c.stride[0] for c in layers] == [2, 2, 2, 1, 1] == list(strides(PUBLISHED))
    assert [c.bias is not None for c in layers] == [True, False, False, False, True]
    kinds = [type(m) for m in network]
    triple = [nn.Conv2d, PresentNorm, nn.LeakyReLU]
    assert kinds == [nn.Conv2d, nn.LeakyReLU, *triple * 3, nn.Conv2d]
    assert {m.negative_slope for m in network if isinstance(m, nn.LeakyReLU)} == {0.2}
    assert network(torch.empty(1, 6, 256, 256, device="meta"), "real").shape == (1, 1, 30, 30)


@pytest.mark.parametrize(("count", "side"), [(2, 16), (3, 34), (4, 70), (5, 142)])
def test_the_receptive_field_told_by_gradients(count: int, side: int) -> None:
    """The pixels with an influence on one logit in the middle are a square, all of it: 70×70.

    Without the norms, whose statistics are of the whole image; weights are positive, so that no
    influence cancels.
    """
    widths = (2,) * count
    network = patch_logits(3, widths).double()
    for i, layer in enumerate(network):
        if isinstance(layer, PresentNorm):
            network[i] = nn.Identity()
        elif isinstance(layer, nn.Conv2d):
            nn.init.uniform_(layer.weight, 0.1, 1.0)
    x = torch.rand(1, 3, 256, 200, dtype=torch.double, requires_grad=True)
    logits = network(x, "real")
    h, w = logits.shape[2:]
    logits[0, 0, h // 2, w // 2].backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(0) > 0
    rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
    assert len(rows) == len(columns) == side == receptive_field(widths)
    assert int(rows[-1] - rows[0]) == int(columns[-1] - columns[0]) == side - 1
    assert seen.sum() == side * side
    assert (x.grad[0][:, seen] > 0).all()  # of both images: the source's channels too


@pytest.mark.parametrize("widths", [(4, 8), (4, 8, 8), (2, 4, 8, 8), (2, 2, 2, 2, 2)])
@pytest.mark.parametrize("size", range(1, 61, 3))
def test_images_without_a_patch_are_refused_and_others_pass(widths, size: int) -> None:
    network = patch_logits(1, widths)
    for layer in network:
        if isinstance(layer, PresentNorm):
            layer.forward = lambda x, stream: x  # sides alone are asked about
    x = torch.randn(1, 1, size, size + 8)
    if size >= {2: 6, 3: 12, 4: 24, 5: 48}[len(widths)]:
        check_patches(widths, size, size + 8)
        assert network(x, "real").numel() >= 1
    else:
        with pytest.raises(SettingError, match=r"--data\.size"):
            check_patches(widths, size, size + 8)
        with pytest.raises(RuntimeError):
            network(x, "real")


def test_24_pixels_are_the_least_of_the_published_network() -> None:
    check_patches(PUBLISHED, 24, 300)
    with pytest.raises(SettingError, match="after 4 layers nothing is left of images of 300x23"):
        check_patches(PUBLISHED, 23, 300)


def test_one_width_is_too_few() -> None:
    with pytest.raises(ValueError, match="two layers or more"):
        patch_logits(3, (8,))
