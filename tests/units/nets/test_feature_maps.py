"""Feature maps of frozen networks: which layers, one grid, nothing that trains."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from energan.core import Calibrated, DataError, SettingError, calibrating
from energan.nets.dense import BatchNorm, Sequential
from energan.nets.feature_maps import (
    FeatureMaps,
    FrozenNetwork,
    average,
    default_layers,
    on_one_grid,
)

SHAPE = (3, 16, 16)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, 2, 1), nn.Flatten(),
    )  # fmt: skip


def test_the_average_is_of_the_cells_that_there_are() -> None:
    maps = torch.rand(2, 3, 5, 4)
    found = average(maps, 3)
    for y in range(5):
        for x in range(4):
            near = maps[:, :, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            torch.testing.assert_close(found[:, :, y, x], near.mean((2, 3)))
    assert average(maps, 1) is maps


def test_maps_are_resized_to_the_finest_grid_and_stand_one_after_the_other() -> None:
    fine, coarse = torch.rand(2, 3, 6, 4), torch.rand(2, 5, 3, 2)
    found = on_one_grid([coarse, fine])
    assert torch.equal(found[:, 5:], fine)
    expected = F.interpolate(coarse, (6, 4), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found[:, :5], expected)


@pytest.mark.parametrize(
    ("side", "levels", "expected"),
    [
        (224, (112, 56, 28, 14, 7), (28, 14)),  # PatchCore's layers 2 and 3 of a ResNet
        (256, (128, 64, 32, 16, 8), (32, 16)),
        (512, (256, 128, 64, 32, 16), (64, 32)),
        (64, (32, 16, 8, 16, 32, 64), (32, 16)),  # of an auto-encoder, its decoder left out
        (8, (8, 4, 8), (8, 4)),
    ],
)
def test_layers_of_middle_depth_are_chosen(
    side: int, levels: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    sizes = {}
    for number, level in enumerate(levels):
        sizes |= {f"{number}a": (8, level, level), f"{number}b": (8, level, level)}
    found = default_layers(sizes, (3, side, side))
    assert tuple(sizes[name][1] for name in found) == expected
    assert all(name.endswith("b") for name in found)  # the last of each level


def test_without_maps_it_is_the_code() -> None:
    sizes = {"picture": (3, 8, 8), "a": (20,), "code": (4,), "b": (20,), "logit": (1,)}
    assert default_layers(sizes, (1, 8, 8)) == ("code",)
    with pytest.raises(SettingError, match="no layer with a feature map: use another network"):
        default_layers({"logit": (1,)}, (1, 8, 8))


def test_features_are_those_of_the_layers_of_standardised_images() -> None:
    plain = network().eval()
    features = FeatureMaps(
        FrozenNetwork(network(), SHAPE, ("1", "2")), SHAPE, (-1.0, 1.0),
        (0.1, 0.2, 0.3), (1.0, 2.0, 4.0), window=1,
    )  # fmt: skip
    x = torch.rand(2, *SHAPE) * 2 - 1
    unit = (x + 1) / 2
    given = torch.stack([(unit[:, 0] - 0.1), (unit[:, 1] - 0.2) / 2, (unit[:, 2] - 0.3) / 4], 1)
    first = plain[1](plain[0](given))
    expected = on_one_grid([first, plain[2](first)])
    torch.testing.assert_close(features(x), expected)
    assert features.shape == (10, 16, 16)
    grey = FeatureMaps(
        FrozenNetwork(network(), SHAPE, ("0",)), (1, 16, 16), (0.0, 1.0), (0.0,) * 3, (1.0,) * 3
    )
    torch.testing.assert_close(
        grey(unit[:, :1]), average(plain[0](unit[:, :1].repeat(1, 3, 1, 1)), 3)
    )


def test_a_choice_of_channels_is_random_and_kept_with_the_weights() -> None:
    def build(seed: int) -> FeatureMaps:
        torch.manual_seed(seed)
        frozen = FrozenNetwork(network(), SHAPE, ("0", "2"))
        torch.manual_seed(seed)
        return FeatureMaps(frozen, SHAPE, (0.0, 1.0), (0.0,) * 3, (1.0,) * 3, channels=4)

    first, other = build(0), build(5)
    x = torch.rand(2, *SHAPE)
    assert first(x).shape == (2, 4, 16, 16)
    assert not torch.equal(first(x), other(x))
    other.load_state_dict(first.state_dict())
    assert torch.equal(first(x), other(x))


def test_nothing_of_a_frozen_network_trains_or_is_measured() -> None:
    class OfOurs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = Sequential(nn.Conv2d(3, 4, 3), BatchNorm(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.layers(x, "eval")
            return found

    frozen = FrozenNetwork(OfOurs(), SHAPE, ("layers",))
    assert not list(frozen.parameters())
    assert not frozen.state_dict()
    before = [one.clone() for one in frozen.buffers()]
    with torch.no_grad(), calibrating(frozen) as reads:
        assert not reads
        frozen(torch.rand(4, *SHAPE))
    assert all(torch.equal(a, b) for a, b in zip(before, frozen.buffers(), strict=True))
    assert any(isinstance(layer, Calibrated) for layer in frozen.modules())


def test_weights_of_another_file_are_refused() -> None:
    def build(digest: str) -> FeatureMaps:
        frozen = FrozenNetwork(network(), SHAPE, ("0",))
        options = {"digest": digest, "name": "net.onnx"}
        return FeatureMaps(frozen, SHAPE, (0.0, 1.0), (0.0,) * 3, (1.0,) * 3, **options)  # type: ignore[arg-type]

    first = build("00" * 32)
    first.load_state_dict(build("00" * 32).state_dict())
    with pytest.raises(DataError, match=r"net\.onnx has changed since the run was trained"):
        first.load_state_dict(build("0a" * 32).state_dict())


def test_mistakes_are_told() -> None:
    with pytest.raises(SettingError, match="has no layer 9"):
        FrozenNetwork(network(), SHAPE, ("9",))
    with pytest.raises(SettingError, match="takes images of 3 channels, and these have 2"):
        FeatureMaps(
            FrozenNetwork(network(), SHAPE), (2, 16, 16), (0.0, 1.0), (0.0,) * 3, (1.0,) * 3
        )
