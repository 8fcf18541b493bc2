"""Every metric by its name: how it is written, which values are better, what makes it.

The one table that the command line, `output.keep_best`, sweeps, metrics.json, pages and the
progress bar read. Nothing here needs torch.
"""

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"] | None
Of = Literal["samples", "pairs", "tags", "classes", "training"]
"""What a metric is of: samples, images made of images, tags, classes that a run tells apart; or a
figure that runs make while they train alone."""


@dataclass(frozen=True)
class Metric:
    """better: which values are; None where neither is. title: on pages. sign: in a line or the head
    of a column. bar: on the progress bar, of metrics that it shows. percent: whether it shows them
    as a percentage.

    scorer: what makes it, where that has another name; so `--metrics modes` makes
    high_quality_share too. aliases: other names on the command line; one may stand for several.
    always: whether every run makes it at its checkpoints, where it applies. keep_best: whether
    `output.keep_best` takes it.
    """

    name: str
    better: Better = None
    title: str = ""
    sign: str = ""
    bar: str = ""
    percent: bool = False
    scorer: str = ""
    aliases: tuple[str, ...] = ()
    of: Of = "samples"
    always: bool = False
    keep_best: bool = False

    @property
    def scored(self) -> bool:
        """Whether evaluations make it, and not only runs while they train."""
        return self.of != "training"


_PRDC = "precision_recall_density_coverage"

_TABLE = (
    Metric("inception_score", "higher", "Inception score", "IS", aliases=("is",), keep_best=True),
    Metric("modified_inception_score", "higher", "Modified inception score I′", "I′",
           keep_best=True),
    Metric("class_coverage", "higher", "Classes covered"),
    Metric("class_kl", "lower", "KL of classes", scorer="class_coverage", keep_best=True),
    Metric("label_agreement", "higher", "Labels obeyed"),
    Metric("frechet_distance", "lower", "Fréchet distance", "Fréchet distance", aliases=("fid",),
           keep_best=True),
    Metric("kernel_distance", "lower", aliases=("kid",), keep_best=True),
    *(Metric(name, "higher", scorer=_PRDC, aliases=("prdc", _PRDC), keep_best=True)
      for name in ("precision", "recall", "density", "coverage")),
    Metric("sliced_wasserstein", "lower", "Sliced Wasserstein distance", "SWD", bar="SWD",
           aliases=("swd",), always=True, keep_best=True),
    Metric("variance_ratio", always=True),
    Metric("memorisation"),
    Metric("parzen", "higher", "Parzen log-likelihood", keep_best=True),
    Metric("modes", "higher", "Modes covered", always=True),
    Metric("modes_kl", "lower", scorer="modes"),
    Metric("high_quality_share", "higher", scorer="modes", always=True, keep_best=True),
    Metric("energy_log_likelihood", "higher", "Log-likelihood of the energy"),
    Metric("density_in_modes", "higher", "The density's mass in the modes",
           scorer="energy_log_likelihood"),
    Metric("density_modes_kl", "lower", "The density's shares of the modes",
           scorer="energy_log_likelihood"),
    Metric("annealed_log_likelihood", "higher", "Log-likelihood, log Z by annealing"),
    Metric("bits_per_dimension", "lower", "Bits per dimension", scorer="annealed_log_likelihood",
           aliases=("bpd",)),
    Metric("chain_rhat", "lower", "Split R-hat of chains", scorer="annealed_log_likelihood"),
    Metric("chain_ess", "higher", "Effective sample size of chains",
           scorer="annealed_log_likelihood"),
    Metric("l1", "lower", "L1", of="pairs", bar="held-out L1", always=True, keep_best=True),
    Metric("psnr", "higher", "PSNR (dB)", of="pairs"),
    Metric("ssim", "higher", "SSIM", of="pairs"),
    Metric("precision_at_10", "higher", of="tags"),
    Metric("recall_at_10", "higher", of="tags"),
    Metric("held_out_energy", "lower", of="training", bar="held-out energy", always=True,
           keep_best=True),
    Metric("error", "lower", "Error on held-out labels", of="classes", bar="held-out error",
           percent=True, always=True, keep_best=True),
    Metric("calibration_error", "lower", "Calibration error on held-out labels", of="classes",
           always=True),
)  # fmt: skip
METRICS = {metric.name: metric for metric in _TABLE}
"""In the order of metrics.json."""
AUTO = ("error", "sliced_wasserstein", "held_out_energy")
"""What `output.keep_best` "auto" means: the first of these that a run makes."""
KEEP_BEST = ("auto", *AUTO, *(m.name for m in _TABLE if m.keep_best and m.name not in AUTO))
"""What `output.keep_best` may be."""


def better_of(name: str) -> Better:
    """Which values are better; None of what is no metric too."""
    return METRICS[name].better if name in METRICS else None


def sign_of(name: str) -> str:
    """In a line, or as the head of a column."""
    return (METRICS[name].sign if name in METRICS else "") or name.replace("_", " ")


def title_of(name: str) -> str:
    words = name.replace("_", " ")
    return (METRICS[name].title if name in METRICS else "") or words[:1].upper() + words[1:]


def metrics_named(text: str) -> tuple[str, ...]:
    """The metrics that a user means, by a name or an alias; none if it is neither."""
    key = text.lower().replace("-", "_")
    return tuple(name for name, m in METRICS.items() if key in (name, *m.aliases))


def scorer_of(text: str) -> str:
    """What makes a metric, by its name or an alias; the text itself if it is none."""
    found = metrics_named(text)
    return (METRICS[found[0]].scorer or found[0]) if found else text


def scorers_of(of: Of) -> tuple[str, ...]:
    """What makes the metrics of this kind, as `--metrics` takes them."""
    return tuple(dict.fromkeys(m.scorer or m.name for m in _TABLE if m.of == of))


def describe_metrics() -> str:
    """All that `--metrics` takes, each with its aliases, as a help text."""

    def listed(of: Of) -> str:
        aliases = {name: METRICS[metrics_named(name)[0]].aliases for name in scorers_of(of)}
        return ", ".join(
            f"{name} ({', '.join(known)})" if (known := [a for a in others if a != name]) else name
            for name, others in aliases.items()
        )

    return (
        f"{listed('samples')}, or all; of image to image {listed('pairs')}; of tags "
        f"{listed('tags')}; of runs that classify {listed('classes')}"
    )
