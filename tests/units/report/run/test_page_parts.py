"""Runs that are broken in part, and what is drawn in the curves."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import energan
from energan.core import RunError, SettingError
from energan.report.html import Theme
from energan.report.page import write_report
from energan.report.run import curves
from energan.report.run.contents import read_runs
from energan.report.run.facts import header, resolution


def changed_config(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    config = json.loads((run / "config.json").read_text())
    change(config)
    (run / "config.json").write_text(json.dumps(config))


def test_a_calibrated_run_shows_its_threshold(run: Path) -> None:
    (plain,) = read_runs([run])
    assert "Anomaly threshold" not in dict(header(plain))
    made = energan.load(run).calibrate(fpr=0.05)
    told = dict(header(plain))["Anomaly threshold"]
    assert told.startswith(f"energy {made.threshold:.5g}, which at most 5 % of new normal images")
    assert "held-out part of digits" in told
    (run / "calibration.json").write_text("{")
    assert "Anomaly threshold" not in dict(header(plain))
    assert "calibrate again" in plain.notes["calibration"]


# --- broken in part -------------------------------------------------------------------------------


def no_checkpoints(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")


def no_events(run: Path) -> None:
    (run / "events.jsonl").unlink()


def no_samples(run: Path) -> None:
    shutil.rmtree(run / "samples")


def torn_events(run: Path) -> None:
    with (run / "events.jsonl").open("ab") as file:
        file.write(b'{"event": "step", "step": 35, "loss_en\xff')


def odd_events(run: Path) -> None:
    with (run / "events.jsonl").open("a") as file:
        file.write('\n{"event": "step", "step": 40, "loss_energy": NaN, "energy_real": "low"}\n')
        file.write('{"event": "step", "step": "x"}\n{"event": "health", "step": 20}\n')


def torn_picture(run: Path) -> None:
    path = run / "samples" / "step-000010.png"
    path.write_bytes(path.read_bytes()[:200])


def lost_data(run: Path) -> None:
    changed_config(run, lambda c: c["settings"]["data"].update(source="/nowhere/images"))


def other_data(run: Path) -> None:
    changed_config(run, lambda c: c["resolved"]["data"].update(fingerprint="0"))


def unknown_model(run: Path) -> None:
    changed_config(run, lambda c: c.update(model="no-such-model"))


@pytest.mark.usefixtures("axes_drawn")
@pytest.mark.parametrize(
    ("harm", "said"),
    [(no_checkpoints, "Checkpoint."), (no_events, "no events.jsonl"), (no_samples, "Losses"),
     (torn_events, "1 line of events.jsonl cannot be read"), (odd_events, "health"),
     (torn_picture, "Samples of step 10."), (lost_data, "/nowhere/images"),
     (other_data, "the data has changed"), (unknown_model, "no-such-model")],
)  # fmt: skip
def test_a_run_broken_in_part_is_shown_as_far_as_it_goes(
    run: Path, harm: Callable[[Path], None], said: str
) -> None:
    harm(run)
    assert said in write_report([run]).read_text(encoding="utf8")


@pytest.mark.usefixtures("axes_drawn")
def test_without_its_data_a_run_still_shows_its_samples(run: Path) -> None:
    lost_data(run)
    page = write_report([run]).read_text(encoding="utf8")
    assert "Interpolation, linear" in page
    assert "Nearest training images" not in page


def test_what_is_no_run_or_no_page_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        write_report([run, tmp_path / "nothing"])
    with pytest.raises(SettingError, match="is a folder"):
        write_report([run], tmp_path)
    with pytest.raises(SettingError, match=r"ends in \.html"):
        write_report([run], tmp_path / "page.pdf")
    with pytest.raises(SettingError, match="name a run"):
        write_report([])


# --- curves ---------------------------------------------------------------------------------------


class Axes:
    """Takes what is plotted down."""

    def __init__(self) -> None:
        self.lines: dict[str, list[tuple[float, float]]] = {}
        self.vertical: list[float] = []

    def plot(self, steps: Any, values: Any, *style: Any, label: str, **more: Any) -> None:
        self.lines[label] = list(zip(steps, values, strict=True))

    def axvline(self, step: float, **more: Any) -> None:
        self.vertical.append(step)

    def __getattr__(self, name: str) -> Any:
        return self if name == "xaxis" else lambda *a, **more: None


def drawn(run: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Axes]:
    found: dict[str, Axes] = {}

    def take_down(name: str, title: str, caption: str, draw: Any) -> str:
        found[name] = Axes()
        draw(found[name], Theme("k", "k"))
        return name

    monkeypatch.setattr(curves, "draw_figure", take_down)
    contents = read_runs([run], use_data=False)[0]
    curves.draw_run(contents)
    curves.draw_scores([contents])
    return found


def test_the_margin_is_drawn_as_it_was_scheduled(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    energies = drawn(run, monkeypatch)["curves-energies"].lines
    margin = dict(energies["margin $m$"])
    assert (margin[0], margin[15], margin[30]) == pytest.approx((2.5, 1.75, 1.0))
    assert len(energies) == 5
    assert [step for step, _ in energies["data (training)"]] == [5, 10, 15, 20, 25, 30]


def test_warnings_are_marked_and_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (run / "events.jsonl").open("a") as file:
        told = {"event": "health", "step": 20, "kind": "collapse", "says": "samples hardly differ"}
        file.write(json.dumps(told) + "\n")
    assert drawn(run, monkeypatch)["curves-losses"].vertical == [20]
    contents = read_runs([run], use_data=False)[0]
    assert curves.marks(contents) == [("①", 20, "collapse: samples hardly differ")]


def test_gradient_norms_are_drawn_where_they_are_logged(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = drawn(run, monkeypatch)["curves-gradients"].lines
    assert lines.keys() == {"Energy", "Sampler"}
    assert all(value > 0 for _, value in lines["Energy"])
    text = (run / "events.jsonl").read_text()
    (run / "events.jsonl").write_text(text.replace('"gradient_', '"other_'))  # of an older version
    assert "curves-gradients" not in drawn(run, monkeypatch)


def test_a_run_says_whose_weights_it_started_from(run: Path) -> None:
    origin = {"path": "/runs/before", "step": 12_000, "sha256": "0" * 64}
    changed_config(run, lambda config: config["resolved"].update({"from": origin}))
    rows = dict(resolution(read_runs([run])[0]))
    assert rows["Started from"] == "/runs/before at step 12,000"
