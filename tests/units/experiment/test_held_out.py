"""The error of held-out labels on the way, and the best checkpoint by it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from energan.core import Domain
from energan.experiment.callbacks import held_out
from energan.experiment.callbacks.held_out import HeldOutErrors, describe_errors
from energan.experiment.settings import load
from energan.io.run_folder import RunFolder
from energan.training.hooks import best_step
from support.helpers import make_loop, model_case, small_data

DOMAIN = Domain((1, 8, 8), 0.0, 1.0, classes=10)


def test_it_is_the_share_of_wrong_labels_by_the_evaluated_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(held_out, "AT_ONCE", 7)  # several pieces
    case, data = model_case("ladder")
    kept = small_data(data.domain, 40)
    assert kept.labels is not None
    labels = kept.labels.clone()
    labels[::3] = -1  # without a label
    data = replace(data, held_out=replace(kept, labels=labels))
    loop = make_loop(case, data, steps=3)
    loop.run()
    loop.estimate_statistics()
    found = HeldOutErrors(data)(loop)
    rows = (labels >= 0).nonzero().flatten()
    with torch.no_grad():
        energy = loop.averaged()["energy"].eval()
        logits = energy(kept.gather(rows).x, stream="eval").logits
    wrong = (logits.argmax(1) != labels[rows]).float().mean()
    assert found["error"] == pytest.approx(float(wrong))
    assert 0 <= found["calibration_error"] <= 1


def test_others_have_no_such_figures() -> None:
    case, data = model_case("ebgan")
    data = replace(data, held_out=small_data(data.domain, 20))
    assert HeldOutErrors(data)(make_loop(case, data, steps=1)) == {}
    case, data = model_case("ladder")
    loop = make_loop(case, data, steps=1)
    assert HeldOutErrors(replace(data, held_out=None))(loop) == {}
    unknown = small_data(data.domain, 20)
    assert unknown.labels is not None
    unknown = replace(unknown, labels=torch.full_like(unknown.labels, -1))
    assert HeldOutErrors(replace(data, held_out=unknown))(loop) == {}


def test_training_says_on_how_many_the_error_is_measured() -> None:
    job, data = load(None, "ladder"), small_data(DOMAIN)
    kept = replace(data, held_out=small_data(DOMAIN, 50))
    assert "measured on 50 labelled examples" in str(describe_errors(job, kept))
    assert "--data.held-out" in str(describe_errors(job, data))
    assert describe_errors(load(None, "ebgan"), kept) is None


def test_large_events_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_out, "NUMBERS", 64 * 30)
    monkeypatch.setattr(held_out, "LEAST", 20)
    data = replace(small_data(DOMAIN), held_out=small_data(DOMAIN, 50))
    assert len(HeldOutErrors(data).rows) == 30


@pytest.mark.parametrize(
    ("events", "best"),
    [
        ([{"error": 0.3, "sliced_wasserstein": 1}, {"error": 0.1, "sliced_wasserstein": 2}], 1),
        ([{"sliced_wasserstein": 1, "held_out_energy": 3}, {"sliced_wasserstein": 2}], 0),
        ([{"held_out_energy": 3}, {"held_out_energy": 2}], 1),
        ([{}, {}], None),
    ],
)
def test_auto_goes_by_the_error_where_there_is_one(
    events: list[dict[str, float]], best: int | None, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path)
    lines = [{"event": "score", "time": 0, "step": i, **e} for i, e in enumerate(events)]
    folder.events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for i in range(len(events)):
        (folder.checkpoints / f"step-{i:06d}").mkdir(parents=True)
    assert best_step(folder, "auto") == best
