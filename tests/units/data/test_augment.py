from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from energan.core import DataError, Domain
from energan.data.augment import Augment
from energan.data.dataset import DataSet, mean_event

SEEDS = st.lists(st.integers(0, 1000), min_size=1, max_size=3, unique=True)


def images(count: int = 11, augment: Augment | None = None, **parts: object) -> DataSet:
    generator = torch.Generator().manual_seed(1)
    events = torch.randint(256, (count, 2, 7, 6), generator=generator, dtype=torch.uint8)
    augment = Augment(4, True) if augment is None else augment
    side = augment.random_crop
    assert not isinstance(side, tuple)
    shape = (2, 7, 6) if side is None else (2, side, side)
    return DataSet("test", events, Domain(shape, -1.0, 1.0), augment=augment, **parts)  # type: ignore[arg-type]


SIDES = st.integers(1, 6)


@given(SIDES | st.tuples(SIDES, SIDES), st.booleans(), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_augmentation_is_what_a_loop_over_pixels_does(
    crop: int | tuple[int, int], mirror: bool, seed: int
) -> None:
    wide, high = (crop, crop) if isinstance(crop, int) else crop
    events, generator = images().events, torch.Generator().manual_seed(seed)
    draws = torch.rand(len(events), 3, generator=generator)
    made = Augment(crop, mirror)(events, draws)
    for image, (down, right, flip), result in zip(events, draws.tolist(), made, strict=True):
        top, left = int(down * (7 - high + 1)), int(right * (6 - wide + 1))
        for y in range(high):
            for x in range(wide):
                across = wide - 1 - x if mirror and flip < 0.5 else x
                assert result[:, y, x].tolist() == image[:, top + y, left + across].tolist()


def test_every_place_and_both_sides_come_up_alike_often() -> None:
    data, count = images(1), 2400
    batch = data.feed([0], count, torch.float64)(0).x
    plain = (data.events[0].double() / 127.5 - 1).unfold(1, 4, 1).unfold(2, 4, 1)
    seen = []
    for top in range(4):
        for left in range(3):
            window = plain[:, top, left]
            for image in (window, window.flip(-1)):
                seen.append(int((batch - image).abs().amax((1, 2, 3)).lt(1e-9).sum()))
    assert sum(seen) == count
    # chi-squared with 23 degrees of freedom is beyond 50 once in a thousand draws
    assert sum((n - 100) ** 2 / 100 for n in seen) < 50


def test_without_a_feed_the_middle_is_cut_and_nothing_is_flipped() -> None:
    data = images()
    middle = data.events[:, :, 1:5, 1:5].double() / 127.5 - 1
    assert torch.equal(data.gather(torch.arange(len(data)), torch.float64).x, middle)
    torch.testing.assert_close(mean_event(data), middle.mean(0).float())


@given(st.integers(0, 9), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), SEEDS)
@settings(deadline=None, max_examples=40)
def test_ranks_see_together_what_one_of_the_whole_batch_sees(
    step: int, ranks: int, batch: int, substeps: int, seeds: list[int]
) -> None:
    data = images(labels=torch.arange(11))
    data = replace(data, domain=replace(data.domain, classes=11))
    for substep in range(substeps):
        whole = data.feed(seeds, ranks * batch, torch.float64, conditions=True)
        together = whole(step, substep, substeps)
        parts = [
            data.feed(seeds, batch, torch.float64, conditions=True, share=(rank, ranks))(
                step, substep, substeps
            )
            for rank in range(ranks)
        ]
        assert torch.equal(torch.cat([p.x for p in parts], -4), together.x)
        labels = [p.condition for p in parts if p.condition is not None]
        assert together.condition is not None
        assert torch.equal(torch.cat(labels, -1), together.condition)


@given(st.integers(0, 9), SEEDS)
@settings(deadline=None, max_examples=20)
def test_each_member_of_a_cohort_sees_what_its_own_run_sees(step: int, seeds: list[int]) -> None:
    data = images()
    together = data.feed([*seeds, 5000], 6)(step).x
    for row, seed in zip(together, [*seeds, 5000], strict=True):
        assert torch.equal(row, data.feed([seed], 6)(step).x)


def test_an_image_looks_different_each_time_and_the_same_after_a_resume() -> None:
    data = images(1)
    feed = data.feed([3], 8)
    first, second = feed(0).x, feed(1).x
    assert not torch.equal(first, second)
    assert torch.equal(data.feed([3], 8)(1).x, second)
    assert not torch.equal(data.feed([3], 8, stream="calibrate")(0).x, first)


def test_rows_pick_events_without_copying_them() -> None:
    rows = torch.tensor([3, 0, 10])
    data = images(rows=rows)
    copied = replace(images(), events=images().events[rows])
    assert len(data) == 3
    assert torch.equal(data.raw(), copied.events)
    assert data.fingerprint == copied.fingerprint
    assert torch.equal(data.feed([0], 5)(3).x, copied.feed([0], 5)(3).x)


def test_the_fingerprint_tells_augmentations_rows_and_digests_apart() -> None:
    rows = torch.tensor([3, 0, 10])
    sets = [images(), images(augment=Augment(4)), images(augment=Augment(4, True), rows=rows),
            images(digest="a"), images(digest="b"),
            images(augment=Augment()), images(augment=Augment(None, True))]  # fmt: skip
    assert len({data.fingerprint for data in sets}) == len(sets)


@pytest.mark.parametrize(
    "parts",
    [
        {"labels": torch.arange(10)},
        {"attributes": torch.zeros(10, 2, dtype=torch.uint8)},
        {"attributes": torch.zeros(11, 2, dtype=torch.uint8), "attribute_names": ("a",)},
        {"attribute_names": ("a",)},
        {"class_names": ("a", "b")},
        {"augment": Augment(9)},
    ],
)
def test_parts_that_do_not_fit_are_refused(parts: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"^test: "):
        images(**parts)  # type: ignore[arg-type]
