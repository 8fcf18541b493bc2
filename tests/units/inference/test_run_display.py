"""A run's figures as a table, and the run in a notebook."""

import json
import shutil
from pathlib import Path

import energan
from energan.inference.run import Run


def test_history_has_a_row_for_each_logged_step(runs: dict[str, Run]) -> None:
    run = runs["ebgan"]
    frame = run.history()
    steps = {e["step"] for e in run.events() if e["event"] in ("step", "score")}
    assert frame.index.name == "step"
    assert set(frame.index) == steps
    assert frame.index.is_monotonic_increasing
    for event in run.events("step"):
        assert frame.loc[event["step"], "loss_energy"] == event["loss_energy"]
    scores = {e["step"]: e["sliced_wasserstein"] for e in run.events("score")}
    assert frame["sliced_wasserstein"].dropna().to_dict() == scores
    assert frame.dtypes.unique().tolist() == [float]


def test_a_run_shows_its_state_its_scores_and_no_markup_of_others(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    path = shutil.copytree(runs["ebgan"].path, tmp_path / "<b>run")
    shown = energan.load(path)._repr_html_()
    assert "finished, step 20 of 20" in shown
    assert "Sliced Wasserstein distance at step 20" in shown
    assert "<b>run" not in shown
    assert "&lt;b&gt;run" in shown
    assert "<img alt='samples'" in shown
    (path / "samples" / "x.png").write_bytes(b"picture")
    entry = {"event": "samples", "time": 0, "step": 20, "path": "samples/x.png"}
    with (path / "events.jsonl").open("a") as events:
        events.write(json.dumps(entry) + "\n")
    energan.evaluate(str(path), metrics=["sliced_wasserstein"], samples=20, resamples=5)
    shown = energan.load(path)._repr_html_()
    assert "data:image/png;base64,cGljdHVyZQ==" in shown
    assert "<th style='text-align:left'>sliced_wasserstein</th>" in shown
    (path / "metrics.json").write_text('{"evaluations": 3}')
    assert "at step 20" in energan.load(path)._repr_html_()
