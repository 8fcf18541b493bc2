"""A timm network from its weights: the name, the weights, what is told.

timm itself needs torchvision; where it is not installed a stand-in with its two calls serves.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from energan.core import DataError, SettingError
from energan.nets.timm_network import timm_network

SHAPE = (3, 32, 32)


class Small(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer1, self.layer2 = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 3, 2, 1)
        self.fc = nn.Linear(5, classes) if classes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.fc(self.layer2(self.layer1(x)).mean((2, 3)))
        return found


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_model(name: str, pretrained: bool, num_classes: int) -> nn.Module:
        assert not pretrained
        return Small(num_classes)

    stand_in = SimpleNamespace(is_model=lambda name: name == "small", create_model=create_model)
    monkeypatch.setitem(sys.modules, "timm", stand_in)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "small.in1k.safetensors"
    save_file(Small(7).state_dict(), path)
    return path


@pytest.mark.usefixtures("timm")
def test_features_are_those_of_the_weights_whatever_the_classes(weights: Path) -> None:
    whole = Small(7)
    from safetensors.torch import load_file

    whole.load_state_dict(load_file(weights))
    x = torch.rand(2, *SHAPE)
    first, second = timm_network(weights, SHAPE, ("layer1", "layer2"))(x)
    assert torch.equal(first, whole.layer1(x))
    assert torch.equal(second, whole.layer2(whole.layer1(x)))


@pytest.mark.usefixtures("timm")
def test_the_config_beside_the_file_names_the_network(weights: Path) -> None:
    path = weights.rename(weights.parent / "model.safetensors")
    with pytest.raises(SettingError, match=r"timm has no network .?model.?; put the config\.json"):
        timm_network(path, SHAPE)
    (path.parent / "config.json").write_text(json.dumps({"architecture": "small"}))
    assert timm_network(path, SHAPE).layers == ("layer1",)


@pytest.mark.usefixtures("timm")
def test_other_weights_are_refused(weights: Path) -> None:
    save_file({"fc.bias": torch.zeros(7)}, weights)
    with pytest.raises(DataError, match=r"does not hold the weights of small: it lacks layer1"):
        timm_network(weights, SHAPE)


def test_without_timm_it_says_what_to_install(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SettingError, match=r"pip install 'energan\[timm\]'"):
        timm_network(weights, SHAPE)
