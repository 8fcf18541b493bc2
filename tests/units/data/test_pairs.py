"""Sets of pairs: both images of a pair are cut and mirrored alike, in the orders of the seeds."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from energan.core import DataError, Domain
from energan.data import DataSettings, open_data
from energan.data.augment import Augment
from energan.data.dataset import DataSet
from energan.data.pairs import PairSet

COUNT, SIDE = 9, 12


def pairs(augment: Augment = Augment(), targets: int = 1, low: float = -1.0, **parts) -> PairSet:  # noqa: B008
    """Every pixel tells its pair, row and column: a source is the target's number in each of its
    three channels."""
    place = torch.arange(COUNT * SIDE * SIDE).remainder(251).to(torch.uint8)
    events = place.view(COUNT, 1, SIDE, SIDE)
    side = augment.random_crop or SIDE
    domain = Domain((targets, side, side), low, 1.0, condition_shape=(3, side, side))
    sources = DataSet(
        "test", events.expand(-1, 3, -1, -1), Domain((3, side, side), low, 1.0), augment=augment
    )
    return PairSet("test", events.expand(-1, targets, -1, -1), domain, augment=augment,
                   **{"sources": sources, **parts})  # fmt: skip


def test_gather_gives_targets_and_sources_in_the_range() -> None:
    for low in (-1.0, 0.0):
        data = pairs(low=low)
        batch = data.gather(torch.tensor([2, 0, 2]))
        assert batch.condition is not None
        assert batch.x.shape == (3, 1, SIDE, SIDE)
        assert batch.condition.shape == (3, 3, SIDE, SIDE)
        expected = low + data.events[[2, 0, 2]].double() * ((1 - low) / 255)
        torch.testing.assert_close(batch.x, expected.float())
        torch.testing.assert_close(batch.condition, expected.float().expand(-1, 3, -1, -1))
        # with or without being asked for conditions, as a feed of pairs is asked
        asked = data.gather(torch.tensor([2, 0, 2]), torch.float64, True)
        assert asked.x.dtype == asked.condition.dtype == torch.float64


@settings(deadline=None, max_examples=50)
@given(
    st.one_of(st.none(), st.integers(1, SIDE)), st.booleans(), st.integers(1, 3),
    st.integers(0, 50), st.integers(1, 12), st.lists(st.integers(0, 99), min_size=1, max_size=3),
)  # fmt: skip
def test_both_sides_are_cut_and_mirrored_alike(
    crop: int | None, mirror: bool, targets: int, step: int, batch: int, seeds: list[int]
) -> None:
    data = pairs(Augment(crop, mirror), targets)
    found = data.feed(seeds, batch)(step)
    assert found.condition is not None
    side = crop or SIDE
    lead = (batch,) if len(seeds) == 1 else (len(seeds), batch)
    assert found.x.shape == (*lead, targets, side, side)
    assert found.condition.shape == (*lead, 3, side, side)
    assert torch.equal(found.x[..., :1, :, :], found.condition[..., :1, :, :])
    assert torch.equal(found.condition[..., 0, :, :], found.condition[..., 2, :, :])
    again = data.feed(seeds, batch)(step)
    assert torch.equal(again.x, found.x)


def test_what_is_drawn_is_what_augment_does() -> None:
    augment = Augment(5, True)
    data = pairs(augment)
    indices, draws = torch.tensor([3, 1, 4]), torch.rand(3, 3)
    batch = data.gather(indices, draws=draws)
    expected = augment(data.events[indices], draws)
    torch.testing.assert_close(batch.x, expected.float() / 127.5 - 1)
    middle = data.gather(indices).x
    torch.testing.assert_close(middle, data.events[indices][..., 3:8, 3:8].float() / 127.5 - 1)


def test_windows_and_mirrors_are_all_drawn() -> None:
    data = pairs(Augment(11, True))
    feed = data.feed([0], COUNT)
    seen = {tuple(x.flatten().tolist()) for step in range(80) for x in feed(step).x[:, 0]}
    assert len(seen) == COUNT * 2 * 2 * 2


def test_each_pair_comes_once_an_epoch_and_ranks_share_a_batch() -> None:
    data = pairs(Augment(7, True))
    feed = data.feed([4], COUNT)
    assert sorted(feed.indices(5).tolist()) == list(range(COUNT))
    whole = data.feed([4], 6)(3)
    parts = [data.feed([4], 3, share=(rank, 2))(3) for rank in range(2)]
    assert torch.equal(torch.cat([p.x for p in parts]), whole.x)
    assert torch.equal(torch.cat([p.condition for p in parts]), whole.condition)


def test_rows_pick_pairs_from_both_sides() -> None:
    rows = torch.tensor([5, 2])
    data = pairs()
    assert data.sources is not None
    sources = replace(data.sources, rows=rows.flip(0))
    chosen = PairSet("test", data.events, data.domain, rows=rows, sources=sources)
    batch = chosen.gather(torch.tensor([0]))
    assert torch.equal(batch.x, data.gather(torch.tensor([5])).x)
    assert torch.equal(batch.condition, data.gather(torch.tensor([2])).condition)
    assert len(chosen) == 2
    assert torch.equal(chosen.raw(), data.events[rows])


def test_the_fingerprint_tells_sources_targets_and_augmentations_apart() -> None:
    data = pairs()
    assert data.sources is not None
    other = replace(data.sources, events=255 - data.sources.events)
    sets = [data, pairs(sources=other), pairs(Augment(12)), pairs(Augment(None, True)),
            replace(data, events=255 - data.events), pairs(low=0.0)]  # fmt: skip
    assert len({each.fingerprint for each in sets}) == len(sets)
    assert pairs().fingerprint == data.fingerprint
    assert DataSet("test", data.events, data.domain).fingerprint != data.fingerprint


def test_it_moves_with_both_sides() -> None:
    data = replace(pairs(), held_out=pairs())
    moved = data.to("meta")
    assert isinstance(moved, PairSet)
    assert moved.sources is not None
    assert moved.sources.events.device.type == moved.events.device.type == "meta"
    assert isinstance(moved.held_out, PairSet)
    assert data.to("cpu") is data


SMALLER = Domain((3, 6, 6), -1.0, 1.0)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"sources": None}, "no sources for 9 targets"),
        ({"rows": torch.arange(4)}, "9 sources for 4 targets"),
        (
            {"domain": Domain((1, SIDE, SIDE), -1.0, 1.0)},
            "do not match the domain's condition shape",
        ),
        (
            {
                "domain": Domain((1, SIDE, SIDE), -1.0, 1.0, condition_shape=(3, 6, 6)),
                "sources": DataSet("s", torch.zeros(9, 3, 6, 6, dtype=torch.uint8), SMALLER),
            },
            r"targets are 12x12 and their sources 6x6: .*data\.size",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        replace(pairs(), **parts)  # type: ignore[arg-type]


def test_an_archive_of_pairs_is_to_be_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pairs.zip", "w") as archive:
        archive.writestr("A/1.png", b"")
    asked = DataSettings(source=str(tmp_path / "pairs.zip"), direction="left-to-right")
    with pytest.raises(
        DataError, match=r"pairs cannot be read from an archive: unpack .*, and name"
    ):
        open_data(asked)
