"""The catalogue of metrics: names, aliases, and that nothing is scored that it lacks."""

import ast
import subprocess
import sys
from importlib import resources
from typing import get_args

import pytest

from energan import metrics
from energan.evaluation import image_to_image, scorers
from energan.evaluation.results import Result
from energan.experiment.callbacks.progress import SHOWN
from energan.experiment.settings import KeepBest
from energan.metrics.catalogue import (
    AUTO,
    METRICS,
    Of,
    better_of,
    describe_metrics,
    metrics_named,
    scorer_of,
    scorers_of,
    sign_of,
    title_of,
)

BETTER = {
    "inception_score": "higher", "modified_inception_score": "higher", "class_coverage": "higher",
    "class_kl": "lower", "label_agreement": "higher", "frechet_distance": "lower",
    "kernel_distance": "lower", "precision": "higher", "recall": "higher", "density": "higher",
    "coverage": "higher", "sliced_wasserstein": "lower", "variance_ratio": None,
    "memorisation": None, "parzen": "higher", "modes": "higher", "modes_kl": "lower",
    "high_quality_share": "higher", "energy_log_likelihood": "higher",
    "density_in_modes": "higher", "density_modes_kl": "lower", "l1": "lower", "psnr": "higher",
    "ssim": "higher", "precision_at_10": "higher", "recall_at_10": "higher",
    "held_out_energy": "lower", "error": "lower", "calibration_error": "lower",
}  # fmt: skip
"""In the order of metrics.json; a metric that is added need not stand here."""
KEPT_BEST = [
    "auto", "error", "sliced_wasserstein", "held_out_energy", "inception_score",
    "modified_inception_score", "class_kl", "frechet_distance", "kernel_distance", "precision",
    "recall", "density", "coverage", "parzen", "high_quality_share", "l1",
]  # fmt: skip


def named_results() -> set[str]:
    """The names of results that the evaluations write out, as far as they stand there."""
    found = set()
    for file in resources.files("energan.evaluation").iterdir():
        if file.name.endswith(".py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf8"))):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                    continue
                if node.func.id in ("Result", "with_interval"):
                    name = node.args[0]
                    found |= {name.value} if isinstance(name, ast.Constant) else set()
    return found


def test_every_result_is_in_it_and_knows_what_is_better() -> None:
    found = named_results()
    assert len(found) > 15
    assert found <= METRICS.keys()
    for name, metric in METRICS.items():
        assert better_of(name) == Result(name, 1.0).better == metric.better
    assert better_of("another") is Result("another", 1.0).better is None
    assert Result("auroc_noise", 0.9, better="higher").better == "higher"


def test_all_that_the_command_line_takes_is_in_it() -> None:
    assert tuple(scorers.SCORERS) == scorers_of("samples")
    assert tuple(image_to_image.METRICS) == scorers_of("pairs")
    assert scorers_of("classes") == ("error", "calibration_error")
    for of in get_args(Of):
        for name in scorers_of(of):
            assert scorer_of(name) == name
            assert metrics_named(name)
            assert of == "training" or name in describe_metrics()
    for name in (*get_args(KeepBest), *AUTO):
        assert name == "auto" or METRICS[name].better
    assert {name for name, metric in METRICS.items() if metric.bar} < SHOWN.keys()


def test_the_order_of_metrics_json_and_what_is_better() -> None:
    assert {name: better_of(name) for name in METRICS if name in BETTER} == BETTER
    assert [name for name in METRICS if name in BETTER] == list(BETTER)


def test_what_keep_best_takes() -> None:
    assert [name for name in get_args(KeepBest) if name in KEPT_BEST] == KEPT_BEST
    assert all(METRICS[name].keep_best for name in get_args(KeepBest) if name not in KEPT_BEST)


@pytest.mark.parametrize(
    ("text", "found", "scorer"),
    [
        ("FID", ("frechet_distance",), "frechet_distance"),
        ("is", ("inception_score",), "inception_score"),
        ("Sliced-Wasserstein", ("sliced_wasserstein",), "sliced_wasserstein"),
        ("modes-kl", ("modes_kl",), "modes"),
        ("density_in_modes", ("density_in_modes",), "energy_log_likelihood"),
        ("recall", ("recall",), "precision_recall_density_coverage"),
        (
            "prdc",
            ("precision", "recall", "density", "coverage"),
            "precision_recall_density_coverage",
        ),
        ("nonsense", (), "nonsense"),
    ],
)
def test_names_and_aliases(text: str, found: tuple[str, ...], scorer: str) -> None:
    assert metrics_named(text) == found
    assert scorer_of(text) == scorer


def test_no_alias_is_a_name_and_scorers_are_there() -> None:
    assert not set(METRICS) & {alias for m in METRICS.values() for alias in m.aliases}
    for metric in METRICS.values():
        assert metric.scorer in ("", *scorers.SCORERS)


def test_signs_and_titles_of_what_is_in_it_and_of_the_rest() -> None:
    assert (sign_of("sliced_wasserstein"), title_of("psnr")) == ("SWD", "PSNR (dB)")
    assert (sign_of("modes_kl"), title_of("modes_kl")) == ("modes kl", "Modes kl")
    assert (sign_of("of_another"), title_of("of_another")) == ("of another", "Of another")


def test_it_needs_no_torch() -> None:
    code = "import sys, energan.metrics.catalogue; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_all_public_names_load() -> None:
    for name in metrics.__all__:
        assert getattr(metrics, name).__name__ == name
    assert dir(metrics) == sorted(metrics.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        metrics.nonsense  # noqa: B018
