"""Parallel coordinates of a sweep."""

import io
from pathlib import Path

from PIL import Image

from energan.report.sweep.parallel import draw_parallel, heights
from energan.report.sweep.records import SweepRecords, read
from support import sweep_records as made

METRIC = "modified_inception_score"


def sweep(path: Path, scores: list[float | None]) -> SweepRecords:
    axes = {"nLayerG": [4, 2, 3], "dropoutD": [True, False], "lr": [0.001]}
    records = []
    for values, value in zip(made.combinations(axes), scores, strict=False):
        done = {} if value is None else {METRIC: {"value": value, "better": "higher"}}
        records.append(made.record(values, "gan", "failed" if value is None else "done", done))
    return read([made.folder(path, "small", axes, records)])[0]


def test_lines_cross_the_axes_at_their_values_the_best_first(tmp_path: Path) -> None:
    one = sweep(tmp_path / "a", [1.0, 3.0, 2.0, None])
    # (4, yes), (4, no), (2, yes), (2, no): numbers in order, the score from the lowest up
    assert heights(one) == [[1.0, 1.0, 1.0], [0.0, 0.0, 0.5], [1.0, 0.0, 0.0]]
    picture = draw_parallel(one)
    assert picture is not None
    assert "each of 3 trials" in picture.caption
    Image.open(io.BytesIO(picture.light)).load()


def test_one_trial_is_no_picture(tmp_path: Path) -> None:
    assert draw_parallel(sweep(tmp_path / "a", [1.0, None])) is None
