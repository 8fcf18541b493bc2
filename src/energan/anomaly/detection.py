"""How well an energy tells anomalous events from normal ones, where labels say which are which."""

import difflib
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from energan.anomaly.calibration import make_finite
from energan.core import SettingError
from energan.data.inference import PredictSet
from energan.metrics.bootstrap import Interval
from energan.metrics.detection import auroc, average_precision, fpr_at_tpr
from energan.metrics.detection_intervals import auroc_interval, fewest_units, share_interval

NORMAL_NAMES = {"good", "normal"}
NORMAL, ANOMALOUS, NEITHER = 0, 1, -1


@dataclass(frozen=True)
class Detection:
    """auroc, average_precision (anomalous ones are the positives) and the false positive rate at
    which 95 % of the anomalous are found; of `normal` and `anomalous` events."""

    auroc: float
    average_precision: float
    fpr_at_95_tpr: float
    normal: int
    anomalous: int


@dataclass(frozen=True)
class Wanted:
    """What the user says of the classes: names, or numbers."""

    anomaly: tuple[str, ...] = ()
    normal: tuple[str, ...] = ()


NOTHING = Wanted()


def detect(energy: Tensor, sides: Tensor) -> Detection | None:
    """Of energies (N,) and sides (N,), NORMAL, ANOMALOUS or NEITHER; None if one side is empty."""
    counted = sides != NEITHER
    scores = make_finite(energy)[counted]
    anomalous = sides[counted] == ANOMALOUS
    count = int(anomalous.sum())
    if count in (0, len(anomalous)):
        return None
    return Detection(
        float(auroc(scores, anomalous)),
        float(average_precision(scores, anomalous)),
        float(fpr_at_tpr(scores, anomalous, tpr=0.95)),
        len(anomalous) - count,
        count,
    )


def interval_of_auroc(
    scores: Tensor, anomalous: Tensor, groups: Tensor | None = None, *, paired: bool = False
) -> Interval | None:
    """As `auroc_interval`; None with fewer than two events, or groups, of either kind."""
    if fewest_units(anomalous, groups) < 2:
        return None
    return auroc_interval(scores, anomalous, paired=paired, groups=groups)


def share_flagged(flags: Tensor, groups: Tensor | None = None) -> tuple[float, Interval | None]:
    """The share of flags (N,) that are set, and its interval: None with a single group."""
    if groups is not None and len(groups.unique()) < 2:
        return float(flags.double().mean()), None
    return float(flags.double().mean()), share_interval(flags, groups=groups)


def detection_table(rows: Sequence[tuple[str, Detection]]) -> list[dict[str, str | float | int]]:
    """A row for each (what was left out, how well it was found), and the mean of them."""
    found = [asdict(detection) for _, detection in rows]
    table = [{"anomaly": name, **figures} for (name, _), figures in zip(rows, found, strict=True)]
    if len(rows) > 1:
        sums = {name: sum(figures[name] for figures in found) for name in found[0]}
        counts = {name: sums.pop(name) for name in ("normal", "anomalous")}
        means = {name: value / len(rows) for name, value in sums.items()}
        table.append({"anomaly": "mean", **means, **counts})
    return table


def sides_of(judged: PredictSet, trained: Sequence[str], wanted: Wanted = NOTHING) -> Tensor | None:
    """int8 (N,) of NORMAL, ANOMALOUS and NEITHER; None if nothing says which class is which.

    First what the user says; then a class called good or normal; then the classes the run was
    trained on, `trained`: all others are anomalous.
    """
    classes, labels = judged.classes, judged.data.labels
    if labels is None:
        return None
    everything = set(range(len(classes)))
    if wanted != NOTHING:
        anomalous, normal = _numbers(wanted.anomaly, classes), _numbers(wanted.normal, classes)
        if both := anomalous & normal:
            raise SettingError(
                f"class {classes[min(both)]} is given as both --anomaly and --normal: leave one out"
            )
        anomalous, normal = (
            anomalous if wanted.anomaly else everything - normal,
            normal if wanted.normal else everything - anomalous,
        )
    else:
        good = {i for i, name in enumerate(classes) if name.lower() in NORMAL_NAMES}
        # numbers stand for classes of the source that was trained on, and of no other
        known = _numbers(trained, classes, by_number=judged.own)
        normal = good if len(good) == 1 else known
        if not normal:
            return None
        anomalous = everything - normal
    side = torch.full((len(classes),), NEITHER, dtype=torch.int8)
    side[list(anomalous)] = ANOMALOUS
    side[list(normal)] = NORMAL
    return torch.where(labels < 0, NEITHER, side[labels.clamp_min(0)])  # -1: of no known class


def check_classes(sources: Sequence[PredictSet], wanted: Wanted) -> None:
    """SettingError for a class that none of the sources has."""
    classes = [name for one in sources for name in one.classes]
    for option, words in (("--anomaly", wanted.anomaly), ("--normal", wanted.normal)):
        if words and not classes:
            raise SettingError(
                f"{option}: the images have no labels; put each class into its own folder, or "
                "name a labelled source"
            )
        for word in words:
            if not any(_numbers([word], one.classes) for one in sources):
                near = (
                    difflib.get_close_matches(word, classes, 3) or list(dict.fromkeys(classes))[:10]
                )
                raise SettingError(
                    f"{option}: there is no class {word!r}; choose from {', '.join(near)}"
                )


def _numbers(words: Sequence[str], classes: Sequence[str], by_number: bool = True) -> set[int]:
    """Of the classes that `words` name, those that there are."""
    found = set()
    for word in words:
        word = unicodedata.normalize("NFC", word)  # as the names of folders and CSVs are
        if word in classes:
            found.add(list(classes).index(word))
        elif by_number and word.isdigit() and int(word) < len(classes):
            found.add(int(word))
    return found
