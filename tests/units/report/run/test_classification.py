"""Pictures of confusion and reliability: what is drawn, and what a damaged entry does."""

from typing import Any

import numpy as np
import pytest

from energan.metrics import reliability as bins_of
from energan.report.run import classification


def entry(classes: int, seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    p = generator.dirichlet(np.full(classes, 0.2), 300)
    true = (p.cumsum(1) < generator.random((300, 1))).sum(1).clip(max=classes - 1)
    table = np.zeros((classes, classes), int)
    np.add.at(table, (true, p.argmax(1)), 1)
    bins = bins_of(p, true)
    return {
        "confusion": table.tolist(),
        "class_names": [f"$name_{k}$" for k in range(classes)],
        "calibration_error": bins.error,
        "bins": [
            {"low": low, "high": high, "count": int(n),
             "confidence": None if n == 0 else c, "accuracy": None if n == 0 else a}
            for low, high, n, c, a in zip(
                bins.edges[:-1].tolist(), bins.edges[1:].tolist(), bins.count,
                bins.confidence.tolist(), bins.accuracy.tolist(), strict=True)
        ],
    }  # fmt: skip


def test_each_count_stands_in_its_cell(axes_drawn: list[Any]) -> None:
    wanted = entry(4)
    assert classification.draw_confusion(wanted) is not None
    cells = {t.get_position(): t.get_text() for t in axes_drawn[0].texts}
    table = np.array(wanted["confusion"])
    assert cells == {(c, r): str(table[r, c]) for r, c in np.argwhere(table > 0).tolist()}
    share = 1 - np.trace(table) / table.sum()
    assert axes_drawn[0].get_title(loc="left").startswith(f"error {100 * share:.2f} % of 300; ")


def test_bars_are_the_shares_that_are_right(axes_drawn: list[Any]) -> None:
    wanted = entry(3)
    assert classification.draw_reliability(wanted) is not None
    upper, lower = axes_drawn[0].child_axes
    there = [b for b in wanted["bins"] if b["count"]]
    (dots,) = [line for line in upper.lines if line.get_marker() == "o"]
    assert dots.get_ydata() == pytest.approx([b["accuracy"] for b in there])
    assert sorted(bar.get_height() for bar in lower.patches) == sorted(b["count"] for b in there)


def test_many_classes_have_no_counts(axes_drawn: list[Any]) -> None:
    assert classification.draw_confusion(entry(60)) is not None
    assert len(axes_drawn[0].texts) == 0
    assert len(axes_drawn[0].get_yticks()) <= classification.NAMED


@pytest.mark.parametrize(
    "damage",
    [
        {"confusion": None}, {"confusion": [[1, 2], [3]]}, {"confusion": [["a", "b"], ["c", "d"]]},
        {"confusion": [[0, 0], [0, 0]]}, {"confusion": [[1, 2, 3]]},
        {"confusion": [[1, -2], [3, 4]]},
    ],
)  # fmt: skip
def test_a_table_that_is_none_gives_no_picture(damage: dict[str, Any]) -> None:
    assert classification.draw_confusion({**entry(2), **damage}) is None


@pytest.mark.parametrize("bins", [None, [], ["x"], [{"count": 3}], [{"count": 0, "accuracy": 1.0}]])
def test_bins_that_are_none_give_no_picture(bins: Any) -> None:
    assert classification.draw_reliability({**entry(2), "bins": bins}) is None
