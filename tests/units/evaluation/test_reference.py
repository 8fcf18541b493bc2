"""Samples are brought to where real events are before they are judged."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from energan.core import DataError, Domain
from energan.data import DataSettings, open_data
from energan.evaluation.reference import View, reference_for


@given(pad=st.integers(8, 13), signed=st.booleans(), seed=st.integers(0, 100))
def test_a_view_undoes_padding_and_range(pad: int, signed: bool, seed: int) -> None:
    """What training sees of an image, brought back, is the image."""
    settings = DataSettings(pad=pad, range="signed" if signed else "unit")
    data = open_data(settings)
    rows = torch.randint(len(data), (4,), generator=torch.Generator().manual_seed(seed))
    plain = open_data(DataSettings(range="unit"))
    view = View(data.domain, (1, 8, 8))
    assert torch.allclose(view(data.gather(rows).x), plain.gather(rows).x, atol=1e-6)


def test_points_are_left_alone() -> None:
    points = torch.randn(5, 2)
    assert View(Domain((2,)), (2,))(points) is points


def test_samples_beyond_the_range_are_clipped_as_pictures_are() -> None:
    x = torch.tensor([-3.0, 0.0, 3.0]).reshape(1, 1, 1, 3)
    assert View(Domain((1, 1, 3), -1.0, 1.0), (1, 1, 3))(x).flatten().tolist() == [0.0, 0.5, 1.0]


def test_a_set_without_a_test_part_is_judged_by_what_was_held_out() -> None:
    found = reference_for(DataSettings(pad=12, limit=50), Domain((1, 12, 12), -1.0, 1.0))
    assert found.split == "held-out"
    assert found.judged.domain.shape == (1, 8, 8)
    assert (found.judged.domain.low, found.judged.domain.high) == (0.0, 1.0)
    assert len(found.training) == 50  # what the run learnt from


def test_another_reference_of_another_size_is_resized() -> None:
    found = reference_for(DataSettings(source="ring"), Domain((1, 16, 16), -1.0, 1.0), "digits")
    assert found.judged.domain.shape == (1, 16, 16)


def test_a_reference_of_another_kind_is_refused() -> None:
    with pytest.raises(DataError, match=r"the reference ring has examples of shape \(2,\)"):
        reference_for(DataSettings(pad=9), Domain((1, 9, 9), -1.0, 1.0), "ring")


def test_augmentation_does_not_reach_the_reference() -> None:
    found = reference_for(DataSettings(mirror=True), Domain((1, 8, 8), -1.0, 1.0))
    assert not found.training.augment
