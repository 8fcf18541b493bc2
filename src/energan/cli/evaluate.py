"""`energan evaluate`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from energan.cli.evaluate_classes import (
    print_seeds_of_classes,
    score_classes,
)
from energan.cli.evaluate_defects import score_defects
from energan.cli.evaluate_ood import score_ood
from energan.cli.options import Checkpoint, ComputeDevice, Threads, Weights, check_file, parse
from energan.cli.run_options import print_notes, set_threads
from energan.core import SettingError
from energan.evaluation import over_seeds
from energan.evaluation.classification import ClassificationScores
from energan.evaluation.defects import DefectScores
from energan.evaluation.evaluate import Evaluation, parse_metrics
from energan.evaluation.evaluate import evaluate as evaluate_run
from energan.evaluation.metrics_file import CLASSES, DEFECTS, OUTSIDE
from energan.evaluation.ood import OodScores
from energan.evaluation.over_seeds import OverSeeds
from energan.evaluation.results import Result
from energan.evaluation.run_scores import CLASS_METRICS, wants_classes
from energan.evaluation.synthetic import KINDS
from energan.inference.run import Run
from energan.io.console import say, show, table_of
from energan.io.files import write_atomically
from energan.metrics.catalogue import describe_metrics

OOD = (
    "other data, ranked by energy among held-out data (AUROC): sources, as --data takes them, or "
    f"sets made for it, {', '.join(KINDS)}, or all of these; without --metrics nothing else is "
    "scored"
)


HEADLINES = (
    "l1", "precision_at_10", "energy_log_likelihood", "high_quality_share", "frechet_distance",
    "kernel_distance", "sliced_wasserstein",
)  # fmt: skip
"""Which metric says most of a run, of those that it has: the first of these."""
CAUTIONED = {"parzen"}
"""Whose notes go with the score, as their authors warn of it."""


@dataclass
class Evaluate:
    """Score runs against real data. Scores are stored in each run's metrics.json, with
    everything that they depend on. Without --metrics, all metrics that suit the run's data
    are computed. Runs that classify get their error, confusion matrix and calibration on
    examples that they were not trained on."""

    runs: Annotated[list[Path], tyro.conf.Positional]
    """run folders; runs that differ only in their seed are also scored together"""
    metrics: Annotated[tuple[str, ...], tyro.conf.arg(help=describe_metrics())] = ()
    samples: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 10_000
    """number of samples to score; with --ood, the largest number of examples of each data set"""
    reference: str | None = None
    """real data to compare with, a source as for --data; if not set, the run's own"""
    labels: str | None = None
    """for runs that classify: a CSV of file,label, if --reference has no class folders"""
    extractor: str | None = None
    """how features are computed: classifier (default: trained on the data's labels, once, then
    cached), pixels, a .safetensors file of Inception weights, a TorchScript file, or
    package.module:callable"""
    ood: Annotated[tuple[str, ...], tyro.conf.arg(help=OOD)] = ()
    defects: str | None = None
    """labelled images with defect masks: a folder with train/good, test/KIND and ground_truth/KIND;
    without --metrics nothing else is scored"""
    masks: Path | None = None
    """with --defects: the folder of masks, if it is not ground_truth"""
    groups: str | None = None
    """with --defects: which images belong together, as in training (--data.groups); intervals
    resample whole groups"""
    smooth: float = 0.0
    """with --defects: smooth heat maps with a Gaussian of this standard deviation, in pixels"""
    ood_picture: Path | None = None
    """with --ood: draw histograms of the energies to this .png"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"
    device: ComputeDevice = "auto"
    seed: int = 0
    """seed of the samples and of the bootstrap"""
    resamples: int = 1000
    """number of bootstrap resamples"""
    threads: Threads = None
    notes: tyro.conf.FlagCreatePairsOff[bool] = False
    """explain each metric, and why others do not apply"""
    out: Path | None = None
    """write all results to this JSON file too"""


@dataclass(frozen=True)
class RunScores:
    """A run and what was made of it: of samples, of other data, of its classes, of defects."""

    run: Run
    samples: Evaluation | None
    ood: OodScores | None
    classes: ClassificationScores | None
    defects: DefectScores | None

    @property
    def results(self) -> list[Result]:
        """Those that are compared over seeds."""
        of_samples = self.samples.results if self.samples else []
        others = [made.results for made in (self.ood, self.defects) if made]
        return [*of_samples, *(result for results in others for result in results)]

    @property
    def record(self) -> dict[str, Any]:
        """As --out writes it."""
        return {
            "run": str(self.run.path),
            "recipe": self.run.job.recipe,
            "hash": self.run.config["hash"],
            "train_seed": self.run.job.settings.seed,
            **(self.samples.record if self.samples else {}),
            **({OUTSIDE: self.ood.record} if self.ood else {}),
            **({CLASSES: self.classes.record} if self.classes else {}),
            **({DEFECTS: self.defects.record} if self.defects else {}),
        }


def evaluate(args: list[str]) -> int:
    options = parse(Evaluate, args, "energan evaluate")
    _check(options)
    set_threads(options.threads)
    of_samples = tuple(name for name in options.metrics if name not in CLASS_METRICS)
    parse_metrics(of_samples)  # a misspelt one is told before anything is loaded
    runs = [
        Run(path, checkpoint=options.checkpoint, weights=options.weights, device=options.device)
        for path in options.runs
    ]
    every = "all" in options.metrics or not (options.metrics or options.ood or options.defects)
    wanted = [wants_classes(run, options.metrics, options.labels, every) for run in runs]
    scored = [
        _scored(run, options, of_samples, classify)
        for run, classify in zip(runs, wanted, strict=True)
    ]
    together = _over_seeds(scored)
    if options.out is not None:
        record = {"runs": [one.record for one in scored], **together}
        text = json.dumps(record, indent=1, ensure_ascii=False)
        write_atomically(options.out, text + "\n")
        print(f"\nwritten: {options.out}")
    return 0


def _check(options: Evaluate) -> None:
    """Raise SettingError for options that say nothing together."""
    if not options.runs:
        raise SettingError("name the run to score: energan evaluate RUN")
    if options.out is not None and options.out.is_dir():
        raise SettingError(f"--out {options.out} is a folder: name a .json file")
    if options.ood_picture is not None and not options.ood:
        raise SettingError(
            "--ood-picture draws the results of --ood: name other data, for example --ood all"
        )
    check_file(options.ood_picture, ".png", "--ood-picture")
    if options.ood_picture is not None and len(options.runs) > 1:
        raise SettingError("--ood-picture draws one run: name only one run, or leave it out")
    for option in ("masks", "groups", "smooth"):
        if getattr(options, option) and options.defects is None:
            raise SettingError(
                f"--{option} applies to --defects only: add --defects, or leave it out"
            )
    if (options.ood or options.defects) and not options.metrics:
        alone = "--ood" if options.ood else "--defects"
        for option in ("reference", "extractor"):
            if getattr(options, option) is not None:
                raise SettingError(
                    f"--{option} applies to metrics, and {alone} alone computes none: name them "
                    f"with --metrics, or leave --{option} out"
                )


def _scored(run: Run, options: Evaluate, metrics: Sequence[str], classify: bool) -> RunScores:
    """Score a run and print it. metrics: those of samples that were named."""
    ood, classes, samples, defects = None, None, None, None
    if options.ood:
        ood = score_ood(run, options.ood, options.samples, options.seed, options.ood_picture)
    if options.defects is not None:
        defects = score_defects(
            run, options.defects, options.masks, options.groups, options.smooth, options.seed,
            options.resamples,
        )  # fmt: skip
    if classify:
        classes = score_classes(run, options.reference, options.labels)
    if _wants_samples(run, options, metrics, classify):
        samples = evaluate_run(
            run,
            metrics=metrics,
            samples=options.samples,
            reference=options.reference,
            extractor=options.extractor,
            seed=options.seed,
            resamples=options.resamples,
            say=lambda text: say(f"  {text}"),
        )
        _print(run, samples, notes=options.notes)
    return RunScores(run, samples, ood, classes, defects)


def _wants_samples(run: Run, options: Evaluate, metrics: Sequence[str], classify: bool) -> bool:
    """Whether samples are to be scored: if named, or if nothing is and the run makes some."""
    if options.metrics and "all" not in options.metrics:
        return bool(metrics)
    return not (options.ood or options.defects) and (run.makes_samples or not classify)


def _over_seeds(scored: Sequence[RunScores]) -> dict[str, Any]:
    """What runs that differ in nothing but the seed score together, printed, and its record."""
    records = []
    for group in over_seeds.group_by_system([one.run for one in scored]):
        found = over_seeds.summarise([(scored[i].run, scored[i].results) for i in group])
        if found:
            _print_seeds([scored[i].run for i in group], found)
            records.append([metric.record() for metric in found])
    classes = print_seeds_of_classes([(one.run, one.classes) for one in scored if one.classes])
    return {"over_seeds": records, **({} if classes is None else {CLASSES: classes})}


def _print(run: Run, made: Evaluation, *, notes: bool) -> None:
    record = made.record
    reference = record["reference"]
    print(
        f"\n{run.path}: step {run.step}, {run.weights} weights, {record['samples']:,} samples "
        f"(seed {record['seed']}), beside {reference['source']}, {reference['split']} part, "
        f"{reference['events']:,} {run.domain.noun}s"
    )
    if made.results:
        results = _put_headline_first(made.results)
        table = table_of("metric", "value [interval]", "real data", "better")
        for r in results:
            real = "" if r.real is None else f"{r.real:.4g}{_share(r)}"
            table.add_row(r.name, r.text(), real, r.better or "")
        show(table)
    print_notes((r.name, r.note) for r in made.results if r.note and (notes or r.name in CAUTIONED))
    if (extractor := record["extractor"]) is not None:
        accuracy = extractor.get("test_accuracy")
        told = f", accuracy {accuracy:.2%} ({extractor['tested_on']})" if accuracy else ""
        sha = (extractor.get("sha256") or "")[:12]
        name = extractor.get("what") or extractor.get("name") or extractor.get("kind", "unknown")
        print(f"  extractor: {name}{told} {sha}".rstrip())
    for r in made.results:
        if r.details.get("published"):
            _print_published(r)
    for name, reason in made.left_out.items() if notes else ():
        say(f"  left out: {name.replace('_', ' ')}: {reason}")
    if not notes and (made.left_out or any(r.note for r in made.results)):
        print("  --notes explains each metric, and why others do not apply")
    print(f"  written: {run.path / 'metrics.json'}")


def _put_headline_first(results: Sequence[Result]) -> list[Result]:
    """The metric that runs are best compared by on top, the others in their order."""
    known = {r.name: r for r in results}
    first = next((known[name] for name in HEADLINES if name in known), None)
    return list(results) if first is None else [first, *(r for r in results if r is not first)]


def _share(result: Result) -> str:
    """How much of what real data gets, where that says something."""
    if result.better != "higher" or not result.real or result.value < 0:
        return ""
    return f" ({result.value / result.real:.1%} of it)"


def _print_published(result: Result) -> None:
    """The table of the paper beside the run's own figure, made by the same protocol."""
    details = result.details
    table = table_of("model", "log-likelihood")
    for row in details["published"]:
        table.add_row(row["model"], f"{row['value']:g} ± {row['plus_minus']:g}")
    table.add_row("this run", f"{result.value:.1f} ± {details['standard_error']:.1f}")
    print(f"\nParzen window, sigma {details['sigma']:.4g}, published figures and this one (nats):")
    show(table)


def _print_seeds(runs: list[Run], together: list[OverSeeds]) -> None:
    named = ", ".join(str(run.job.settings.seed) for run in runs)
    print(f"\n{runs[0].job.recipe}, seeds {named} together")
    table = table_of("metric", "mean [95% over seeds]", "median", "median share of real")
    for t in together:
        share = "" if t.share_of_real is None else f"{t.share_of_real:.1%}"
        mean = f"{t.mean:.4g} [{t.interval.low:.4g}, {t.interval.high:.4g}]"
        table.add_row(t.name, mean, f"{t.median:.4g}", share)
    show(table)
