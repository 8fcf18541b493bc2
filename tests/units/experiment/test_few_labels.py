"""From settings to a loop with few labels: what is refused, and what a run says of its classes."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from energan.anomaly.detection import ANOMALOUS, NEITHER, NORMAL, sides_of
from energan.core import DataError, Domain, Model, SettingError
from energan.data.dataset import DataSet
from energan.data.few_label_batches import LabelledFeed
from energan.data.inference import PredictSet
from energan.evaluation.attributes import traits_of
from energan.experiment.build import loop_of
from energan.experiment.resume import resume
from energan.experiment.settings import load
from energan.experiment.start import start
from energan.inference.run import Run
from energan.models import cebgan, ebgan, ladder
from energan.training.batch_statistics import CHUNK
from energan.training.device import Device
from energan.training.settings import TrainingSettings
from support.helpers import weight_files

DOMAIN = Domain((4,), classes=3)
ENGINE = Device(torch.device("cpu"), "32", 1)


def points(labels: torch.Tensor | None, labelled: int | None = None) -> DataSet:
    events = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    return DataSet("points", events, DOMAIN, labels, labelled=labelled)


def loop(model: Model, data: DataSet) -> object:
    return loop_of([model], TrainingSettings(batch_size=8), data, ENGINE, [0])


def a_ladder(labelled: int = 6) -> Model:
    config = ladder.Config.tiny().model_copy(update={"labelled": labelled})
    return ladder.build(config, DOMAIN)


def linear(config):  # type: ignore[no-untyped-def]
    return config.model_copy(update={"output": "linear"})


ALL, NONE = torch.arange(30) % 3, torch.full((30,), -1)
SOME = torch.where(torch.arange(30) < 9, ALL, -1)


def test_a_model_that_learns_from_few_labels_gets_them() -> None:
    made = loop_of([a_ladder()], TrainingSettings(batch_size=8), points(SOME, 6), ENGINE, [0])
    assert isinstance(made.feed, LabelledFeed)
    batch = made.feed(0, 0, 1)
    assert batch.labelled is not None
    assert batch.labelled.condition is not None
    assert batch.labelled.condition.bincount().tolist() == [2, 2, 2]
    at_rest = made.statistics_feed(0)
    assert at_rest.condition is None
    assert at_rest.x.shape == (CHUNK, 4)


@pytest.mark.parametrize(
    ("data", "labelled", "said"),
    [
        (points(None), 6, "points has no labels to learn from"),
        (points(NONE), 6, "points has no labels to learn from"),
        (points(ALL), 2, "model.labelled: 2 labelled examples per batch, for 3 classes"),
        (points(ALL, 2), 6, "data.labelled: 2 labels for 3 classes"),
        (points(SOME, 12), 6, "class 0 has only 3 labels .* needs 4: lower data.labelled"),
        (points(torch.where(SOME == 1, -1, SOME)), 6, "class 1 has no labelled"),
    ],
)
def test_too_few_labels_are_refused(data: DataSet, labelled: int, said: str) -> None:
    with pytest.raises((SettingError, DataError), match=said):
        loop(a_ladder(labelled), data)


def test_labels_kept_in_vain_are_refused() -> None:
    with pytest.raises(
        SettingError, match=r"data\.labelled 6 applies to models that learn from few"
    ):
        loop(ebgan.build(linear(ebgan.Config.tiny()), DOMAIN), points(ALL, 6))


def test_conditional_models_need_a_label_of_every_event() -> None:
    conditional = cebgan.build(linear(cebgan.Config.tiny()), DOMAIN)
    with pytest.raises(SettingError, match="21 rows of points have no label"):
        loop(conditional, points(SOME))


def test_a_labelled_model_takes_no_conditions() -> None:
    model = a_ladder()
    model.conditional = True
    with pytest.raises(SettingError, match="cannot be conditional"):
        loop(model, points(ALL))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 noisy images, light or dark, and labels of six in the folder."""
    folder = tmp_path_factory.mktemp("few") / "images"
    folder.mkdir()
    g = torch.Generator().manual_seed(0)
    lines = ["file,label"]
    for i in range(40):
        pixels = torch.randint(128, (4, 4), generator=g, dtype=torch.uint8) + 120 * (i % 2)
        Image.fromarray(pixels.numpy()).save(folder / f"{i}.png")
        lines += [f"{i}.png,{'light' if i % 2 else 'dark'}"] if i < 6 else []
    (folder / "few.csv").write_text("\n".join(lines))
    return folder


def job(images: Path, steps: int):  # type: ignore[no-untyped-def]
    tiny = ladder.Config.tiny().model_dump(mode="json")
    return load(None, "ladder").changed(
        {
            "model": tiny,
            "data": {"source": str(images), "labels": "few.csv", "range": "unit"},
            "training": {"steps": steps, "batch_size": 8},
            "engine": {"device": "cpu", "threads": 1},
            "output": {"tensorboard": False, "sample_every": 0},
        }
    )


def test_a_run_of_own_labels_resumes_where_the_images_are_now(images: Path, tmp_path: Path) -> None:
    (whole,) = start([job(images, 6)], [tmp_path / "whole"], progress=False)
    (part,) = start([job(images, 3)], [tmp_path / "part"], progress=False)
    moved = images.rename(images.with_name("moved"))
    try:
        resume([part.path], steps=6, data_at=moved, progress=False)
        csv = part.read_config()["settings"]["data"]["labels"]
        assert csv == str(moved / "few.csv")
    finally:
        moved.rename(images)
    assert weight_files(whole.path, 6) == weight_files(part.path, 6)
    about = json.loads((whole.path / "config.json").read_text())["resolved"]["data"]
    assert about["class_names"] == ["dark", "light"]
    assert (about["events"], about["labelled"]) == (36, 6)
    assert Run(whole.path).class_names == ("dark", "light")


def test_an_event_without_a_label_is_of_no_side_and_tells_no_trait() -> None:
    data = points(SOME)
    judged = PredictSet(data, tuple(map(str, range(30))), "points", "all", True)
    sides = sides_of(judged, ("2",))  # -1 must not count from the end
    assert sides is not None
    assert sides[SOME == -1].unique().tolist() == [NEITHER]
    assert sides[:3].tolist() == [ANOMALOUS, ANOMALOUS, NORMAL]
    tags, _ = traits_of(data, partly=True)
    assert torch.equal(tags.sum(1) == 0, SOME == -1)
    with pytest.raises(DataError, match="21 rows of points have no label"):
        traits_of(data)
