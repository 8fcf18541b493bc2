"""The section on defects: its tables, its ROC curve, and which pictures are shown."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from energan.io.text import number, range_text
from energan.report.run import defects

COUNTS = [
    {"kind": "good", "anomalous": False, "images": 40, "flagged": 2},
    {"kind": "crack", "anomalous": True, "images": 10, "flagged": 9},
    {"kind": "fray", "anomalous": True, "images": 30, "flagged": 11},
]
ENDS = {"low": 0.7, "high": 0.9}


def entry(**changes: Any) -> dict[str, Any]:
    pixels = {"auroc": 0.75, "aupro": 0.5, "auroc_interval": ENDS, "aupro_interval": ENDS}
    kind = {"images": 40, "auroc": 0.8125, "interval": ENDS, "pixels": {**pixels, "defects": 44}}
    compared = {"name": "PCA", "auroc": 0.85, "energy_auroc": 0.8125, "difference": -0.0375,
                "low": -0.06, "high": 0.01}  # fmt: skip
    return {
        "step": 40, "weights": "ema", "map": "squared error", "interval": "95%", "notes": ["one"],
        "data": {"source": "parts", "events": 80, "masks": 40},
        "kinds": [{"kind": "all", **kind}, {"kind": "crack", **kind, "auroc": None}],
        "threshold": {"energy": 3.5, "fpr": 0.05, "calibrated_on": "99 normal examples",
                      "fitted": False, "counts": COUNTS},
        "detection": {"auroc": 0.8125},
        "baselines": {"about": "fitted to 9 images", "images": 80, "compared": [compared]},
        "roc": [{"name": "energy", "fpr": [0, 0.1, 1], "tpr": [0, 0.6, 1]},
                {"name": "PCA", "fpr": [0, 0.2, 1], "tpr": [0, 0.9, 1]}],
        **changes,
    }  # fmt: skip


def contents(*entries: dict[str, Any], path: Path = Path()) -> Any:
    scores = SimpleNamespace(defects=list(entries))
    return SimpleNamespace(scores=scores, folder=SimpleNamespace(path=path))


def test_counts_at_the_threshold_are_caught_missed_and_false_alarms() -> None:
    kinds, counts, beside = defects.tabulate(contents(entry(step=20), entry()))
    assert counts.rows == [
        ("good", "40", "–", "–", ("2", "5.0%")),
        ("crack", "10", ("9", "90.0%"), "1", "–"),
        ("fray", "30", ("11", "36.7%"), "19", "–"),
    ]
    assert kinds.rows[0][2] == ("0.8125", range_text(0.7, 0.9))
    assert kinds.rows[1][2][0] == "–"
    assert kinds.caption.startswith("Step 40, ")
    assert beside.rows[1][2] == (number(-0.0375), range_text(-0.06, 0.01))
    assert "PCA is not beaten by this energy" in beside.caption
    assert "fits them by design" not in counts.caption


def test_the_dot_is_where_the_threshold_is(axes_drawn: list[Any]) -> None:
    assert defects.operating_point(entry()) == (2 / 40, 20 / 40)
    assert defects.operating_point(entry(threshold=None)) is None
    assert defects.draw_roc(entry()) is not None
    (axes,) = axes_drawn[:1]
    (dot,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (0.05, 0.5)
    named = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert named["energy  0.812"] == [0, 0.6, 1]
    assert named["PCA  0.850"] == [0, 0.9, 1]


def test_entries_of_before_have_their_table_alone() -> None:
    old = entry()
    for name in ("threshold", "detection", "baselines", "roc"):
        del old[name]
    (table,) = defects.tabulate(contents(old))
    assert len(table.rows) == 2
    assert defects.draw_newest(contents(old)) == []
    assert defects.show_worst(contents(old)) == []
    assert defects.tabulate(contents()) == []


@pytest.mark.parametrize(
    ("anomalous", "flagged", "title"),
    [(True, False, "crack, missed"), (True, True, "crack, found"), (False, True, "False alarm"),
     (False, False, "Normal, rightly"), (True, None, "crack")],
)  # fmt: skip
def test_pictures_say_what_the_verdict_was(
    tmp_path: Path, anomalous: bool, flagged: bool | None, title: str
) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "run").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "run" / "b.png")
    one = {"kind": "crack", "anomalous": anomalous, "flagged": flagged, "energy": 2.5,
           "image": "parts/crack/7.png"}  # fmt: skip
    shown = [{**one, "file": "b.png"}, {**one, "file": "gone.png"}, {**one, "file": "../a.png"}]
    (found,) = defects.show_worst(contents(entry(pictures=shown), path=tmp_path / "run"))
    assert (found.title, found.caption) == (title, "7.png, energy 2.500")
