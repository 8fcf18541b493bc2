"""The model of cells: what it needs of the data, and what its settings reach."""

import pytest
import torch

from energan.core import Domain, SettingError
from energan.models import inspect
from energan.nets.segmentation import LocalNorm
from energan.samplers.synthetic_defects import SyntheticDefects

IMAGES = Domain((3, 20, 28), -1.0, 1.0)


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        (Domain((2,)), "convolutional and the data holds points"),
        (Domain((1, 8, 8)), "data has none"),
    ],
)
def test_data_that_it_cannot_take_is_refused(domain: Domain, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        inspect.build(inspect.Config.tiny(), domain)


@pytest.mark.parametrize("cell", [1, 2, 4])
@pytest.mark.parametrize("window", [0, 16])
def test_settings_reach_the_network(cell: int, window: int) -> None:
    config = inspect.Config.tiny().model_copy(update={"cell": cell, "window": window, "nearest": 0})
    model = inspect.build(config, IMAGES)
    scored = model.energy(torch.rand(2, 3, 20, 28), stream="eval")
    assert scored.map is not None
    assert scored.map.shape == (2, 20 // cell, 28 // cell)
    torch.testing.assert_close(scored.energy, scored.map.amax((1, 2)))
    assert any(isinstance(layer, LocalNorm) for layer in model.energy.modules()) == bool(window)
    assert isinstance(model.sampler, SyntheticDefects)
    assert not model.sampler.makes_samples
