"""Tagging as a user works with it: features, training, scores, tags of images."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

import energan
from energan.core import SettingError
from energan.data import TagSet, open_data
from energan.data.sources.tag_files import read_tag_file
from energan.evaluation import tagging
from energan.evaluation.tag_energies import fit_tag_energies
from support.commands import refused, run

TAGS, IMAGES = 14, 300
TRAINING = [
    "--model.generator", "32", "32", "--model.discriminator", "32", "32", "--model.joint", "16",
    "--model.noise", "0.25", "--model.discriminator-dropout", "0", "--threads", "1",
    "--model.energy-optimiser.lr", "0.002", "--model.sampler-optimiser.lr", "0.002",
    "--output.no-tensorboard", "--output.sample-every", "0", "--output.checkpoint-every", "0",
]  # fmt: skip


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own features, in which the tags can be seen: two kinds of images, seven tags each,
    and each image four of its kind's."""
    generator = np.random.default_rng(0)
    kind = generator.integers(0, 2, IMAGES)
    tags = np.zeros((IMAGES, TAGS), bool)
    for row, which in enumerate(kind):
        tags[row, 7 * which + generator.permutation(7)[:4]] = True
    features = generator.normal(0, 0.3, (IMAGES, 3)) + np.array([[-1, 5, 2], [1, 3, 2]])[kind]
    path = tmp_path_factory.mktemp("own") / "own.npz"
    np.savez(path, features=features, tags=tags, names=np.array([f"tag{i}" for i in range(TAGS)]))
    return path


