"""What the page is drawn from: latents, neighbours, points, names, numbers."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from energan.core import Domain
from energan.data.dataset import DataSet
from energan.evaluation.neighbours import nearest_events
from energan.inference import latents
from energan.report import html
from energan.report.html import Theme, safe_label
from energan.report.run import facts, points


def test_ways_between_latents_keep_their_ends_and_the_sphere_its_norm() -> None:
    a, b = torch.randn(2, 5, 40)
    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    for way in (latents.linear, latents.spherical):
        path = way(a, b, 7)
        assert path.shape == (5, 7, 40)
        torch.testing.assert_close(path[:, 0], a)
        torch.testing.assert_close(path[:, -1], b)
    torch.testing.assert_close(latents.spherical(a, b, 7).norm(dim=-1), torch.ones(5, 7))
    assert bool((latents.linear(a, b, 7).norm(dim=-1)[:, 3] < 0.95).all())


@pytest.mark.parametrize("factor", [1.0, -1.0, 2.0])
def test_latents_on_one_line_are_joined_without_a_nan(factor: float) -> None:
    a = torch.randn(3, 4)
    path = latents.spherical(a, factor * a, 5)
    assert bool(path.isfinite().all())
    torch.testing.assert_close(path[:, -1], factor * a)


def test_neighbours_are_those_of_the_whole_set_by_rows_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("energan.evaluation.neighbours.NUMBERS", 64 * 10)  # chunks of ten
    events = torch.randint(256, (95, 1, 8, 8), dtype=torch.uint8)
    data = DataSet("images", events, Domain((1, 8, 8), -1.0, 1.0))
    real = data.gather(torch.arange(95)).x
    queries = real[[7, 90]] + 0.01
    distances, rows = nearest_events(queries, data, 3)
    expected = torch.cdist(queries.flatten(1), real.flatten(1)).topk(3, largest=False)
    assert rows[:, 0].tolist() == [7, 90]
    assert torch.equal(rows, expected.indices)
    torch.testing.assert_close(distances, expected.values, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("size", "pictures"), [(1, ["points"]), (2, ["points", "energy-map"]), (3, ["points"])]
)
def test_points_are_drawn_in_any_number_of_dimensions(size: int, pictures: list[str]) -> None:
    def energy(x: torch.Tensor) -> torch.Tensor:
        return x.square().sum(1).sqrt()

    run: Any = SimpleNamespace(
        domain=Domain((size,)),
        step=5,
        weights="raw",
        energy=energy,
        potential=lambda: energy,
        engine=SimpleNamespace(device="cpu"),
        job=SimpleNamespace(settings=SimpleNamespace(seed=0)),
    )
    data = DataSet("points", torch.randn(300, size), Domain((size,)))
    for real in (data, None):
        made = points.draw_points(run, torch.randn(200, size), real, lambda step: 1.0)
        assert [picture.name for picture in made] == pictures


def test_breaks_do_not_count_as_time() -> None:
    events = [
        {"event": e, "time": t} for e, t in
        [("start", 0.0), ("step", 50.0), ("stopped", 60.0), ("resume", 9000.0), ("step", 9005.0)]
    ]  # fmt: skip
    assert facts.training_time(events) == "1 min 05 s"


def test_odd_names_can_be_drawn() -> None:
    names = ['<b>&"x', "_$a$ 日本", "a" * 120]

    def draw(axes: Any, theme: Theme) -> None:
        for name in names:
            axes.plot([0, 1], label=safe_label(name))
        labels = [text.get_text() for text in axes.legend().get_texts()]
        assert len(labels) == len(names)

    html.draw_figure("odd", "odd", "", draw)
