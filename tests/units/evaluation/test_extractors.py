"""Feature extractors: the classifier, pixels, the user's own."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from energan.core import DataError, Domain, SettingError
from energan.data import DataSettings
from energan.evaluation import classifier as convnet
from energan.evaluation.extractors import extractor_for
from energan.evaluation.reference import Reference, reference_for

DIGITS = Domain((1, 8, 8), -1.0, 1.0, 10)


@pytest.fixture(scope="module")
def digits() -> Reference:
    return reference_for(DataSettings(), DIGITS)


def test_the_classifier_knows_its_digits(digits: Reference) -> None:
    found = extractor_for(None, digits)
    images = digits.events(digits.judged, 500)
    made = found(images)
    assert made.values.shape == (180, 128)
    assert made.log_probabilities is not None
    assert made.log_probabilities.dtype == np.float64
    assert np.allclose(np.exp(made.log_probabilities).sum(1), 1)
    assert digits.judged.labels is not None
    right = (made.log_probabilities.argmax(1) == digits.judged.labels.numpy()).mean()
    assert right == pytest.approx(found.about["test_accuracy"], abs=1e-4)
    assert right > 0.95


def test_the_classifier_is_trained_once_and_if_torn_again_to_the_same(
    digits: Reference, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shared_cache: Path
) -> None:
    first = extractor_for("classifier", digits)
    with monkeypatch.context() as patch:
        patch.setattr(convnet, "_train", lambda *a: pytest.fail("trained again"))
        assert extractor_for("classifier", digits).about == first.about
    copied = shutil.copytree(shared_cache / "classifiers", tmp_path / "classifiers")
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path))
    for file in copied.iterdir():
        file.write_bytes(file.read_bytes()[:1000])
    torch.manual_seed(99)  # its seed is its own
    assert extractor_for("classifier", digits).about == first.about


def test_training_leaves_torchs_generator_alone(
    digits: Reference, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(convnet, "STEPS", 1)
    monkeypatch.setattr(convnet, "EPOCHS", 1)
    torch.manual_seed(3)
    extractor_for("classifier", digits)
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(3))


def test_without_labels_pixels_stand_in() -> None:
    points = reference_for(DataSettings(source="moons"), Domain((2,)))
    found = extractor_for(None, points)
    x = torch.randn(7, 2)
    assert found.name == "pixels"
    assert np.array_equal(found(x).values, x.numpy())
    with pytest.raises(DataError, match="holds points, not images: name another extractor"):
        extractor_for("classifier", points)


class Halves(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        flat = images.flatten(1)
        return flat[:, :4], flat[:, 4:7]


class Flat(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def test_a_torchscript_file(digits: Reference, tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        torch.jit.save(torch.jit.script(Flat()), str(tmp_path / "flat.pt"))
    found = extractor_for(str(tmp_path / "flat.pt"), digits)
    images = digits.events(digits.judged, 3)
    assert np.array_equal(found(images).values, images.flatten(1).numpy())
    assert len(found.about["sha256"]) == 64


def test_a_pickle_is_not_read(digits: Reference, tmp_path: Path) -> None:
    torch.save(Flat().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(DataError, match="pickled weights are never read"):
        extractor_for(str(tmp_path / "weights.pt"), digits)


def test_a_callable_of_the_users(
    digits: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_features.py").write_text(
        "import torch\n"
        "class Halves(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x.flatten(1)[:, :4], x.flatten(1)[:, 4:7]\n"
        "def scalar(x):\n"
        "    return x.sum()\n"
        "three = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = extractor_for("my_features:Halves", digits)
    images = digits.events(digits.judged, 5)
    made = found(images)
    assert np.array_equal(made.values, images.flatten(1)[:, :4].numpy())
    assert made.log_probabilities is not None
    expected = images.flatten(1)[:, 4:7].double().log_softmax(1).numpy()
    assert np.allclose(made.log_probabilities, expected)
    with pytest.raises(DataError, match="it must return a tensor"):
        extractor_for("my_features:scalar", digits)(images)
    for wrong in ("my_features:absent", "no_such_module:f", "nonsense"):
        with pytest.raises(SettingError, match=f"--extractor {wrong}"):
            extractor_for(wrong, digits)
    with pytest.raises(SettingError, match="is not callable"):
        extractor_for("my_features:three", digits)
    sys.modules.pop("my_features", None)


def test_features_that_are_not_finite_are_refused(digits: Reference, tmp_path: Path) -> None:
    from energan.evaluation.extractors import Extractor

    broken = Extractor("broken", lambda x: x.flatten(1) / 0 * 0, {"name": "broken"})
    with pytest.raises(DataError, match="not finite"):
        broken(torch.zeros(2, 1, 8, 8))
