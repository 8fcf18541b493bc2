"""The papers' figures from small runs, and what they refuse."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import gaussian_kde

from energan.cli import main as cli
from energan.core import CheckpointError, RunError, SettingError
from energan.inference.run import Run
from energan.report.figures import FIGURES, draw, save
from energan.report.figures.gan1d import _levels, _spread, density
from energan.report.figures.layout import panel_letter
from energan.report.figures.options import Drawing, FigureOptions, differences, system_name
from energan.report.figures.panels import margin_of
from energan.samplers.generator import Generator

SMALL = ["--model.generator", "8", "--model.latent", "3", "--threads", "1", "--steps", "6"]
SPARSE = ["--output.sample-every", "0", "--output.no-tensorboard"]
EBGAN = ["ebgan-digits", *SMALL, "--model.encoder", "8", *SPARSE]
LINE = ["gan-line", "--model.generator", "4", "--model.discriminator", "4", "--threads", "1",
        "--steps", "6", "--output.checkpoint-every", "1", *SPARSE]  # fmt: skip


def trained(out: Path, *words: str) -> Path:
    assert cli.main(["train", *words, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    gan = ["--data", "digits", "--model.discriminator", "8"]
    return {
        "pt": trained(root / "pt", *EBGAN),
        "m8": trained(root / "m8", *EBGAN, "--model.margin", "8", "--model.pull-away", "0"),
        "falling": trained(root / "falling", *EBGAN, "--model.margin", "linear(4, 1, 12)"),
        "gan": trained(root / "gan", "gan-mnist", *SMALL, *gan, *SPARSE),
        "ring": trained(root / "ring", "gan-ring", *SMALL, *SPARSE),
        "line": trained(root / "line", *LINE),
    }


def texts(drawn: Drawing) -> list[str]:
    """All that is written in a figure and about its axes."""
    figure = drawn.figure
    found = [*figure.texts, *(t for axes in figure.axes for t in (axes.title, *axes.texts))]
    return [line for text in found for line in text.get_text().splitlines() if line]


# --- asking for one -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FIGURES)
def test_a_folder_without_a_run_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        draw(kind, [tmp_path])
    with pytest.raises(RunError, match=f"energan figures {kind} RUN"):
        draw(kind, [])


def test_a_kind_that_is_not_known_names_the_others(runs: dict[str, Path]) -> None:
    with pytest.raises(SettingError, match=r"did you mean margins\?\): choose from gan1d, neigh"):
        draw("margin", [runs["pt"]])
    with pytest.raises(SettingError, match="no figure 'x': choose from gan1d"):
        draw("x", [runs["pt"]])


@pytest.mark.parametrize("kind", ["gan1d", "neighbours", "interpolation"])
def test_figures_of_one_run_take_one(kind: str, runs: dict[str, Path]) -> None:
    with pytest.raises(RunError, match="draws one run, and 2 are named"):
        draw(kind, [runs["pt"], runs["m8"]])


def test_at_least_one_is_shown(runs: dict[str, Path]) -> None:
    with pytest.raises(SettingError, match="-n 0: give at least 1"):
        draw("samples", [runs["pt"]], FigureOptions(n=0))


def test_a_figure_is_saved_with_what_it_shows(runs: dict[str, Path], tmp_path: Path) -> None:
    drawn = draw("samples", [runs["pt"]], FigureOptions(n=4, seed=3))
    assert drawn.description == "4 unpicked samples a panel (seed 3): (a) pt"
    with Image.open(save(drawn, tmp_path / "new" / "x.png")) as image:
        assert image.text["Title"] == drawn.description  # type: ignore[attr-defined]
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
    assert save(drawn, tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in save(drawn, tmp_path / "x.svg").read_text()
    for wrong in (tmp_path / "x.gif", tmp_path):
        with pytest.raises(SettingError, match=r"name a \.png, a \.pdf"):
            save(drawn, wrong)


def test_the_same_figure_twice_is_the_same_file(runs: dict[str, Path], tmp_path: Path) -> None:
    for form in ("png", "pdf", "svg"):
        files = [save(draw("samples", [runs["pt"]]), tmp_path / f"{i}.{form}") for i in range(2)]
        assert files[0].read_bytes() == files[1].read_bytes()


# --- samples and margins --------------------------------------------------------------------------


def test_panels_name_the_system_and_the_setting_that_differs(runs: dict[str, Path]) -> None:
    drawn = draw("samples", [runs["gan"], runs["m8"], runs["pt"]], FigureOptions(n=4))
    assert texts(drawn) == [
        "(a) GAN", "(b) EBGAN", "margin 8", "pulling away 0",
        "(c) EBGAN-PT", "margin 2.5", "pulling away 0.1",
    ]  # fmt: skip
    assert len(drawn.figure.axes) == 3
    assert drawn.notes == []


def test_many_differences_are_counted(runs: dict[str, Path]) -> None:
    found = [Run(runs["m8"]), Run(runs["pt"])]
    for i, run in enumerate(found):
        changes = {"latent": 5 + i, "generator": (9 + i, 7), "norm": bool(i), "decoder": (3 + i,)}
        changes["dropout"] = i / 2
        settings = run.job.settings
        model = settings.model.model_copy(update=changes)
        object.__setattr__(run.job, "settings", settings.model_copy(update={"model": model}))
    told = differences(found)
    assert told[0] == ["margin 8", "pulling away 0", "generator 9-7", "decoder 3", "norm False",
                       "and 2 more"]  # fmt: skip
    assert told[1][-1] == "and 2 more"
    assert system_name(found[0]) == "EBGAN"


def test_a_panel_shows_the_samples_of_its_run(runs: dict[str, Path]) -> None:
    from energan.io.pictures import grid

    drawn = draw("samples", [runs["m8"], runs["pt"]], FigureOptions(n=9, seed=5))
    for axes, name in zip(drawn.figure.axes, ("m8", "pt"), strict=True):
        run = Run(runs[name])
        wanted = grid(run.sample(9, seed=5), run.domain, 3).convert("RGB")
        assert np.array_equal(np.asarray(axes.images[0].get_array()), np.asarray(wanted))


def test_panels_of_points_have_the_data_behind(runs: dict[str, Path]) -> None:
    drawn = draw("samples", [runs["ring"]])
    real, made = drawn.figure.axes[0].collections
    assert len(real.get_offsets()) == len(made.get_offsets()) == 2000
    with pytest.raises(SettingError, match=r"examples of shape \(1,\) make no panel"):
        draw("samples", [runs["line"]])


def test_more_panels_than_three_go_on_below(runs: dict[str, Path]) -> None:
    drawn = draw("samples", [runs["pt"]] * 5, FigureOptions(n=1))
    tops = sorted({round(axes.get_position().y1, 3) for axes in drawn.figure.axes})
    assert len(drawn.figure.axes) == 5
    assert len(tops) == 2
    assert [panel_letter(i) for i in (0, 25, 26)] == ["(a)", "(z)", "(27)"]


def test_a_strip_goes_by_margin_as_it_was_at_that_step(runs: dict[str, Path]) -> None:
    assert margin_of(Run(runs["falling"])) == pytest.approx(2.5)  # half way from 4 to 1
    drawn = draw("margins", [runs["m8"], runs["falling"]], FigureOptions(n=8))
    assert texts(drawn) == ["m = 2.5", "m = 8"]
    lefts = [axes.get_position().x0 for axes in drawn.figure.axes]
    assert lefts == sorted(lefts)
    twice = draw("margins", [runs["m8"], runs["falling"], runs["pt"]], FigureOptions(n=2))
    assert "falling" in texts(twice)  # two have 2.5: the runs' names tell them apart


def test_an_estimated_margin_counts_as_what_it_was(tmp_path: Path) -> None:
    path = trained(tmp_path / "auto", *EBGAN, "--model.margin", "auto")
    run = Run(path)
    assert margin_of(run) == run.config["resolved"]["margin"]["margin"]


def test_strips_are_of_margins_and_of_images(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="the model gan has no margin; choose runs of an EBGAN"):
        draw("margins", [runs["pt"], runs["gan"]])
    without = trained(tmp_path / "c", *EBGAN, "--model.loss", "contrastive")
    with pytest.raises(SettingError, match="the model ebgan has no margin"):
        draw("margins", [without])
    words = ["--model.generator", "8", "--model.encoder", "8", "--model.decoder", "8"]
    points = trained(
        tmp_path / "p", "ebgan-ring", *words, *SPARSE, "--threads", "1", "--steps", "2"
    )
    with pytest.raises(SettingError, match="images of one size"):
        draw("margins", [points])


def test_different_steps_are_noted(runs: dict[str, Path], tmp_path: Path) -> None:
    other = trained(tmp_path / "other", *EBGAN, "--steps", "4")
    drawn = draw("samples", [runs["pt"], other], FigureOptions(n=1))
    assert drawn.notes == ["the runs are at different steps, 4 to 6"]
    assert texts(drawn)[1] == "step 6"


# --- the figures of 2014 --------------------------------------------------------------------------


def test_density_is_a_gaussian_kernel_estimate() -> None:
    points = torch.randn(3000, generator=torch.Generator().manual_seed(0)).double() * 2 + 1
    grid = torch.linspace(-9, 11, 400, dtype=torch.float64)
    found = density(points, grid)
    assert float(torch.trapezoid(found, grid)) == pytest.approx(1, abs=1e-3)
    spread = min(
        float(points.std()), float(np.subtract(*np.quantile(points, [0.75, 0.25])) / 1.349)
    )
    width = 0.9 * spread * 3000**-0.2
    oracle = gaussian_kde(points.numpy(), bw_method=width / float(points.std()))(grid.numpy())
    np.testing.assert_allclose(found.numpy(), oracle, atol=1e-9)
    spike = density(torch.zeros(50), grid)  # a collapsed p_g: no division by zero
    assert float(torch.trapezoid(spike, grid)) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        (list(range(0, 2001, 100)), [100, 300, 700, 2000]),
        ([0, 5, 10, 20, 40], [5, 10, 20, 40]),
        ([0, 10, 20, 30], [0, 10, 20, 30]),
        ([7], [7]),
        ([1900, 1950, 2000, 2050, 2100], [1900, 1950, 2050, 2100]),
    ],
)
def test_four_checkpoints_stand_for_a_training(kept: list[int], shown: list[int]) -> None:
    found = _spread(kept)
    assert found[0] == shown[0]
    assert found[-1] == shown[-1]
    assert len(found) == len(shown)
    assert set(found) <= set(kept)
    assert found == sorted(set(found))


def test_figure_one_draws_both_densities_and_d(runs: dict[str, Path]) -> None:
    drawn = draw("gan1d", [runs["line"]], FigureOptions(steps=(2, 6)))
    assert texts(drawn) == ["(a) step 2", "$x$", "$z$", "(b) step 6"]
    axes = drawn.figure.axes[0]
    p_data, p_g, d = (line.get_ydata() for line in axes.lines[:3])
    styles = [(line.get_linestyle(), line.get_color()) for line in axes.lines[:3]]
    assert styles == [(":", "black"), ("-", "tab:green"), ("--", "tab:blue")]
    x = torch.as_tensor(np.asarray(axes.lines[0].get_xdata()))
    normal = torch.exp(-0.5 * x**2) / (2 * torch.pi) ** 0.5
    assert np.abs(np.asarray(p_data) - normal.numpy()).max() < 0.03
    run = Run(runs["line"], checkpoint=2, weights="raw")
    energies = run.energy(x.float().unsqueeze(1))
    np.testing.assert_allclose(np.asarray(d), torch.sigmoid(-energies).numpy(), atol=1e-6)
    made = run.sample(10_000).flatten().double()
    np.testing.assert_allclose(np.asarray(p_g), density(made, x).numpy(), atol=1e-9)


def test_the_arrows_go_from_z_to_what_g_makes_of_it(runs: dict[str, Path]) -> None:
    drawn = draw("gan1d", [runs["line"]], FigureOptions(steps=(6,)))
    arrows = [text for text in drawn.figure.axes[1].texts if getattr(text, "arrow_patch", None)]
    run = Run(runs["line"], weights="raw")
    assert isinstance(run.sampler, Generator)
    z = _levels(run.sampler)
    made = run.sampler.network(z.unsqueeze(1), "eval").flatten().tolist()
    ends = [arrow.xy[0] for arrow in arrows]  # type: ignore[attr-defined]
    assert len(ends) == len(made)
    assert ends == pytest.approx(made, abs=1e-6)


@pytest.mark.parametrize(("prior", "end"), [("uniform", 1.0), ("uniform-unit-variance", 3**0.5)])
def test_arrows_start_at_equal_shares_of_the_prior(prior: str, end: float) -> None:
    z = _levels(Generator(torch.nn.Identity(), 1, prior))  # type: ignore[arg-type]
    assert torch.allclose(z.diff(), z.diff()[0])
    assert torch.allclose(z, -z.flip(0))
    assert 0.9 * end < float(z[-1]) < end
    normal = _levels(Generator(torch.nn.Identity(), 1, "normal"))
    shares = torch.special.ndtr(normal)
    assert torch.allclose(shares.diff(), shares.diff()[0], atol=1e-5)


def test_four_panels_unless_fewer_are_kept(runs: dict[str, Path], tmp_path: Path) -> None:
    drawn = draw("gan1d", [runs["line"]])
    assert len([t for t in texts(drawn) if "step" in t]) == 4
    assert drawn.notes == []
    few = trained(tmp_path / "few", *LINE, "--output.keep", "1")
    (note,) = draw("gan1d", [few]).notes
    assert "keeps 1 checkpoint only" in note or "keeps 2 checkpoints only" in note


def test_figure_one_is_of_a_gan_on_the_line(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"examples of shape \(1, 8, 8\).*the recipe gan-line"):
        draw("gan1d", [runs["pt"]])
    with pytest.raises(SettingError, match=r"shape \(2,\)"):
        draw("gan1d", [runs["ring"]])
    wide = trained(tmp_path / "wide", *LINE, "--model.latent", "2")
    with pytest.raises(SettingError, match="draws z of 2 numbers"):
        draw("gan1d", [wide])
    words = ["--model.generator", "8", "--model.encoder", "8", "--model.decoder", "8"]
    small = [*words, *SPARSE, "--threads", "1", "--steps", "2", "--data", "gaussian"]
    with pytest.raises(SettingError, match=r"the model ebgan has no D\(x\)"):
        draw("gan1d", [trained(tmp_path / "ebgan", "ebgan-ring", *small)])
    with pytest.raises(CheckpointError, match="has no checkpoint of step 77"):
        draw("gan1d", [runs["line"]], FigureOptions(steps=(77,)))


def test_neighbours_are_the_nearest_of_the_last_in_each_row(runs: dict[str, Path]) -> None:
    from energan.data import open_data
    from energan.io.pictures import grid

    drawn = draw("neighbours", [runs["pt"]], FigureOptions(n=6))
    run = Run(runs["pt"])
    data = open_data(run.job.settings.data)
    training = data.gather(torch.arange(len(data))).x
    rows = run.sample(10).unflatten(0, (2, 5))  # 6 are filled up to whole rows of 5
    nearest = torch.cdist(rows[:, -1].flatten(1), training.flatten(1)).argmin(1)
    shown = torch.cat([rows, training[nearest].unsqueeze(1)], 1).flatten(0, 1)
    wanted = np.asarray(grid(shown, run.domain, 6).convert("RGB"))
    axes = drawn.figure.axes[0]
    assert np.array_equal(np.asarray(axes.images[0].get_array()), wanted)
    assert len(axes.patches) == 2
    assert all(frame.get_x() > wanted.shape[1] * 0.8 for frame in axes.patches)  # type: ignore[attr-defined]


def test_interpolation_is_g_of_straight_lines(runs: dict[str, Path]) -> None:
    drawn = draw("interpolation", [runs["pt"]], FigureOptions(n=2))
    image = np.asarray(drawn.figure.axes[0].images[0].get_array())
    assert image.shape[:2] == (2 * 66 + 2, 10 * 66 + 2)
    other = draw("interpolation", [runs["pt"]], FigureOptions(n=2, seed=1))
    assert not np.array_equal(image, np.asarray(other.figure.axes[0].images[0].get_array()))


@pytest.mark.parametrize("kind", ["neighbours", "interpolation"])
def test_images_are_needed(kind: str, runs: dict[str, Path]) -> None:
    with pytest.raises(SettingError, match=rf"energan figures {kind}` needs images"):
        draw(kind, [runs["ring"]])
