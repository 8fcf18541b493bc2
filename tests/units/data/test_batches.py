import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from energan.core import DataError, Domain
from energan.data.batches import Feed, epoch_order
from energan.data.dataset import DataSet

SIZES, BATCHES, SEEDS = st.integers(1, 13), st.integers(1, 30), st.integers(0, 2**40)


def numbered(size: int) -> DataSet:
    """Event i is the number i, with label 10 i."""
    events = torch.arange(size, dtype=torch.float32)[:, None]
    return DataSet("numbered", events, Domain((1,)), torch.arange(size) * 10)


@given(SIZES, BATCHES, SEEDS, st.integers(0, 40), st.integers(1, 3))
def test_a_batch_is_what_the_slow_definition_says(
    size: int, batch: int, seed: int, step: int, substeps: int
) -> None:
    feed = Feed(numbered(size), [seed], batch)
    for substep in range(substeps):
        start = (step * substeps + substep) * batch
        slow = [
            epoch_order(seed, "train", p // size, size)[p % size].item()
            for p in range(start, start + batch)
        ]
        assert feed(step, substep, substeps).x.flatten().tolist() == slow


@given(SIZES, BATCHES, SEEDS)
def test_every_event_comes_once_an_epoch_and_none_is_dropped(
    size: int, batch: int, seed: int
) -> None:
    feed = Feed(numbered(size), [seed], batch)
    steps = -(-4 * size // batch)  # four epochs
    seen = torch.cat([feed.indices(step) for step in range(steps)])[: 4 * size]
    for epoch in seen.reshape(4, size).tolist():
        assert sorted(epoch) == list(range(size))


@given(SIZES, BATCHES, SEEDS, st.lists(st.integers(0, 30), min_size=1, max_size=12))
def test_random_access_equals_sequential_access(
    size: int, batch: int, seed: int, visits: list[int]
) -> None:
    sequential, jumping = (Feed(numbered(size), [seed], batch) for _ in range(2))
    line = [sequential.indices(step) for step in range(31)]
    for step in visits:
        assert torch.equal(jumping.indices(step), line[step])


@given(SIZES, BATCHES, st.lists(SEEDS, min_size=2, max_size=4, unique=True), st.integers(0, 20))
def test_each_member_of_a_cohort_sees_what_its_own_run_sees(
    size: int, batch: int, seeds: list[int], step: int
) -> None:
    together = Feed(numbered(size), seeds, batch)(step)
    assert together.x.shape == (len(seeds), batch, 1)
    for row, seed in zip(together.x, seeds, strict=True):
        assert torch.equal(row, Feed(numbered(size), [seed], batch)(step).x)


def test_orders_differ_between_epochs_seeds_and_streams() -> None:
    orders = [
        epoch_order(seed, stream, epoch, 100).tolist()
        for seed in (0, 1) for stream in ("train", "labelled") for epoch in (0, 1)
    ]  # fmt: skip
    assert len({tuple(order) for order in orders}) == 8
    assert Feed(numbered(100), [0], 100, stream="labelled").indices(0).tolist() == orders[2]


def test_remembering_does_not_grow_with_the_run() -> None:
    feed = Feed(numbered(5), [0, 1, 2], 5)
    for step in range(50):
        feed(step)
    assert feed._order.cache_info().currsize <= 6


def test_each_permutation_is_computed_once_in_a_sequential_run() -> None:
    feed = Feed(numbered(10), [0, 1], 3)
    for step in range(20):  # 60 positions: 6 epochs of two members
        feed(step)
    assert feed._order.cache_info().misses == 12


def test_conditions_and_dtype_are_handed_on() -> None:
    batch = Feed(numbered(6), [3], 4, torch.float64, conditions=True)(2)
    assert batch.x.dtype == torch.float64
    assert batch.condition is not None
    assert torch.equal(batch.condition, batch.x.flatten().long() * 10)
    unlabelled = DataSet("plain", torch.zeros(3, 1), Domain((1,)))
    with pytest.raises(DataError, match="no labels"):
        Feed(unlabelled, [0], 2, conditions=True)(0)


def test_no_seed_and_no_batch_are_mistakes() -> None:
    with pytest.raises(ValueError, match="seed"):
        Feed(numbered(3), [], 2)
    with pytest.raises(ValueError, match="batch size"):
        Feed(numbered(3), [0], 0)
