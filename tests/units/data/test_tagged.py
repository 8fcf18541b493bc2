"""Files of features and tags, and the data sets that are made of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from energan.core import DataError
from energan.data import DataSettings, TagSet, open_data
from energan.data.sources.tag_files import TagFile, read_tag_file
from energan.data.tagged import tag_vectors

IMAGES, FEATURES, NAMES = 50, 4, ("sea", "sky", "cat", "dog", "old")


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    tags = generator.random((IMAGES, len(NAMES))) < 0.45
    tags[~tags.any(1), 0] = True
    features = generator.normal(3, [1, 2, 5, 0], (IMAGES, FEATURES))  # the last never changes
    return {"features": features, "tags": tags, "names": np.array(NAMES)}


def written(folder: Path, **parts: np.ndarray) -> str:
    path = folder / "own.npz"
    np.savez(path, **{name: part for name, part in parts.items() if part is not None})
    return str(path)


def opened(source: str, **settings: object) -> TagSet:
    found = open_data(DataSettings(source=source, **settings))
    assert isinstance(found, TagSet)
    return found


def test_events_are_the_tags_of_each_image_and_conditions_its_features(tmp_path: Path) -> None:
    parts = arrays()
    data = opened(written(tmp_path, **parts))
    assert data.kept is not None
    assert data.domain.condition_shape == (FEATURES,)
    training = parts["features"][data.places]
    mean, std = training.mean(0), training.std(0)
    for part in (data, data.kept):
        own = parts["tags"][part.places]
        assert len(part) == own.sum()
        batch = part.gather(torch.arange(len(part)).reshape(1, -1))
        assert batch.x.shape == (1, len(part), part.domain.shape[0])
        assert batch.condition is not None
        seen = set()
        for x, condition, row, image in zip(
            batch.x[0], batch.condition[0], part.rows, part.images, strict=True
        ):
            torch.testing.assert_close(x, part.events[row])
            place = part.places[image]
            assert parts["tags"][place, row]
            seen.add((int(place), int(row)))
            raw = parts["features"][place]
            np.testing.assert_allclose(condition[:3], (raw - mean)[:3] / std[:3], atol=1e-4)
            assert condition[3] == 0
        assert len(seen) == len(part)


def test_no_image_is_in_both_parts_and_a_tenth_is_held_out(tmp_path: Path) -> None:
    data = opened(written(tmp_path, **arrays()))
    assert data.kept is not None
    training, kept = set(data.places.tolist()), set(data.kept.places.tolist())
    assert not training & kept
    assert len(kept) == IMAGES // 10
    assert len(training | kept) == IMAGES


def test_the_vectors_are_of_the_training_part_alone(tmp_path: Path) -> None:
    parts = arrays()
    data = opened(written(tmp_path, **parts), tag_dimensions=3)
    wanted = tag_vectors(parts["tags"][data.places], 3)
    np.testing.assert_allclose(data.events, wanted, atol=1e-6)
    assert data.domain.shape == (3,)
    changed = parts["tags"].copy()
    assert data.kept is not None
    changed[data.kept.places] = True
    other = opened(written(tmp_path, **{**parts, "tags": changed}), tag_dimensions=3)
    torch.testing.assert_close(other.events, data.events)


def test_own_vectors_are_brought_to_length_one(tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).normal(size=(5, 8)) * 7
    data = opened(written(tmp_path, **arrays(), vectors=vectors))
    wanted = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(data.events, wanted, atol=1e-6)


def test_the_file_says_which_images_are_held_out(tmp_path: Path) -> None:
    held_out = np.zeros(IMAGES, bool)
    held_out[[3, 4, 40]] = True
    source = written(tmp_path, **arrays(), held_out=held_out)
    data = opened(source)
    assert data.kept is not None
    assert data.kept.places.tolist() == [3, 4, 40]
    with pytest.raises(DataError, match="already says which images"):
        opened(source, held_out=5)
    assert len(opened(source, limit=10).places) == 10


def test_what_has_no_tags_or_tells_nothing_is_left_out_with_a_word(tmp_path: Path) -> None:
    parts = arrays()
    parts["tags"][7] = False
    parts["tags"][:, 2], parts["tags"][:, 3] = False, True
    data = opened(written(tmp_path, **parts))
    assert data.names == ("sea", "sky", "old")
    told = dict(data.skipped)
    assert told["tag cat"] == "no training image has it"
    assert told["tag dog"].startswith("every training image has it")
    assert told["row 7"] == "it has no tags"
    assert 7 not in data.places
    # with vectors of its own it can be learnt, and is kept
    own = written(tmp_path, **parts, vectors=np.eye(5))
    assert opened(own).names == NAMES


def test_the_fingerprint_is_of_what_training_sees(tmp_path: Path) -> None:
    parts = arrays()
    one = opened(written(tmp_path, **parts)).fingerprint
    assert opened(written(tmp_path, **parts)).fingerprint == one
    features = parts["features"].copy()
    features[:, 0] **= 2
    assert opened(written(tmp_path, **{**parts, "features": features})).fingerprint != one
    tags = parts["tags"].copy()
    tags[:, [0, 1]] = tags[:, [1, 0]]
    assert opened(written(tmp_path, **{**parts, "tags": tags})).fingerprint != one


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"names": None}, "lacks names"),
        ({"features": np.ones((IMAGES, 2, 2))}, r"features must be numbers of shape \(N, F\)"),
        ({"features": np.full((IMAGES, 2), np.nan)}, "100 of the features are NaN"),
        ({"tags": np.ones((3, 5), bool)}, r"tags must be bool of shape \(50, T\)"),
        ({"tags": np.full((IMAGES, 5), 2)}, "true or false"),
        ({"names": np.array(["a", "b"])}, "5 strings"),
        ({"names": np.array(["a", "b", "a", "c", "d"])}, "'a' occurs twice"),
        ({"vectors": np.ones((4, 3))}, r"vectors must be numbers of shape \(5, V\)"),
        ({"vectors": np.eye(5)[:, :4]}, "the vector of the tag 'old' is 0"),
        ({"held_out": np.ones(IMAGES)}, r"held_out must be bool of shape \(50,\)"),
        ({"tags": np.zeros((IMAGES, 5), bool)}, "0 tags can be told apart"),
    ],
)
def test_a_file_that_does_not_fit_is_told_in_a_sentence(
    tmp_path: Path, change: dict[str, np.ndarray], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        opened(written(tmp_path, **{**arrays(), **change}))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": 64}, "data.size unset"),
        ({"mirror": True}, "data.mirror unset"),
        ({"storage": "stream"}, "data.storage unset"),
        ({"limit": 46}, "lower data.limit"),
        ({"held_out": 49}, "needs at least 2"),
        ({"tag_dimensions": 1, "limit": 3}, "raise data.tag_dimensions"),
    ],
)
def test_settings_that_do_not_fit(tmp_path: Path, settings: dict[str, object], said: str) -> None:
    parts = arrays()
    if "tag_dimensions" in settings:  # two pairs of tags that never meet
        parts["tags"] = np.arange(IMAGES)[:, None] % 2 == np.array([0, 0, 1, 1, 1])
        settings = {"tag_dimensions": 1}
    with pytest.raises(DataError, match=said):
        opened(written(tmp_path, **parts), **settings)


def test_there_is_no_test_part(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="held-out part"):
        open_data(DataSettings(source=written(tmp_path, **arrays())), "test")


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    parts = arrays()
    features, tags = parts["features"].astype(np.float32), parts["tags"]
    about = {"extractor": {"kind": "run", "sha256": "ab"}}
    held_out = np.arange(IMAGES) > 40
    TagFile(tmp_path / "a.npz", features, tags, NAMES, held_out=held_out, about=about).write()
    found = read_tag_file(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.features, features)
    np.testing.assert_array_equal(found.tags, tags)
    np.testing.assert_array_equal(found.held_out, held_out)
    assert (found.names, found.about, found.maker) == (NAMES, about, "ab")


def test_features_alone_are_enough_where_tags_are_not_asked_for(tmp_path: Path) -> None:
    path = Path(written(tmp_path, features=np.ones((3, 2))))
    found = read_tag_file(path, tagged=False)
    assert found.tags.shape == (3, 0)
    assert found.maker is None
    with pytest.raises(DataError, match="lacks tags and names"):
        read_tag_file(path)


def test_a_torn_file_and_one_that_tells_nonsense(tmp_path: Path) -> None:
    path = Path(written(tmp_path, **arrays(), about=np.array(json.dumps([1]))))
    assert read_tag_file(path).about == {}
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="cannot be read as features and tags"):
        read_tag_file(path)
