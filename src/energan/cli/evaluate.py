"""`energan evaluate`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from energan.cli.options import parse, show, table_of

if TYPE_CHECKING:
    from energan.evaluation.classification import Classes
    from energan.evaluation.evaluate import Evaluation
    from energan.evaluation.ood import Outside
    from energan.evaluation.results import Result
    from energan.inference.run import Run


def evaluate(args: list[str]) -> int:
    import tyro

    @dataclass
    class Evaluate:
        """Score runs against real data. Each run's scores go to its metrics.json, with what they
        depend on. Without --metrics, all that apply to the run's data are made. Of runs that
        classify: error, confusion and calibration on events that were not trained on."""

        runs: Annotated[list[Path], tyro.conf.Positional]
        """run folders; those that differ in nothing but the seed are also scored together"""
        metrics: tuple[str, ...] = ()
        """inception_score, modified_inception_score, class_coverage, label_agreement (of models
        that take labels), frechet_distance (fid),
        kernel_distance (kid), precision_recall_density_coverage (prdc), sliced_wasserstein (swd),
        variance_ratio, memorisation, parzen, modes, energy_log_likelihood, or all; of image to
        image l1, psnr, ssim; of tags precision_at_10, recall_at_10; of runs that classify error,
        calibration_error"""
        samples: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 10_000
        """how many samples to draw; of other data how many events of each, at most"""
        reference: str | None = None
        """real data, if not the run's own: a source, as --data takes it"""
        labels: str | None = None
        """of runs that classify: a CSV of file,label for a --reference without class folders"""
        extractor: str | None = None
        """classifier (the default: trained on the data's labels, once, and kept), pixels, a
        .safetensors file of Inception weights, a TorchScript file, or package.module:callable"""
        ood: tuple[str, ...] = ()
        """other data, ranked by energy among held-out data (AUROC): sources, as --data takes them,
        or sets made for it, noise, gaussian, constant, shuffled, inverted, blurred, textures,
        mixup, or all of these; without --metrics nothing else is scored"""
        ood_picture: Path | None = None
        """draw histograms of these energies into this .png"""
        weights: Literal["ema", "raw"] | None = None
        """averaged or raw; averaged where there are any"""
        checkpoint: str = "last"
        """last, best, or a step"""
        seed: int = 0
        """of the samples and of the bootstrap"""
        resamples: int = 1000
        """of the bootstrap"""
        threads: int | None = None
        """CPU threads; as many as there are cores if not given"""
        out: Path | None = None
        """write the whole of it to this JSON file too"""

    asked = parse(Evaluate, args, "energan evaluate")
    from energan.cli import evaluate_tables as confusion
    from energan.cli import evaluate_tables as outside
    from energan.core import SettingError
    from energan.evaluation import evaluate as evaluation
    from energan.evaluation import metrics_file as stored
    from energan.evaluation import over_seeds as seeds
    from energan.inference.run import Run
    from energan.io.console import say

    if not asked.runs:
        raise SettingError("name the run to score: energan evaluate RUN")
    if asked.out is not None and asked.out.is_dir():
        raise SettingError(f"--out {asked.out} is a folder: name a .json file")
    outside.check(asked)
    set_threads(asked.threads)
    evaluation.wanted_measures(
        confusion.others(asked.metrics)
    )  # a misspelt one is told before anything is loaded
    runs = [Run(path, checkpoint=asked.checkpoint, weights=asked.weights) for path in asked.runs]
    wanted = [confusion.wants(run, asked) for run in runs]
    classes: list[Classes | None] = []
    made: list[Evaluation | None] = []
    outsiders: list[Outside | None] = []
    for run, classify in zip(runs, wanted, strict=True):
        for warning in run.warnings:
            say(f"energan: {warning}; using {run.checkpoint.name} instead")
        outsiders.append(outside.scored_ood(run, asked) if asked.ood else None)
        classes.append(confusion.scored(run, asked) if classify else None)
        made.append(_scored(run, asked) if _wants_samples(run, asked, classify) else None)
    found = [
        [*(m.results if m else []), *(o.results if o else [])]
        for m, o in zip(made, outsiders, strict=True)
    ]
    groups = [
        (group, seeds.over([(runs[i], found[i]) for i in group])) for group in seeds.grouped(runs)
    ]
    for group, over in groups:
        if over:
            _print_seeds([runs[i] for i in group], over)
    compared = confusion.print_together([(r, c) for r, c in zip(runs, classes, strict=True) if c])
    if asked.out is not None:
        records = [
            {
                **(m.record if m else {}),
                **({stored.OUTSIDE: o.record} if o else {}),
                **({stored.CLASSES: c.record} if c else {}),
            }
            for m, o, c in zip(made, outsiders, classes, strict=True)
        ]
        together: dict[str, Any] = {
            "over_seeds": [[seeds.record(t) for t in g] for _, g in groups if g]
        }
        if compared is not None:
            together[stored.CLASSES] = compared
        _write(asked.out, runs, records, together)
    return 0


