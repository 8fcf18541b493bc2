"""Errors over seeds, of systems that share them, and beside what was published."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import stdev
from typing import Any

from energan.evaluation.classification import ClassificationScores
from energan.evaluation.over_seeds import system_of
from energan.evaluation.published import FEW_LABELS_MNIST
from energan.evaluation.results import round_floats
from energan.inference.run import Run
from energan.metrics.classification import Paired, paired_difference

ScoredRun = tuple[Run, ClassificationScores]


@dataclass(frozen=True)
class System:
    """The errors of runs that differ in nothing but the seed, in the order of their seeds.

    std: of a sample (n − 1), as tables give it; None of a single run. labelled: of how many events
    each run knew the labels; None for all that there were. against, sha256: what they were judged
    on, in words and by its contents. trained_on: what they learnt from, by its contents.
    """

    name: str
    seeds: tuple[int, ...]
    errors: tuple[float, ...]
    labelled: int | None
    against: str
    sha256: str
    trained_on: str

    @property
    def mean(self) -> float:
        return sum(self.errors) / len(self.errors)

    @property
    def std(self) -> float | None:
        return stdev(self.errors) if len(self.errors) > 1 else None

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        whole = asdict(self) | {"mean": self.mean, "std": self.std}
        return {name: round_floats(value) for name, value in whole.items()}


@dataclass(frozen=True)
class Difference:
    """error of `b` − error of `a`, on the seeds that both have."""

    a: str
    b: str
    seeds: tuple[int, ...]
    found: Paired

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        ends = self.found.interval
        return {
            "a": self.a, "b": self.b, "seeds": list(self.seeds),
            "mean_of_b_minus_a": round_floats(self.found.mean),
            "interval": None if ends is None else round_floats([ends.low, ends.high]),
            "how": "95% Student t over pairs of one seed",
        }  # fmt: skip


def group_systems(made: Sequence[ScoredRun]) -> list[System]:
    """The runs by system and by what they were judged on; of a seed that is there twice the first.

    Systems of one recipe that differ in settings are told apart by a number.
    """
    groups: dict[tuple[str, str], list[ScoredRun]] = {}
    for run, classes in made:
        against = classes.record["data"]
        key = system_of(run), f"{against['sha256']} {classes.record['part']}"
        groups.setdefault(key, []).append((run, classes))
    names = _names([runs[0][0].job.recipe for runs in groups.values()])
    found = []
    for name, runs in zip(names, groups.values(), strict=True):
        errors = {r.job.settings.seed: c.record["error"] for r, c in reversed(runs)}
        run, classes = runs[0]
        against = f"{classes.record['data']['source']}, {classes.record['part']}"
        seeds = tuple(sorted(errors))
        labelled = run.job.settings.data.labelled
        values = tuple(errors[s] for s in seeds)
        sha256 = classes.record["data"]["sha256"]
        trained_on = run.config["resolved"]["data"]["fingerprint"]
        found.append(System(name, seeds, values, labelled, against, sha256, trained_on))
    return found


def compare_systems(found: Sequence[System]) -> list[Difference]:
    """Between each two systems that share seeds, and whose data to learn from and be judged on is
    the same: then a pair has the same labels."""
    made = []
    for a, b in combinations(found, 2):
        seeds = tuple(s for s in a.seeds if s in b.seeds)
        if (a.sha256, a.trained_on) == (b.sha256, b.trained_on) and seeds:
            ours, theirs = (
                [system.errors[system.seeds.index(s)] for s in seeds] for system in (a, b)
            )
            made.append(Difference(a.name, b.name, seeds, paired_difference(ours, theirs)))
    return made


def published_errors(found: System) -> list[dict[str, Any]]:
    """Rows of the paper's table 2 for as many labels of MNIST; none for other data."""
    if found.against != "mnist, test" or found.labelled is None:
        return []
    return FEW_LABELS_MNIST.get(found.labelled, [])


def record(found: Sequence[System]) -> dict[str, Any]:
    """Systems, differences and published figures, as JSON takes them."""
    rows = {s.labelled: each for s in found if (each := published_errors(s))}
    return {
        "systems": [s.record() for s in found],
        "paired_differences": [d.record() for d in compare_systems(found)],
        "published_percent": {str(n): each for n, each in rows.items()},
    }


def _names(recipes: Sequence[str]) -> list[str]:
    """Recipes' names, numbered where several systems have one."""
    seen: dict[str, int] = {}
    names = []
    for recipe in recipes:
        seen[recipe] = seen.get(recipe, 0) + 1
        names.append(recipe if recipes.count(recipe) == 1 else f"{recipe} #{seen[recipe]}")
    return names
