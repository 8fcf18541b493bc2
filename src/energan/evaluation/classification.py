"""How well a run classifies labelled events that it did not learn from.

Its own source's test part where there is one, else the events with labels that were held out, or
labelled events of the user's, prepared as the run's data were.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from energan.core import DataError, NoReadableImage, NothingHeldOut, SettingError
from energan.data import SOURCES, DataSet, open_data
from energan.data.inference import PredictSet, is_same_source, open_images
from energan.evaluation.classifier_baselines import beside_baselines
from energan.evaluation.metrics_file import about_run, write_classification
from energan.evaluation.results import Result, as_record, with_interval
from energan.inference.classification import ClassProbabilities
from energan.inference.run import Run
from energan.metrics.bootstrap import Interval
from energan.metrics.classification import confusion, error_interval, error_rate, reliability

AT_ONCE = 1000
INTERVAL = "95% Wilson interval of the share of wrong examples"
SEEN = "some of these examples were trained on"
CHOSEN = (
    "the checkpoint was chosen by the error on these examples, so the error looks better than it is"
)


@dataclass(frozen=True, eq=False)
class LabelledEvents:
    """Events with labels in [0, classes) of the run.

    part: "test", "held-out", or the source that the user named. left_out: how many other events
    there are, without a label or of a class that the run does not know. note: what to know of them.
    """

    data: DataSet
    labels: Tensor
    part: str
    left_out: int
    note: str | None = None


@dataclass(frozen=True)
class ClassificationScores:
    """record: the entry of metrics.json. results: error and calibration error, as others are."""

    record: dict[str, Any]
    results: list[Result]


def evaluate_classification(
    run: Run, *, reference: str | None = None, labels: str | None = None
) -> ClassificationScores:
    """Classify labelled events, compare, and keep the figures in the run's metrics.json.

    reference: labelled images of the user's: a source, as class folders. labels: a CSV of
    `file,label` for a folder without them. The same call gives the same figures and the same file.

    Raises SettingError if the run does not classify, DataError if there are no such events.
    """
    known = open_labelled_events(run, reference, labels)
    found = run.classify_all(known.data, f"classifying {known.data.name}")
    record = {**_record(run, known, found), **({"labels": labels} if labels else {})}
    write_classification(run, record)
    ends = Interval(*record["error_interval"])
    note = f"share of {record['count']:,} examples ({record['part']})"
    error = with_interval("error", record["error"], ends, INTERVAL, note=note)
    calibration = Result("calibration_error", record["calibration_error"])
    return ClassificationScores(record, [error, calibration])


def _record(run: Run, known: LabelledEvents, found: ClassProbabilities) -> dict[str, Any]:
    classes = len(run.class_names)
    wrong = int((found.labels != known.labels).sum())
    ends = error_interval(wrong, len(known.labels))
    bins = reliability(found.probabilities, known.labels)
    about = about_run(run, run.job.settings.seed, len(known.labels))
    for name in ("seed", "samples"):  # nothing is drawn here
        del about[name]
    data = {
        "source": known.data.name, "sha256": known.data.fingerprint,
        "left_out": known.left_out or None, "note": known.note,
    }  # fmt: skip
    return as_record({
        **about,
        "data": as_record(data),
        "part": known.part,
        "count": len(known.labels),
        "wrong": wrong,
        "error": error_rate(found.labels, known.labels),
        "error_interval": [ends.low, ends.high],
        "interval": INTERVAL,
        "calibration_error": bins.error,
        "bins": [
            {"low": low, "high": high, "count": int(n), "confidence": sure, "accuracy": right}
            for low, high, n, sure, right in zip(
                bins.edges[:-1].tolist(), bins.edges[1:].tolist(), bins.count,
                bins.confidence.tolist(), bins.accuracy.tolist(), strict=True,
            )
        ],
        "confusion": confusion(found.labels, known.labels, classes).tolist(),
        "class_names": list(run.class_names),
        "baselines": beside_baselines(run, known.data, known.labels, found.labels),
    })  # fmt: skip


def open_labelled_events(
    run: Run, reference: str | None = None, labels: str | None = None
) -> LabelledEvents:
    """Labelled events to judge by. Raises DataError, with the remedy, if there are none."""
    run.check_classifies()
    settings = run.job.settings.data
    if labels is not None and reference is None:
        raise SettingError(
            "--labels gives the classes of the images of --reference: add --reference, or leave "
            "--labels out"
        )
    source = reference or settings.source
    own = is_same_source(source, settings.source)
    try:
        (judged, *_), _ = open_images(
            [source], settings, run.domain, trained_on=labels is not None, labels=labels
        )
    except NothingHeldOut:
        raise _nothing_held_out(source) from None
    except NoReadableImage:
        if reference is None:  # what is held out are the files that cannot be read
            raise _nothing_held_out(source) from None
        raise
    numbers = _class_numbers(run.class_names, judged)
    rows = (numbers >= 0).nonzero().flatten()
    if not len(rows):
        raise _no_events(run, judged, own)
    part = source if reference is not None and not own else judged.part
    found = replace(judged.data.subset(rows), name=judged.data.name)
    return LabelledEvents(
        found,
        numbers[rows],
        part if part != "all" else source,
        len(judged) - len(rows),
        _note(run, source, found, own, judged.part),
    )


def _note(run: Run, source: str, found: DataSet, own: bool, part: str) -> str | None:
    """What makes an error too good to be true; None if nothing does."""
    if own and part == "all":
        return SEEN
    if own and part == "held-out" and run.asked == "best":
        return CHOSEN
    if not own and may_overlap(source, run.job.settings.data.source):
        same = count_trained_on(run, found)
        return f"the run was trained on {same} of these examples" if same else None
    return None


def _class_numbers(class_names: Sequence[str], judged: PredictSet) -> Tensor:
    """The run's own number of each event's class, int64 (N,); -1 for none that it knows."""
    labels = judged.data.labels
    if labels is None:
        return torch.full((len(judged),), -1)
    number = {name: i for i, name in enumerate(class_names)}
    # one more, for the label -1 of an event without a label
    table = torch.tensor([*(number.get(name, -1) for name in judged.classes), -1])
    return table[labels.cpu()]


def _no_events(run: Run, judged: PredictSet, own: bool) -> DataError:
    if judged.data.labels is not None and bool((judged.data.labels >= 0).any()):
        return DataError(
            f"{judged.source}: its classes ({', '.join(judged.classes[:5])}) and the run's "
            f"({', '.join(run.class_names[:5])}) have no name in common: use the same names for "
            "folders or CSV labels"
        )
    if own:
        return _nothing_held_out(judged.source)
    return DataError(
        f"{judged.source} has no labels to compare with: sort its images into class folders, or "
        "name a CSV of file,label (--labels FILE.csv)"
    )


def _nothing_held_out(source: str) -> DataError:
    return DataError(
        f"no labelled example of {source} was held out, so there is nothing to compare with: "
        "name labelled images of your own (--reference FOLDER, with class folders, or with "
        "--labels FILE.csv)"
    )


def may_overlap(source: str, trained_on: str) -> bool:
    """Whether the folder `source` lies in the one trained on, or holds it."""
    if source in SOURCES or trained_on in SOURCES:
        return False
    here, there = (Path(p).expanduser().resolve() for p in (source, trained_on))
    return here.is_relative_to(there) or there.is_relative_to(here)


def count_trained_on(run: Run, data: DataSet) -> int:
    """How many of these events are equal, as prepared, to one that the run was trained on."""
    known = set(_digests(open_data(run.job.settings.data)))
    return sum(digest in known for digest in _digests(data))


def _digests(data: DataSet) -> list[bytes]:
    found = []
    for rows in torch.arange(len(data)).split(AT_ONCE):
        for event in data.gather(rows).x.numpy():
            found.append(blake2b(event.tobytes(), digest_size=16).digest())
    return found
