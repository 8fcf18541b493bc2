"""`energan arithmetic`."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from energan.cli.options import (
    Checkpoint,
    ComputeDevice,
    RunPath,
    Threads,
    Weights,
    check_file,
    parse,
    target_of,
)
from energan.cli.run_options import set_threads
from energan.errors import SettingError
from energan.evaluation.attributes import (
    AttributeClassifier,
    are_classes,
    attribute_classifier,
    training_and_test,
    traits_of,
)
from energan.evaluation.latent_arithmetic import (
    ArithmeticResult,
    Concept,
    check_latents,
    concept_text,
    latent_arithmetic,
    parse_concept,
    target_concept,
)
from energan.evaluation.reference import View, reference_for
from energan.inference.run import Run
from energan.io.console import show, table_of
from energan.io.files import write_atomically
from energan.report.figures.arithmetic import draw
from energan.version import __version__

FACES = ("Smiling,-Male", "-Smiling,-Male", "-Smiling,Male")
"""Smiling woman − neutral woman + neutral man, for data with these attributes (Radford et al.
2015)."""


@dataclass
class Arithmetic:
    """Compute a − b + c in latent space: average the latents z of images that show each of three
    concepts, and generate an image from the result. A classifier trained on the data's
    attributes (or classes) chooses the images and reports how often the result shows what it
    should."""

    run: RunPath
    a: str | None = None
    """the first concept a: a class, such as 7, or attributes, such as Smiling,-Male, where a minus
    means without. If the data has the attributes Smiling and Male, all three concepts have a
    default"""
    b: str | None = None
    """the concept to subtract (b)"""
    c: str | None = None
    """the concept to add (c)"""
    wanted: str | None = None
    """the attributes that the result should have; by default those of a − b + c"""
    attributes_of: str | None = None
    """data with attributes or classes; if not set, the run's own"""
    candidates: int = 2000
    """number of samples to choose examples of the concepts from"""
    pick: int = 3
    """number of latents to average per concept"""
    among: int = 30
    """each draw averages a random choice among this many best examples"""
    draws: int = 100
    """number of draws that the success rate is measured on"""
    noise: float = 0.25
    """half-width of the uniform noise that gives the neighbours of the result"""
    out: Path = Path("arithmetic.png")
    """the picture to write; the numbers go to a .json beside it"""
    seed: int = 0
    """seed of the latents"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"
    device: ComputeDevice = "auto"
    threads: Threads = None


def arithmetic(args: list[str]) -> int:
    options = parse(Arithmetic, _joined(args), "energan arithmetic")
    _check(options)
    set_threads(options.threads)
    run = Run(
        options.run, checkpoint=options.checkpoint, weights=options.weights, device=options.device
    )
    check_latents(run)
    reference = reference_for(run.job.settings.data, run.domain, options.attributes_of)
    training, test, tested_on = training_and_test(reference)
    concepts = _concepts(options, traits_of(training)[1], are_classes(training))
    classifier = attribute_classifier(training, test, tested_on)
    found = latent_arithmetic(
        run, classifier, View(run.domain, reference.judged.domain.shape),
        (concepts["a"], concepts["b"], concepts["c"]), concepts["wanted"],
        candidates=options.candidates, pick=options.pick, among=options.among,
        draws=options.draws, noise=options.noise, seed=options.seed,
    )  # fmt: skip
    texts = {letter: concept_text(concept) for letter, concept in concepts.items()}
    draw(target_of(options), found, run.domain, [*texts.values()])
    attributes = dict.fromkeys(name for concept in concepts.values() for name in concept)
    accuracy = {name: classifier.accuracy[name] for name in attributes}
    _write(options, run, classifier, texts, accuracy, found)
    _print(options, classifier, texts, accuracy, found)
    return 0


def _joined(args: list[str]) -> list[str]:
    """The words with `--b -Smiling` as `--b=-Smiling`, which else reads as two options.

    What begins with two dashes, or is an option of one letter as -h, stays an option.
    """
    found: list[str] = []
    for word in args:
        concept = word.startswith("-") and not word.startswith("--") and word != "-h"
        if concept and found and found[-1] in ("--a", "--b", "--c", "--wanted"):
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found


def _check(options: Arithmetic) -> None:
    check_file(options.out, ".png")
    if options.pick < 1 or options.draws < 1 or options.among < options.pick:
        raise SettingError(
            "give --pick and --draws at least 1, and --among at least as much as --pick"
        )
    if options.candidates < options.pick or options.noise < 0:
        raise SettingError("give --candidates at least as much as --pick, and --noise at least 0")


def _concepts(options: Arithmetic, names: tuple[str, ...], one_class: bool) -> dict[str, Concept]:
    """a, b, c, and as `wanted` what a − b + c should show.

    Raises SettingError if fewer than three are named where there is no default.
    """
    words = (options.a, options.b, options.c)
    if words == (None, None, None) and {"Smiling", "Male"} <= set(names):
        words = FACES
    if None in words:
        example = example_options(names, one_class)
        raise SettingError(
            f"name three concepts, for example {example}, from {', '.join(names[:40])}"
        )
    a, b, c = (parse_concept(str(word), names) for word in words)
    if options.wanted is None:
        wanted = target_concept(a, b, c, one_class)
    else:
        wanted = parse_concept(options.wanted, names)
    return {"a": a, "b": b, "c": c, "wanted": wanted}


def example_options(names: Sequence[str], one_class: bool) -> str:
    """Three concepts of data with these attributes, or classes, as a shell takes them."""
    if one_class:
        a, b, c = (*names, names[-1], names[-1])[:3]
        words = ["--a", a, "--b", b, "--c", c, "--wanted", a]
    elif len(names) == 1:
        words = ["--a", names[0], "--b", f"-{names[0]}", "--c", f"-{names[0]}"]
    else:
        x, y = names[:2]
        words = ["--a", f"{x},-{y}", "--b", f"-{x},-{y}", "--c", f"-{x},{y}"]
    return shlex.join(words)


def _write(
    options: Arithmetic,
    run: Run,
    classifier: AttributeClassifier,
    texts: dict[str, str],
    accuracy: dict[str, float],
    found: ArithmeticResult,
) -> None:
    given = ("candidates", "pick", "among", "draws", "noise", "seed")
    record = {
        "run": run.config["hash"], "recipe": run.job.recipe, "step": run.step,
        "weights": run.weights, "weights_sha256": run.network.sha256, "energan": __version__,
        **texts,
        **{name: getattr(options, name) for name in given},
        "shown_by_candidates": dict(zip("abc", found.candidates, strict=True)),
        "result": found.result.record(),
        "neighbours": found.neighbours.record(),
        "any_sample": found.plain.record(),
        "average_of_c": found.start.record(),
        "classifier": classifier.about,
        "balanced_accuracy": {n: round(value, 4) for n, value in accuracy.items()},
    }  # fmt: skip
    write_atomically(options.out.with_suffix(".json"), json.dumps(record, indent=1) + "\n")


def _print(
    options: Arithmetic,
    classifier: AttributeClassifier,
    texts: dict[str, str],
    accuracy: dict[str, float],
    found: ArithmeticResult,
) -> None:
    a, b, c, wanted = texts.values()
    print(f"({a}) − ({b}) + ({c}), wanted: {wanted}")
    table = table_of("what", "shows it", "of", "success rate [95% interval]")
    for what, rate in (
        ("a − b + c", found.result),
        (f"neighbours of the result, ±{options.noise:g}", found.neighbours),
        ("c alone, averaged", found.start),
        ("any sample", found.plain),
    ):
        low, high = rate.interval
        table.add_row(
            what, str(rate.hits), str(rate.draws), f"{rate.share:.1%} [{low:.1%}, {high:.1%}]"
        )
    show(table)
    shown = ", ".join(f"{n} ({letter})" for letter, n in zip("abc", found.candidates, strict=True))
    print(f"examples of each concept among {options.candidates} samples: {shown}")
    if min(found.candidates) < options.among:
        print(
            f"fewer than {options.among} examples to choose from, so draws are similar and the "
            "intervals too narrow: give more --candidates"
        )
    accuracies = ", ".join(f"{name} {value:.1%}" for name, value in accuracy.items())
    print(
        f"judged by a classifier with balanced accuracy {accuracies} "
        f"({classifier.about['tested_on']})"
    )
    print(f"written: {options.out}, with its numbers in {options.out.with_suffix('.json')}")
