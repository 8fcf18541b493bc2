"""The picture of a run's curves, and when its settings change its training."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from energan.core.schedules import parse
from energan.experiment.callbacks.curves import phases, save_curves
from energan.samplers.generator import Generator
from energan.samplers.none import NoSampler


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    found: list[Figure] = []
    save = FigureCanvasAgg.print_png

    def keep(canvas: FigureCanvasAgg, *given: Any, **how: Any) -> None:
        found.append(canvas.figure)
        save(canvas, *given, **how)

    monkeypatch.setattr(FigureCanvasAgg, "print_png", keep)
    return found


def steps(*names: str, count: int = 4) -> list[dict[str, Any]]:
    return [{"event": "step", "step": 10 * s, **dict.fromkeys(names, 1.0)} for s in range(count)]


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes]


def test_there_is_a_panel_for_what_a_run_has(tmp_path: Path, drawn: list[Figure]) -> None:
    scored = {"event": "score", "step": 30, "error": 0.1}
    save_curves(tmp_path / "c.png", steps("energy_real", "loss_energy"))
    save_curves(tmp_path / "c.png", [*steps("energy_real", "cross_entropy"), scored])
    save_curves(tmp_path / "c.png", [])
    assert titles(drawn[0]) == ["energies", "losses"]
    assert titles(drawn[1]) == ["energies", "cross-entropy of labels", "error on held-out labels"]
    assert titles(drawn[2]) == ["energies"]
    assert (tmp_path / "c.png").stat().st_size > 1000


def test_the_margin_and_what_changes_are_drawn_where_they_are(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    margin = parse("linear(16, 0, 20)")
    changes = {"generator rests": 20, "rate falls": 90}  # of which the run has not come to one
    save_curves(tmp_path / "c.png", steps("energy_real", "loss_energy"), margin, changes)
    energies, losses = drawn[0].axes
    known = {line.get_label(): line for line in energies.lines}
    assert "rate falls" not in known
    assert list(known["generator rests"].get_xdata()) == [20, 20]
    x, y = known["margin"].get_data()
    assert all(value == margin(step) for step, value in zip(x, y, strict=True))
    assert (min(x), max(x)) == (0, 30)
    assert len(losses.lines) == 2  # its own and the generator's end


@pytest.mark.parametrize(
    ("until", "rate", "found"),
    [
        (60_000, "linear(0.0005, 0, 60000, 120000)",
         {"generator rests": 60_000, "rate falls": 120_000}),
        (1_000, 0.1, {"generator rests": 1_000}),
        (180_000, "linear(0.1, 0, 100, 200000)", {}),  # both after the run's end
        (None, "linear(0.1, 0, 500)", {}),  # from the beginning: no change on the way
    ],
)  # fmt: skip
def test_what_the_settings_change(
    until: int | None, rate: str | float, found: dict[str, int]
) -> None:
    sampler = Generator(NoSampler(), 1, until=until)
    assert phases(sampler.learns, parse(rate), 180_000) == found


def test_a_run_without_a_sampler_has_none_that_rests() -> None:
    assert phases(NoSampler().learns, parse(1.0), 100) == {}
