from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from energan.core import DataError
from energan.data import DataSet, DataSettings, open_data


def opened(**settings: object) -> DataSet:
    return open_data(DataSettings.model_validate(settings))


@pytest.mark.parametrize("wanted", [["3", "5"], [5, 3], ["8"]])
def test_classes_are_picked_and_renumbered_in_the_order_given(wanted: list[str | int]) -> None:
    full, some = opened(), opened(classes=wanted)
    assert some.domain.classes == len(wanted)
    assert some.class_names == tuple(map(str, wanted))
    assert full.labels is not None
    assert some.labels is not None
    kept = torch.isin(full.labels, torch.tensor([int(k) for k in wanted]))
    count = min(int(kept.sum()), len(some))  # the held-out part is a tenth of these classes
    old = torch.tensor([int(k) for k in wanted])[some.labels]
    assert torch.equal(some.raw()[:count], full.raw()[kept][:count])
    assert torch.equal(old[:count], full.labels[kept][:count])
    assert some.held_out is not None
    assert (len(some) + len(some.held_out)) // 10 == pytest.approx(len(some.held_out), abs=1)
    x = some.gather(torch.arange(5), conditions=True)
    assert torch.equal(x.condition, some.labels[:5])  # type: ignore[arg-type]


def test_points_keep_their_modes_by_label() -> None:
    full, some = opened(source="ring"), opened(source="ring", classes=["7", "2"])
    assert full.modes is not None
    assert some.modes is not None
    assert some.labels is not None
    assert torch.equal(some.modes, full.modes[[7, 2]])
    far = (some.raw() - some.modes[some.labels]).norm(dim=1)
    assert far.max() < 0.2


def test_unknown_classes_name_near_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"digits has no class '11' among its 10; it has"):
        opened(classes=["11"])
    np.save(tmp_path / "a.npy", np.zeros((20, 4, 4), np.uint8))
    with pytest.raises(DataError, match=r"a\.npy has no classes; leave it unset"):
        opened(source=str(tmp_path / "a.npy"), classes=["1"])


def test_size_crop_channels_and_random_crop_serve_arrays_too() -> None:
    data = opened(size=16, channels="colour", random_crop=12, mirror=True)
    assert data.domain.shape == (3, 12, 12)
    assert data.events.shape[1:] == (3, 16, 16)
    assert opened(crop=[1, 1, 5, 7]).domain.shape == (1, 6, 4)
    whole, cut = opened(), opened(crop=[1, 2, 5, 7])
    assert torch.equal(
        whole.gather(torch.arange(9)).x[:, :, 2:7, 1:5], cut.gather(torch.arange(9)).x
    )


def test_training_sees_windows_of_images_that_stay_whole_for_judging() -> None:
    data, cropped = opened(size=16, tile=12, mirror=True), opened(size=16, random_crop=12)
    assert data.domain.shape == (1, 12, 12)
    assert data.domain.image_shape == (1, 16, 16)
    windows = data.feed([3], 5)(7).x
    crops = opened(size=16, random_crop=12, mirror=True).feed([3], 5)(7).x
    assert torch.equal(windows, crops)
    whole, plain = data.whole, opened(size=16)
    assert whole.domain == plain.domain
    assert whole.held_out is not None
    assert whole.held_out.domain == plain.domain
    rows = torch.arange(9)
    assert torch.equal(whole.gather(rows).x, plain.gather(rows).x)
    assert cropped.whole is cropped
    assert opened(tile=8).domain.image_shape is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tile": 9}, r"data\.tile 9 is larger than the images of digits, 8x8"),
        ({"source": "ring", "tile": 1}, r"leave data\.tile unset"),
        ({"crop": [0, 0, 9, 9]}, r"data\.crop: digits: its 8x8 pixels do not contain"),
        ({"random_crop": 9}, r"data\.random_crop 9 is larger than the images of digits, 8x8"),
        ({"source": "ring", "size": 4}, r"points, not images: leave data\.size unset"),
        ({"source": "ring", "mirror": True}, r"leave data\.mirror unset"),
        ({"source": "ring", "random_crop": 1}, r"leave data\.random_crop unset"),
        ({"source": "ring", "crop": [0, 0, 1, 1]}, r"leave data\.crop unset"),
    ],
)
def test_settings_that_do_not_suit_the_source_are_refused(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        opened(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"crop": [5, 0, 5, 9]}, {"crop": [-1, 0, 5, 9]}, {"crop": [1, 2, 3]}, {"size": 0},
        {"size": 8, "random_crop": 9}, {"channels": "rgb"}, {"storage": "disk"}, {"fit": "zoom"},
        {"intensity": [5, 5]}, {"background": "plaid"}, {"show_bands": [1, 2]},
        {"show_bands": [0]}, {"pages": "second"}, {"size": 8, "tile": 9}, {"overlap": 2},
        {"size": [8, 0]}, {"size": [8, 8, 8]}, {"size": []}, {"size": True},
        {"size": [9, 7], "tile": 8}, {"tile": 8, "random_crop": 8}, {"tile": 8, "overlap": 8},
    ],
)  # fmt: skip
def test_settings_out_of_bounds_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DataSettings.model_validate(settings)


def test_the_held_out_part_and_the_subset_share_the_events() -> None:
    data = opened(limit=50, classes=["1", "2"])
    assert data.held_out is not None
    assert data.events.data_ptr() == data.held_out.events.data_ptr()
    both = {bytes(image.numpy()) for part in (data, data.held_out) for image in part.raw()}
    assert len(both) <= len(data) + len(data.held_out)