@pytest.fixture(scope="module")
def tagger(own: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tagger"
    words = ("train", "tagging-celeba", "--data", own, "--steps", "300", "--out", out)
    assert run(*words, *TRAINING) == 0
    return out


def metrics_of(run_path: Path) -> dict[str, dict]:
    (entry,) = json.loads((run_path / "metrics.json").read_text())["evaluations"]
    return {m["name"]: m for m in entry["metrics"]}


def test_scores_are_the_definitions_and_beat_the_most_frequent_tags(
    tagger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 14 tags the ten most frequent hold about 5/7 of each image's four; those of its own kind
    all of them."""
    assert run("evaluate", tagger, "--notes", "--threads", "1") == 0
    assert "oracle 0.4" in capsys.readouterr().out
    found = metrics_of(tagger)
    assert set(found) == {"precision_at_10", "recall_at_10"}
    loaded = energan.load(tagger)
    data = open_data(loaded.job.settings.data)
    assert isinstance(data, TagSet)
    assert data.kept is not None
    truth, hits = data.kept.tags, []
    for image, own in zip(data.kept.features, truth, strict=True):
        votes = np.zeros(TAGS)
        for sample in loaded.sample(100, 0, image.repeat(100, 1)):
            cosine = torch.nn.functional.cosine_similarity(sample, data.events)
            votes[int(cosine.argmax())] += 1  # the nearest of 14 words
        hits.append(own[np.argsort(-votes, kind="stable")[:10]].sum())
    assert found["precision_at_10"]["value"] == pytest.approx(np.mean(hits) / 10, rel=1e-5)
    assert found["recall_at_10"]["value"] == pytest.approx(np.mean(hits) / 4, rel=1e-5)
    details = found["recall_at_10"]["details"]
    often = np.argsort(-data.tags.sum(0), kind="stable")[:10]
    frequency = truth[:, often].sum(1).mean() / 4
    assert details["tag_frequency"] == pytest.approx(frequency, rel=1e-5)
    assert details["oracle"] == 1
    assert found["precision_at_10"]["details"]["oracle"] == pytest.approx(0.4)
    assert details["ballot"] == {"samples": 100, "nearest": 1, "words": 14, "neighbours": 50}
    assert found["recall_at_10"]["value"] > frequency + 0.1
    low, high = details["more_than_tag_frequency"]
    assert low < found["recall_at_10"]["value"] - frequency < high


def test_tags_of_features_of_ones_own(
    tagger: Path, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.npz"
    np.savez(new, features=np.array([[-1.0, 5, 2], [1, 3, 2]]))
    out = tmp_path / "tags.csv"
    words = ("tag", tagger, "--features", new, "--nearest", "3", "--tags", "4", "--threads", "1",
             "--by", "votes")  # fmt: skip
    assert run(*words, "--out", out) == 0
    said = capsys.readouterr().out
    assert "100 samples per image, each voting for the 3 nearest of 14 words" in said
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["image"], r["rank"]) for r in rows] == [
        (f"{new}:{i}", str(k)) for i in range(2) for k in range(1, 5)
    ]
    for kind in range(2):
        names = {r["tag"] for r in rows if r["image"].endswith(f":{kind}")}
        own_kind = {f"tag{7 * kind + i}" for i in range(7)}
        assert len(names & own_kind) >= 3
        votes = [int(r["votes"]) for r in rows if r["image"].endswith(f":{kind}")]
        assert votes == sorted(votes, reverse=True)
        assert max(votes) <= 100
    # an image's tags do not depend on the others, and the seed settles them
    np.savez(new, features=np.array([[1.0, 3, 2]]))
    first = out.read_text().splitlines()[5:]
    assert run(*words, "--out", out) == 0
    assert [r.split(",")[1:] for r in out.read_text().splitlines()[1:]] == [
        r.split(",")[1:] for r in first
    ]


def test_the_default_ballot_is_that_of_the_scores(
    tagger: Path, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    out = tmp_path / "tags.csv"
    words = ("tag", tagger, "--features", own, "--out", out, "--threads", "1", "--by", "votes")
    assert run(*words) == 0
    said = capsys.readouterr().out
    assert "100 samples per image, each voting for the 1 nearest of 14 words" in said
    assert "280 more" in said
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == IMAGES * 10
    votes = np.array([int(row["votes"]) for row in rows]).reshape(IMAGES, 10)
    assert (votes.sum(1) <= 100).all()
    assert [tagging.Ballot().words(n) for n in (14, 40, 400, 800, 247_465)] == [1, 2, 20, 20, 20]


def test_tags_by_energies_are_those_of_logistic_regressions(
    tagger: Path, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = open_data(energan.load(tagger).job.settings.data)
    assert isinstance(data, TagSet)
    assert data.kept is not None
    held_out = data.kept.features.numpy()
    known = np.stack(
        [
            LogisticRegression(max_iter=300)
            .fit(data.features, column)
            .predict_proba(held_out)[:, 1]
            for column in data.tags.T
        ],
        1,
    )
    fitted = fit_tag_energies(data)
    np.testing.assert_allclose(fitted.probabilities(data.kept.features), known, rtol=1e-4)
    np.testing.assert_allclose(
        fitted.energies(data.kept.features), np.log1p(-known) - np.log(known), rtol=1e-3, atol=1e-4
    )
    best = np.argsort(-known, axis=1)[:, :4]
    precision = np.take_along_axis(data.kept.tags, best, 1).mean()
    out = tmp_path / "tags.csv"
    capsys.readouterr()
    words = ("tag", tagger, "--features", own, "--tags", "4", "--out", out, "--threads", "1")
    assert run(*words) == 0
    said = capsys.readouterr().out
    assert f"precision at 4 on held-out images: by energy {precision:.3f}, by votes " in said
    assert run(*words, "--by", "energy") == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(0 <= float(row["probability"]) <= 1 for row in rows)
    assert [row["rank"] for row in rows[:4]] == ["1", "2", "3", "4"]
    first = fitted.probabilities(
        data.scaling(torch.from_numpy(np.load(own)["features"][:1]).float())
    )
    assert [row["tag"] for row in rows[:4]] == [data.names[t] for t in np.argsort(-first[0])[:4]]


def test_what_does_not_fit_is_told_in_a_sentence(
    tagger: Path, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.npz"
    np.savez(other, features=np.ones((2, 5)))
    for words, said in (
        (["tag", tagger], "name images, or give your own features"),
        (["tag", tagger, "--features", other], "has 5 features per image, and the run takes 3"),
        (["tag", tagger, "a.png"], "does not say how its features were computed"),
        (["tag", tagger, "--features", own, "--tags", "15"], "give at most 14"),
        (["tag", tagger, "--features", own, "--samples", "0"], "--samples 0"),
        (["tag", tagger, "--features", own, "--data", other], "--data FILE.npz"),
        (["sample", tagger], "command line: energan tag"),
        (["evaluate", tagger, "--metrics", "fid"], "which precision_at_10, recall_at_10 score"),
        (["evaluate", tagger, "--reference", "digits"], "the run's held-out images"),
        (
            ["interpolate", tagger, "--out", tmp_path / "i.png"],
            "needs an input besides the latents",
        ),
        (["arithmetic", tagger, "--out", tmp_path / "a.png"], "takes conditions"),
        (["score", tagger, own], "no anomaly score of an image alone"),
        (["features", "digits", "--with", tagger, "--out", other], "gives no features"),
        (["features", "digits", "--with", own, "--out", other], "does not say how its features"),
        (["features", "digits", "--with", "classifier", "--out", "a.csv"], "name a .npz"),
        (["train", "tagging-celeba"], "name your features and tags"),
        (["train", "ebgan-ring", "--data", own], "holds an input for each example"),
        (["train", "--model", "tagging", "--data", "ring"], "`energan features` makes one"),
    ):
        assert said in refused(capsys, *words)


def test_changed_data_are_refused_and_moved_ones_are_found(
    tagger: Path, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved, changed = tmp_path / "moved.npz", tmp_path / "changed.npz"
    shutil.copy(own, moved)
    parts = dict(np.load(own))
    np.savez(changed, **{**parts, "features": parts["features"] * parts["features"]})
    words = ("tag", tagger, "--features", own, "--threads", "1", "--samples", "5")
    assert run(*words, "--data", moved) == 0
    assert "is not what" in refused(capsys, *words, "--data", changed)


@pytest.fixture(scope="module")
def digits(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Features of the digits by an EBGAN's encoder, and a run that tags by them."""
    folder = tmp_path_factory.mktemp("digits")
    file, out = folder / "digits.npz", folder / "tagger"
    words = ("features", "digits", "--with", small_run, "--out", file, "--threads", "1")
    assert run(*words) == 0
    words = ("train", "tagging-celeba", "--data", file, "--steps", "5", "--out", out)
    assert run(*words, *TRAINING) == 0
    return {"encoder": small_run, "file": file, "tagger": out}


def test_features_of_a_run_are_its_codes_of_the_same_split(digits: dict[str, Path]) -> None:
    file = read_tag_file(digits["file"])
    encoder = energan.load(digits["encoder"])
    data = open_data(encoder.job.settings.data)
    assert data.held_out is not None
    assert file.held_out is not None
    assert file.held_out.sum() == len(data.held_out)
    assert file.maker == encoder.network.sha256
    assert data.held_out.rows is not None
    kept = data.held_out.rows.argsort()  # in the source's order
    codes = encoder.code(data.held_out.gather(kept).x)
    np.testing.assert_allclose(file.features[file.held_out], codes, rtol=1e-5, atol=1e-5)
    assert file.names == tuple(map(str, range(10)))
    assert data.held_out.labels is not None
    np.testing.assert_array_equal(file.tags[file.held_out].argmax(1), data.held_out.labels[kept])


def test_images_are_tagged_by_features_made_as_the_runs_own(
    digits: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = open_data(energan.load(digits["encoder"]).job.settings.data)
    assert data.held_out is not None
    folder = tmp_path / "images"
    folder.mkdir()
    for i, image in enumerate(data.held_out.raw(slice(3))):
        Image.fromarray(image[0].numpy()).save(folder / f"{i}.png")
    (folder / "torn.png").write_bytes(b"no image")
    by_images, by_features = tmp_path / "images.csv", tmp_path / "features.csv"
    capsys.readouterr()
    words = ("tag", digits["tagger"], "--tags", "3", "--nearest", "2", "--threads", "1")
    assert run(*words, folder, "--out", by_images) == 0
    assert "torn.png cannot be read" in capsys.readouterr().err
    made = tmp_path / "made.npz"
    words_of = ("features", folder, "--with", digits["file"], "--held-out", "0", "--threads", "1")
    assert run(*words_of, "--out", made) == 0
    assert "without tags, for energan tag --features" in capsys.readouterr().out
    assert run(*words, "--features", made, "--out", by_features) == 0
    rows = [p.read_text().splitlines()[1:] for p in (by_images, by_features)]
    assert [r.split(",")[1:] for r in rows[0]] == [r.split(",")[1:] for r in rows[1]]
    assert [r.split(",")[0] for r in rows[0]][::3] == [str(folder / f"{i}.png") for i in range(3)]
    # features from another network are none of this run's
    about = read_tag_file(made, tagged=False).about
    parts = dict(np.load(made))
    about = {**about, "extractor": {**about["extractor"], "sha256": "0"}}
    np.savez(made, **{**parts, "about": np.array(json.dumps(about))})
    assert "from another network" in refused(capsys, *words, "--features", made)


def test_ten_tags_are_no_choice_among_ten(
    digits: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "10 tags, and choosing 10 of them needs more" in refused(
        capsys, "evaluate", digits["tagger"]
    )


def test_the_split_of_what_a_run_saw_is_settled(
    digits: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("features", "digits", "--with", digits["encoder"], "--out", tmp_path / "a.npz")
    assert "already fixes the held-out images" in refused(capsys, *words, "--held-out", "5")
    assert "resized as in the run's training" in refused(capsys, *words, "--size", "8")


def test_a_run_without_a_condition_has_no_tags(digits: dict[str, Path]) -> None:
    with pytest.raises(SettingError, match="makes no tags"):
        tagging.open_run_tags(energan.load(digits["encoder"]))
