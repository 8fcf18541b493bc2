"""The attribute classifier: what it learns, how it is measured, how it is kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import balanced_accuracy_score

from energan.core import DataError, Domain
from energan.data import DataSet, DataSettings, open_data
from energan.data.images.checksums import cache_folder
from energan.evaluation import classifier as convnet
from energan.evaluation.attributes import (
    are_classes,
    attribute_classifier,
    training_and_test,
    traits_of,
)
from energan.evaluation.reference import Reference, reference_for

NAMES = ("bright_left", "bright_top", "rare")


def pictures(count: int, seed: int) -> DataSet:
    """Noise, brighter on the left, at the top, or in one corner, each by itself."""
    random = np.random.default_rng(seed)
    marks = random.random((count, 3)) < (0.5, 0.3, 0.05)
    x = random.integers(0, 100, (count, 1, 16, 16))
    x[marks[:, 0], :, :, :8] += 70
    x[marks[:, 1], :, :8, :] += 70
    x[marks[:, 2], :, 12:, 12:] = 255
    return DataSet(
        f"marks {seed}", torch.from_numpy(x.clip(0, 255).astype(np.uint8)),
        Domain((1, 16, 16), 0.0, 1.0), attributes=torch.from_numpy(marks.astype(np.uint8)),
        attribute_names=NAMES,
    )  # fmt: skip


@pytest.fixture(scope="module")
def parts() -> tuple[DataSet, DataSet]:
    return pictures(600, 0), pictures(300, 1)


def test_it_learns_them_and_its_accuracy_is_the_balanced_one(
    parts: tuple[DataSet, DataSet], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path))
    training, test = parts
    found = attribute_classifier(training, test)
    x = test.gather(torch.arange(len(test))).x
    features, logits = found.features(x), found.logits(x)
    assert features.shape == (300, 128)
    assert torch.equal(found.logits(x), logits)
    assert torch.equal(found.features(x), features)
    assert test.attributes is not None
    for k, name in enumerate(NAMES):
        expected = balanced_accuracy_score(test.attributes[:, k], logits[:, k] > 0)
        assert found.accuracy[name] == pytest.approx(expected)
        assert found.accuracy[name] > 0.85  # the rare one too: its images weigh more
    assert found.about["sha256"] == found.sha256


def test_it_is_trained_once_and_anew_if_damaged_or_for_other_targets(
    parts: tuple[DataSet, DataSet],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(convnet, "EPOCHS", 1)
    monkeypatch.setattr(convnet, "STEPS", 1)
    training, test = parts
    first = attribute_classifier(training, test)
    (file,) = (cache_folder() / "classifiers").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(convnet, "_train", lambda *a: pytest.fail("trained again"))
        again = attribute_classifier(training, test)
        assert (again.sha256, again.accuracy) == (first.sha256, first.accuracy)
    weights = load_file(file)
    weights["out.bias"] += 1
    save_file(weights, file, {"sha256": first.sha256, "accuracy": "[1, 1, 1]"})
    assert attribute_classifier(training, test).accuracy == first.accuracy
    assert training.attributes is not None
    other = replace(training, attributes=1 - training.attributes)
    assert attribute_classifier(other, test).sha256 != first.sha256


def test_classes_are_attributes_where_there_are_no_others(parts: tuple[DataSet, DataSet]) -> None:
    training, _ = parts
    labels = torch.arange(600) % 3
    domain = replace(training.domain, classes=3)
    plain = replace(training, attributes=None, attribute_names=None, labels=labels, domain=domain)
    targets, names = traits_of(plain)
    assert names == ("0", "1", "2")
    assert torch.equal(targets.argmax(1), labels)
    assert bool((targets.sum(1) == 1).all())
    assert traits_of(replace(plain, class_names=("a", "b", "c")))[1] == ("a", "b", "c")
    with pytest.raises(DataError, match="no attributes and no labels"):
        traits_of(replace(plain, labels=None))


def test_a_test_part_that_tells_nothing_gives_way_to_the_held_out_one(
    parts: tuple[DataSet, DataSet],
) -> None:
    training, test = parts
    silent = replace(test, attributes=None, attribute_names=None)
    other = replace(test, attribute_names=("x", "y", "z"))
    kept = replace(training, held_out=pictures(50, 2))
    settings = DataSettings()
    assert training_and_test(Reference(test, "test", kept, settings)) == (kept, test, "test")
    for judged in (silent, other):
        found = training_and_test(Reference(judged, "test", kept, settings))
        assert found == (kept, kept.held_out, "held-out")
        found = training_and_test(Reference(judged, "test", training, settings))
        assert found == (training, training, "training")
    with pytest.raises(DataError, match="no attributes and no labels"):
        training_and_test(Reference(silent, "test", silent, settings))


def test_it_learns_from_all_though_the_run_had_fewer() -> None:
    few = reference_for(DataSettings(limit=40), Domain((1, 8, 8), 0.0, 1.0, 10))
    assert len(few.training) == 40
    training, test, tested_on = training_and_test(few)
    whole = open_data(DataSettings(range="unit"))
    assert training.fingerprint == whole.fingerprint
    assert (test.fingerprint, tested_on) == (few.judged.fingerprint, few.split)
    assert are_classes(training)
    assert not are_classes(pictures(10, 0))