def _wants_samples(run: "Run", asked: Any, classified: bool) -> bool:
    """Whether samples are to be scored: if named, or if nothing is and the run makes some."""
    from energan.cli.evaluate_tables import others

    if asked.metrics and "all" not in asked.metrics:
        return bool(others(asked.metrics))
    return not asked.ood and (run.makes_samples or not classified)


def _scored(run: "Run", asked: Any) -> "Evaluation":
    """The run's evaluation, printed."""
    from energan.cli.evaluate_tables import others
    from energan.evaluation.evaluate import evaluate
    from energan.io.console import say

    made = evaluate(
        run,
        metrics=others(asked.metrics),
        samples=asked.samples,
        reference=asked.reference,
        extractor=asked.extractor,
        seed=asked.seed,
        resamples=asked.resamples,
        say=lambda text: say(f"  {text}"),
    )
    _print(run, made)
    return made


def set_threads(threads: int | None) -> None:
    """So many CPU threads, or one for each core."""
    import torch

    from energan.core import SettingError
    from energan.io.cores import threads as all_threads

    if threads is not None and threads < 1:
        raise SettingError(f"--threads {threads}: at least 1")
    torch.set_num_threads(threads or all_threads())


def _print(run: "Run", made: "Evaluation") -> None:
    record = made.record
    reference = record["reference"]
    print(
        f"\n{run.path}: step {run.step}, {run.weights} weights, {record['samples']:,} samples "
        f"(seed {record['seed']}), beside {reference['source']}, {reference['split']} part, "
        f"{reference['events']:,} events"
    )
    if made.results:
        table = table_of("metric", "value [interval]", "real data", "better")
        for r in made.results:
            real = "" if r.real is None else f"{r.real:.4g}{_share(r)}"
            table.add_row(r.name, r.text(), real, r.better or "")
        show(table)
    for name, notes in _notes(made.results).items():
        print(f"  {', '.join(notes)}: {name}")
    if (extractor := record["extractor"]) is not None:
        accuracy = extractor.get("test_accuracy")
        told = f", accuracy {accuracy:.2%} ({extractor['tested_on']})" if accuracy else ""
        sha = (extractor.get("sha256") or "")[:12]
        print(f"  extractor: {extractor.get('what', extractor['name'])}{told} {sha}".rstrip())
    for r in made.results:
        if r.details.get("published"):
            _print_published(r)
    for name, reason in made.left_out.items():
        print(f"  left out: {name.replace('_', ' ')}: {reason}", file=sys.stderr)
    print(f"  written: {run.path / 'metrics.json'}")


def _share(result: "Result") -> str:
    """How much of what real data gets, where that says something."""
    if result.better != "higher" or not result.real or result.value < 0:
        return ""
    return f" ({result.value / result.real:.1%} of it)"


def _notes(results: "list[Result]") -> dict[str, list[str]]:
    """Note -> the metrics that it is about."""
    notes: dict[str, list[str]] = {}
    for r in results:
        if r.note:
            notes.setdefault(r.note, []).append(r.name)
    return notes


def _print_published(result: "Result") -> None:
    """The table of the paper beside the run's own figure, made by the same protocol."""
    details = result.details
    table = table_of("model", "log-likelihood")
    for row in details["published"]:
        table.add_row(row["model"], f"{row['value']:g} ± {row['plus_minus']:g}")
    table.add_row("this run", f"{result.value:.1f} ± {details['standard_error']:.1f}")
    print(f"\nParzen window, sigma {details['sigma']:.4g}, published figures and this one (nats):")
    show(table)


def _print_seeds(runs: "list[Run]", together: list[Any]) -> None:
    named = ", ".join(str(run.job.settings.seed) for run in runs)
    print(f"\n{runs[0].job.recipe}, seeds {named} together")
    table = table_of("metric", "mean [95% over seeds]", "median", "median share of real")
    for t in together:
        share = "" if t.share_of_real is None else f"{t.share_of_real:.1%}"
        mean = f"{t.mean:.4g} [{t.interval.low:.4g}, {t.interval.high:.4g}]"
        table.add_row(t.name, mean, f"{t.median:.4g}", share)
    show(table)


def _write(
    out: Path, runs: "list[Run]", records: list[dict[str, Any]], together: dict[str, Any]
) -> None:
    import json

    from energan.io.files import write_atomically

    entries = [
        {"run": str(run.path), "recipe": run.job.recipe, "hash": run.config["hash"],
         "train_seed": run.job.settings.seed, **record}
        for run, record in zip(runs, records, strict=True)
    ]  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"runs": entries, **together}, indent=1, ensure_ascii=False)
    write_atomically(out, text + "\n")
    print(f"\nwritten: {out}")
