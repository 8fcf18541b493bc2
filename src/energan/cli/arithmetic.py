"""`energan arithmetic`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from energan.cli.options import parse
from energan.errors import SettingError
from energan.version import __version__

if TYPE_CHECKING:
    from energan.evaluation.attributes import AttributeClassifier
    from energan.evaluation.latent_arithmetic import Concept, Found
    from energan.inference.run import Run

FACES = ("Smiling,-Male", "-Smiling,-Male", "-Smiling,Male")
"""Smiling woman − neutral woman + neutral man, where the data knows these (Radford et al. 2015)."""


def arithmetic(args: list[str]) -> int:
    import tyro

    @dataclass
    class Arithmetic:
        """a − b + c in the latents: z whose images show three concepts are averaged, and G is asked
        for the sum. A classifier trained on the data's attributes (or classes) chooses them, and
        says how often the sum shows what it should."""

        run: Annotated[Path, tyro.conf.Positional]
        """the run's folder"""
        a: str | None = None
        """a concept: attributes, with a minus those that are not to be there, as Smiling,-Male; or
        a class. Faces with these attributes have a default for all three"""
        b: str | None = None
        """what is taken away; with an equals sign before a minus: --b=-Smiling,Male"""
        c: str | None = None
        """what is added"""
        wanted: str | None = None
        """what the sum should show; by default a's attributes less b's plus c's"""
        attributes_of: str | None = None
        """data with attributes, or classes, if not the run's own"""
        candidates: int = 2000
        """samples that the concepts are chosen from"""
        pick: int = 3
        """z that are averaged"""
        among: int = 30
        """each draw averages others, at random among so many of the surest"""
        draws: int = 100
        """of the success rate"""
        noise: float = 0.25
        """half the width of the uniform noise that makes neighbours of the sum"""
        out: Path = Path("arithmetic.png")
        """the picture; the figures go beside it, as .json"""
        seed: int = 0
        """of the latents"""
        weights: Literal["ema", "raw"] | None = None
        """averaged or raw; averaged where there are any"""
        checkpoint: str = "last"
        """last, best, or a step"""
        threads: int | None = None
        """CPU threads; as many as there are cores if not given"""

    asked = parse(Arithmetic, _joined(args), "energan arithmetic")
    _check(asked)
    from energan.cli.anomaly import opened
    from energan.cli.evaluate import set_threads
    from energan.evaluation import latent_arithmetic as sums
    from energan.evaluation.attributes import attribute_classifier, exclusive, parts_of, traits
    from energan.evaluation.reference import View, reference_for

    set_threads(asked.threads)
    run = opened(asked.run, asked.checkpoint, asked.weights)
    sums.check(run)
    reference = reference_for(run.job.settings.data, run.domain, asked.attributes_of)
    training, test, tested_on = parts_of(reference)
    concepts, wanted = _concepts(asked, traits(training)[1], exclusive(training))
    classifier = attribute_classifier(training, test, tested_on)
    found = sums.arithmetic(
        run, classifier, View(run.domain, reference.judged.domain.shape), concepts, wanted,
        candidates=asked.candidates, pick=asked.pick, among=asked.among, draws=asked.draws,
        noise=asked.noise, seed=asked.seed,
    )  # fmt: skip
    _write(asked, run, classifier, concepts, wanted, found)
    _print(asked, classifier, concepts, wanted, found)
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


def _check(asked: Any) -> None:
    if asked.out.suffix.lower() != ".png" or asked.out.is_dir():
        raise SettingError(f"--out {asked.out}: name a .png file")
    if asked.pick < 1 or asked.draws < 1 or asked.among < asked.pick:
        raise SettingError("--pick and --draws are at least 1, and --among at least --pick")
    if asked.candidates < asked.pick or asked.noise < 0:
        raise SettingError("--candidates is at least --pick, and --noise not negative")


def _concepts(
    asked: Any, names: tuple[str, ...], one_class: bool
) -> "tuple[tuple[Concept, Concept, Concept], Concept]":
    from energan.evaluation.latent_arithmetic import parse_concept, wanted_of

    words = (asked.a, asked.b, asked.c)
    if words == (None, None, None) and {"Smiling", "Male"} <= set(names):
        words = FACES
    if None in words:
        raise SettingError(
            "name three concepts, as --a Smiling,-Male --b -Smiling,-Male --c -Smiling,Male, of "
            + ", ".join(names[:40])
        )
    a, b, c = (parse_concept(word, names) for word in words)
    if asked.wanted is None:
        return (a, b, c), wanted_of(a, b, c, one_class)
    return (a, b, c), parse_concept(asked.wanted, names)


def _write(
    asked: Any,
    run: "Run",
    classifier: "AttributeClassifier",
    concepts: "tuple[Concept, Concept, Concept]",
    wanted: "Concept",
    found: "Found",
) -> None:
    from energan.evaluation.latent_arithmetic import said
    from energan.io.files import write_atomically
    from energan.report.figures.arithmetic import draw

    told = [said(concept) for concept in (*concepts, wanted)]
    draw(asked.out, found, run.domain, (told[0], told[1], told[2], told[3]))
    named = dict.fromkeys(name for concept in (*concepts, wanted) for name in concept)
    record = {
        "run": run.config["hash"], "recipe": run.job.recipe, "step": run.step,
        "weights": run.weights, "weights_sha256": run.network.sha256, "energan": __version__,
        **dict(zip(("a", "b", "c", "wanted"), told, strict=True)),
        **{k: getattr(asked, k) for k in ("candidates", "pick", "among", "draws", "noise", "seed")},
        "shown_by_candidates": dict(zip("abc", found.candidates, strict=True)),
        "result": found.result.record(),
        "neighbours": found.neighbours.record(),
        "any_sample": found.plain.record(),
        "average_of_c": found.start.record(),
        "classifier": classifier.about,
        "balanced_accuracy": {name: round(classifier.accuracy[name], 4) for name in named},
    }  # fmt: skip
    write_atomically(asked.out.with_suffix(".json"), json.dumps(record, indent=1) + "\n")


def _print(
    asked: Any,
    classifier: "AttributeClassifier",
    concepts: "tuple[Concept, Concept, Concept]",
    wanted: "Concept",
    found: "Found",
) -> None:
    from energan.cli.options import show, table_of
    from energan.evaluation.latent_arithmetic import said

    a, b, c = map(said, concepts)
    print(f"({a}) − ({b}) + ({c}), of which {said(wanted)} is wanted")
    table = table_of("what", "shows it", "of", "share [95% interval]")
    for what, rate in (
        ("a − b + c", found.result),
        (f"its neighbours, ±{asked.noise:g}", found.neighbours),
        ("the average of c alone", found.start),
        ("any sample", found.plain),
    ):
        low, high = rate.interval
        table.add_row(
            what, str(rate.hits), str(rate.draws), f"{rate.share:.1%} [{low:.1%}, {high:.1%}]"
        )
    show(table)
    shown = ", ".join(f"{n} ({letter})" for letter, n in zip("abc", found.candidates, strict=True))
    print(f"of {asked.candidates} samples the concepts are shown by {shown}")
    if min(found.candidates) < asked.among:
        print(
            f"fewer than {asked.among} to choose from: the draws are much alike, and the intervals "
            "too narrow; more --candidates help"
        )
    named = dict.fromkeys(name for concept in (*concepts, wanted) for name in concept)
    told = ", ".join(f"{name} {classifier.accuracy[name]:.1%}" for name in named)
    print(f"by a classifier of balanced accuracy {told} ({classifier.about['tested_on']})")
    print(f"drawn: {asked.out}; figures: {asked.out.with_suffix('.json')}")
