"""Few labels: which are kept, and batches of them."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from energan.core import DataError, Domain
from energan.data import few_label_batches as module
from energan.data.augment import Augment
from energan.data.batches import Feed
from energan.data.dataset import DataSet
from energan.data.few_label_batches import ClassFeed, LabelledFeed, choose_labelled, labelled_events

LINE = 2**9
SEEDS = st.integers(0, 2**40)
CLASSES = st.integers(2, 7)


@pytest.fixture(autouse=True, scope="module")
def _short_pieces() -> Iterator[None]:
    """So that tests cross the end of a piece often, and make it fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LINE", LINE)
        yield


def some_labels(classes: int, size: int, seed: int, missing: float = 0.3) -> Tensor:
    """Labels of `size` events and one more of each class; a share of them missing."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (size,), generator=g)
    labels[torch.rand(size, generator=g) < missing] = -1
    return torch.cat([labels, torch.arange(classes)])


def numbered(labels: Tensor, classes: int, labelled: int | None = None) -> DataSet:
    """Event i is the number i."""
    events = torch.arange(len(labels), dtype=torch.float32)[:, None]
    return DataSet("numbered", events, Domain((1,), classes=classes), labels, labelled=labelled)


# --- the choice -----------------------------------------------------------------------------------


@given(CLASSES, st.integers(0, 200), SEEDS, st.integers(0, 30))
def test_the_choice_is_balanced_and_of_labelled_events(
    classes: int, size: int, seed: int, more: int
) -> None:
    labels = some_labels(classes, size, seed % 1000)
    counts = labels[labels >= 0].bincount(minlength=classes)
    count = min(classes + more, classes * int(counts.min()))
    rows = choose_labelled(labels, classes, count, seed)
    assert rows.dtype == torch.int64
    assert len(rows.unique()) == len(rows) == count
    assert torch.equal(rows, rows.sort().values)
    of_class = labels[rows].bincount(minlength=classes)  # of a negative number it fails
    assert int(of_class.max() - of_class.min()) <= 1
    assert torch.equal(rows, choose_labelled(labels, classes, count, seed))


@given(CLASSES, SEEDS)
def test_more_labels_of_a_seed_are_these_and_others(classes: int, seed: int) -> None:
    labels = torch.arange(40 * classes) % classes
    few, many = (set(choose_labelled(labels, classes, n * classes, seed).tolist()) for n in (3, 11))
    assert few < many


def test_another_seed_chooses_others_evenly() -> None:
    labels = torch.arange(100) % 5
    times = torch.zeros(100)
    for seed in range(400):
        times[choose_labelled(labels, 5, 25, seed)] += 1
    assert int(times.sum()) == 400 * 25
    # binomial of mean 100, standard deviation 8.7
    assert 60 < float(times.min()) <= float(times.max()) < 140


def test_what_is_left_over_goes_to_classes_by_the_seed() -> None:
    labels = torch.arange(50) % 5
    extra = {
        tuple(
            (labels[choose_labelled(labels, 5, 12, seed)].bincount() == 3)
            .nonzero()
            .flatten()
            .tolist()
        )
        for seed in range(200)
    }
    assert len(extra) == 10  # every pair of the five


def test_none_keeps_all_that_there_are() -> None:
    labels = some_labels(3, 50, 0)
    assert torch.equal(choose_labelled(labels, 3, None, 7), (labels >= 0).nonzero().flatten())


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (None, "class owl has no labelled"),
        (4, "class owl has no labelled"),
        (2, "data.labelled: 2 labels for 3 classes"),
        (9, "class dog has only 2 labels among the training examples and needs 3"),
    ],
)
def test_too_few_labels_name_the_class(count: int | None, said: str) -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, -1])
    if "owl" in said:
        labels[labels == 2] = -1
    with pytest.raises(DataError, match=said):
        choose_labelled(labels, 3, count, 0, ("cat", "dog", "owl"))


# --- batches --------------------------------------------------------------------------------------


@given(CLASSES, SEEDS, st.integers(2, 40), st.integers(0, 60), st.integers(1, 3))
@settings(max_examples=40)
def test_the_classes_of_a_batch_differ_by_one_at_most(
    classes: int, seed: int, batch: int, step: int, substeps: int
) -> None:
    labels = some_labels(classes, 60, seed % 1000)
    feed = ClassFeed(numbered(labels, classes), [seed], batch)
    for substep in range(substeps):
        found = feed(step, substep, substeps)
        assert found.condition is not None
        assert torch.equal(found.condition, labels[found.x.flatten().long()])
        counts = found.condition.bincount(minlength=classes)
        assert int(counts.max() - counts.min()) <= 1


@given(CLASSES, SEEDS, st.integers(2, 40))
@settings(max_examples=40)
def test_each_label_is_used_as_often_as_the_others_of_its_class(
    classes: int, seed: int, batch: int
) -> None:
    labels = some_labels(classes, 40, seed % 1000)
    feed = ClassFeed(numbered(labels, classes), [seed], batch)
    times = torch.zeros(len(labels), dtype=torch.int64)
    for step in range(30):
        times += feed.indices(step).bincount(minlength=len(labels))
        for k in range(classes):
            own = times[labels == k]
            assert int(own.max() - own.min()) <= 1
    assert int(times[labels < 0].sum()) == 0


def test_each_of_100_labels_is_in_every_batch_of_100() -> None:
    labels = torch.arange(1000) % 10
    data = numbered(labels, 10, labelled=100)
    feed = LabelledFeed(data, [3], 32, 100)
    for step in (0, 1, 77, 10_000):
        batch = feed(step)
        assert batch.labelled is not None
        assert batch.condition is None
        found = batch.labelled.x.flatten().long()
        assert torch.equal(found.sort().values, choose_labelled(labels, 10, 100, 3))


def test_of_1000_labels_each_batch_has_ten_of_each_class_and_ten_have_all() -> None:
    labels = torch.arange(3000) % 10
    feed = ClassFeed(numbered(labels, 10, labelled=1000), [3], 100)
    seen = torch.stack([feed.indices(step) for step in range(10)])
    assert torch.equal(seen.flatten().sort().values, choose_labelled(labels, 10, 1000, 3))
    assert all(labels[row].bincount().tolist() == [10] * 10 for row in seen)
    again = torch.stack([feed.indices(step) for step in range(10, 20)])
    assert torch.equal(again.flatten().sort().values, seen.flatten().sort().values)
    assert not torch.equal(again, seen)  # another order in the next epoch


def test_the_unlabelled_part_is_of_all_events_as_without_labels() -> None:
    data = numbered(some_labels(3, 50, 1), 3, labelled=3)
    feed, plain = LabelledFeed(data, [5], 8, 6), Feed(data, [5], 8)
    for step in range(10):
        assert torch.equal(feed(step, 1, 2).x, plain(step, 1, 2).x)


@given(st.lists(SEEDS, min_size=2, max_size=4, unique=True), st.integers(0, 3 * LINE // 10))
@settings(max_examples=30)
def test_a_member_of_a_cohort_sees_what_its_own_run_sees(seeds: list[int], step: int) -> None:
    labels = torch.arange(300) % 4
    data = numbered(labels, 4, labelled=10)
    together = LabelledFeed(data, seeds, 8, 10)(step)
    assert together.labelled is not None
    assert together.labelled.condition is not None
    assert together.labelled.x.shape == (len(seeds), 10, 1)
    assert together.labelled.condition.shape == (len(seeds), 10)
    for i, seed in enumerate(seeds):
        alone = LabelledFeed(data, [seed], 8, 10)(step)
        assert alone.labelled is not None
        assert alone.labelled.condition is not None
        assert torch.equal(together.x[i], alone.x)
        assert torch.equal(together.labelled.x[i], alone.labelled.x)
        assert torch.equal(together.labelled.condition[i], alone.labelled.condition)
        own = set(choose_labelled(labels, 4, 10, seed).tolist())
        assert set(alone.labelled.x.flatten().long().tolist()) <= own


@given(SEEDS, st.integers(1, 20), st.integers(2, 5), st.integers(0, 40))
@settings(max_examples=40)
def test_shares_add_up_to_the_batch_of_one_process(
    seed: int, batch: int, ranks: int, step: int
) -> None:
    data = numbered(some_labels(3, 50, 1), 3)
    shares = [ClassFeed(data, [seed], batch, share=(r, ranks)).indices(step) for r in range(ranks)]
    whole = ClassFeed(data, [seed], batch * ranks).indices(step)
    assert torch.equal(torch.cat(shares), whole)


@given(SEEDS, st.lists(st.integers(0, 3 * LINE // 7), min_size=1, max_size=8))
@settings(max_examples=20)
def test_random_access_equals_sequential_access(seed: int, visits: list[int]) -> None:
    """Also across the pieces that the order is made in."""
    data = numbered(some_labels(3, 50, 1), 3)
    jumping = ClassFeed(data, [seed], 7)
    for step in visits:
        assert torch.equal(jumping.indices(step), ClassFeed(data, [seed], 7).indices(step))


def test_the_line_goes_on_from_piece_to_piece() -> None:
    """Balance and epochs hold where one piece ends and the next begins."""
    labels = torch.arange(33) % 3
    feed = ClassFeed(numbered(labels, 3), [0], 33)
    for step in range(LINE // 33 - 3, LINE // 33 + 4):
        assert torch.equal(feed.indices(step).sort().values, torch.arange(33))


def test_a_class_larger_than_a_piece_still_comes_once_an_epoch() -> None:
    size = LINE + 1001
    labels = torch.cat([torch.zeros(size, dtype=torch.int64), torch.tensor([1])])
    feed = ClassFeed(numbered(labels, 2), [0], 1000)
    seen = torch.cat([feed.indices(step) for step in range(2 * size // 1000 + 1)])
    ones = seen[seen < size][:size]
    assert torch.equal(ones.sort().values, torch.arange(size))


def test_labelled_images_are_augmented_by_draws_of_their_own() -> None:
    g = torch.Generator().manual_seed(0)
    images = torch.randint(256, (8, 1, 6, 6), generator=g, dtype=torch.uint8)
    domain, labels = Domain((1, 4, 4), 0.0, 1.0, classes=2), torch.arange(8) % 2
    data = DataSet("images", images, domain, labels, augment=Augment(random_crop=4, mirror=True))
    whole = LabelledFeed(data, [4], 8, 8)
    first, again, next_one = whole(0).labelled, whole(0).labelled, whole(1).labelled
    assert first is not None
    assert again is not None
    assert next_one is not None
    assert torch.equal(first.x, again.x)
    order, other = whole.labelled.indices(0).argsort(), whole.labelled.indices(1).argsort()
    assert not torch.equal(first.x[order], next_one.x[other])  # the same images, cut elsewhere


def test_the_number_of_labels_is_part_of_the_fingerprint() -> None:
    labels = some_labels(3, 50, 1)
    prints = {numbered(labels, 3, n).fingerprint for n in (None, 6, 9)}
    assert len(prints) == 3
    assert labelled_events(numbered(labels, 3, 6)) == 6
    assert labelled_events(numbered(labels, 3)) == int((labels >= 0).sum())
