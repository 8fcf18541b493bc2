import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from energan.core import DataError, Domain
from energan.data.dataset import DataSet, mean_event, rescale
from support.helpers import small_data

SIGNED, UNIT = Domain((1, 2, 3), -1.0, 1.0, 4), Domain((1, 2, 3), 0.0, 1.0, 4)


def images(domain: Domain = SIGNED, count: int = 7, labels: bool = True) -> DataSet:
    generator = torch.Generator().manual_seed(0)
    events = torch.randint(0, 256, (count, *domain.shape), generator=generator, dtype=torch.uint8)
    return DataSet("test", events, domain, torch.arange(count) % 4 if labels else None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("domain", [SIGNED, UNIT])
def test_every_grey_level_lands_where_it_should_and_the_ends_exactly(
    domain: Domain, dtype: torch.dtype
) -> None:
    levels = rescale(torch.arange(256, dtype=torch.uint8), domain, dtype)
    assert domain.low is not None
    assert domain.high is not None
    expected = np.linspace(domain.low, domain.high, 256)
    assert levels.dtype == dtype
    np.testing.assert_allclose(levels.numpy(), expected, atol=1e-7)
    assert levels[0] == domain.low
    assert levels[-1] == domain.high


@given(st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), min_size=1, max_size=4))
def test_gather_is_indexing_for_indices_of_any_shape(rows: list[list[int]]) -> None:
    data = images()
    indices = torch.tensor(rows)  # (M, 3)
    batch = data.gather(indices, torch.float64, conditions=True)
    assert data.labels is not None
    whole = data.events.double() / 127.5 - 1
    assert torch.equal(batch.x, whole[indices])
    assert batch.condition is not None
    assert torch.equal(batch.condition, data.labels[indices])
    one = data.gather(indices[0], torch.float64)
    assert torch.equal(one.x, whole[indices[0]])
    assert one.condition is None


def test_gather_copies_so_that_a_batch_may_be_changed() -> None:
    data = DataSet("points", torch.zeros(3, 2), Domain((2,)))
    data.gather(torch.arange(3)).x.add_(1)
    assert data.events.eq(0).all()


def test_conditions_without_labels_are_refused_by_name() -> None:
    with pytest.raises(DataError, match="test has no labels"):
        images(labels=False).gather(torch.arange(2), conditions=True)


def test_parts_that_do_not_fit_are_refused() -> None:
    events = torch.zeros(3, 1, 2, 3, dtype=torch.uint8)
    with pytest.raises(DataError, match="2 labels for 3 images"):
        DataSet("test", events, SIGNED, torch.zeros(2, dtype=torch.int64))
    with pytest.raises(DataError, match="do not match the domain"):
        DataSet("test", events, Domain((1, 3, 2), -1.0, 1.0))
    with pytest.raises(DataError, match="need a domain with a range"):
        DataSet("test", events, Domain((1, 2, 3)))


@pytest.mark.parametrize("domain", [SIGNED, UNIT])
def test_mean_event_is_the_mean_of_what_gather_gives(domain: Domain) -> None:
    data = images(domain, count=5000)  # more than one chunk
    everything = data.gather(torch.arange(5000), torch.float64).x
    mean = mean_event(data)
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean, everything.mean(0).float())


def test_the_fingerprint_changes_with_everything_that_training_sees() -> None:
    data = images()
    assert data.labels is not None
    pixel = data.events.clone()
    pixel[3, 0, 1, 1] ^= 1
    label = data.labels.clone()
    label[0] = 3
    others = [
        DataSet("test", pixel, SIGNED, data.labels),
        DataSet("test", data.events, SIGNED, label),
        DataSet("test", data.events, SIGNED),
        DataSet("test", data.events, UNIT, data.labels),
        DataSet("test", data.events[:-1], SIGNED, data.labels[:-1]),
        DataSet(
            "test", data.events.reshape(7, 1, 3, 2), Domain((1, 3, 2), -1.0, 1.0, 4), data.labels
        ),
        DataSet("test", data.events.mT, Domain((1, 3, 2), -1.0, 1.0, 4), data.labels),
    ]
    prints = {d.fingerprint for d in (data, *others)}
    assert len(prints) == 1 + len(others)
    assert all(len(p) == len(hashlib.sha256().hexdigest()) for p in prints)


def test_the_fingerprint_does_not_depend_on_name_memory_or_device() -> None:
    data = images()
    assert data.labels is not None
    spread = torch.stack([data.events, data.events], 1)[:, 0]  # the same, but not contiguous
    assert not spread.is_contiguous()
    again = DataSet("other", spread, SIGNED, data.labels.clone())
    assert again.fingerprint == data.fingerprint == data.to("cpu").fingerprint


def test_to_moves_every_part() -> None:
    held_out = images(count=2)
    data = DataSet(
        "test", images().events, SIGNED, images().labels, held_out, torch.zeros(4, 2), 0.1
    )
    moved = data.to("meta")
    assert moved.held_out is not None
    parts = (moved.events, moved.labels, moved.modes, moved.held_out.events, moved.held_out.labels)
    assert all(p is not None and p.device.type == "meta" for p in parts)
    assert (moved.name, moved.domain, moved.mode_std) == (data.name, data.domain, 0.1)


def test_a_set_prints_as_one_line() -> None:
    data = images(count=2000)
    said = "DataSet('test': 2,000 examples of shape (1, 2, 3), in [-1, 1], 4 classes)"
    assert repr(data) == said
    kept = replace(images(labels=False), held_out=images(count=1))
    assert repr(kept) == "DataSet('test': 7 examples of shape (1, 2, 3), in [-1, 1], 1 held out)"
    points = DataSet("ring", torch.zeros(1, 2), Domain((2,)))
    assert repr(points) == "DataSet('ring': 1 example of shape (2,))"
    assert repr(small_data(Domain((1, 4, 4), 0, 1, condition_shape=(2, 4, 4)), 3)) == (
        "PairSet('pairs': 3 examples of shape (1, 4, 4), each with a condition of shape (2, 4, 4), "
        "in [0, 1])"
    )
