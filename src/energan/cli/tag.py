"""`energan features` and `energan tag`."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from energan.cli.options import parse, show, table_of
from energan.errors import SettingError

if TYPE_CHECKING:
    from energan.data import TagSet
    from energan.evaluation.tagging import Ballot
    from energan.inference.run import Run
    from energan.metrics.tagging import Votes

SHOWN = 20
"""Images that are listed on the terminal."""


def features(args: list[str]) -> int:
    import tyro

    @dataclass
    class Features:
        """Features of the images of a data source, with their attributes or classes as tags: what
        `energan train tagging-celeba --data FILE.npz` learns from."""

        source: Annotated[str, tyro.conf.Positional]
        """a data source, as --data of a training"""
        made_by: Annotated[str, tyro.conf.arg(name="with")]
        """classifier (trained on the source's own attributes or classes, once, and kept), a run of
        an auto-encoder (its encoder's code), or a features file: as its own were made"""
        out: Path
        """a .npz to write"""
        size: int | None = None
        """with the classifier: bring images to a square of this side"""
        limit: int | None = None
        """the first N images alone"""
        held_out: int | None = None
        """images to be held out; the source's own number if not set"""
        threads: int | None = None
        """CPU threads; as many as there are cores if not given"""

    asked = parse(Features, args, "energan features")
    if asked.out.suffix != ".npz" or asked.out.is_dir():
        raise SettingError(f"--out {asked.out}: name a .npz file")
    from energan.cli.evaluate import set_threads
    from energan.data import DataSettings
    from energan.evaluation.features import maker_of, tagged_features
    from energan.experiment.settings import checked

    set_threads(asked.threads)
    given = {"source": asked.source, "size": asked.size, "limit": asked.limit}
    settings = checked(DataSettings, {**given, "held_out": asked.held_out})
    made = tagged_features(maker_of(asked.made_by, settings), settings, asked.out)
    made.write()
    count, size = made.features.shape
    kept = 0 if made.held_out is None else int(made.held_out.sum())
    tags = f"{len(made.names)} tags" if made.names else "no tags: for energan tag --features"
    print(f"{count:,} images, {kept:,} of them held out: {size} features each, {tags}: {asked.out}")
    return 0


def tag(args: list[str]) -> int:
    import tyro

    @dataclass
    class Tag:
        """Tags of images by a run of tagging: for each image vectors are drawn, the words nearest
        to each of them get a vote, and the words with the most votes are its tags."""

        run: Annotated[Path, tyro.conf.Positional]
        """the run's folder"""
        images: Annotated[list[str], tyro.conf.Positional]
        """image files, folders, or data sources; their features are made as the run's own were"""
        features: Path | None = None
        """a .npz with features of your own, in place of images"""
        samples: int = 100
        """vectors drawn for each image"""
        nearest: int | None = None
        """words that each of them votes for, by the cosine: 20, but no more than a fortieth of all
        words if not set"""
        tags: int = 10
        """tags of each image"""
        out: Path | None = None
        """write all of them to this .csv"""
        data: Path | None = None
        """the features and tags that the run was trained on, if they were moved"""
        seed: int = 0
        """of the vectors"""
        weights: Literal["ema", "raw"] | None = None
        """averaged or raw; averaged where there are any"""
        checkpoint: str = "last"
        """last, best, or a step"""
        threads: int | None = None
        """CPU threads; as many as there are cores if not given"""

    asked = parse(Tag, args, "energan tag")
    _check(asked)
    from energan.cli.anomaly import opened
    from energan.cli.evaluate import set_threads
    from energan.evaluation import tagging

    ballot = tagging.Ballot(asked.samples, asked.nearest)
    set_threads(asked.threads)
    run = opened(asked.run, asked.checkpoint, asked.weights)
    data = tagging.tags_of(run, asked.data)
    if not 1 <= asked.tags <= len(data.names):
        raise SettingError(f"--tags {asked.tags}: there are {len(data.names)} to choose among")
    names, given = _features(asked, data)
    votes = tagging.votes(run, data, given, ballot, asked.seed)
    _print(run, data, names, votes, ballot, asked)
    return 0


def _check(asked: Any) -> None:
    if bool(asked.images) == (asked.features is not None):
        raise SettingError("name images, or features of your own by --features FILE.npz")
    if asked.out is not None and (asked.out.suffix != ".csv" or asked.out.is_dir()):
        raise SettingError(f"--out {asked.out}: name a .csv file")


def _features(asked: Any, data: "TagSet") -> tuple[list[str], Any]:
    """Names of the images, and their features (I, F), standardised as the run's own were."""
    import torch

    from energan.data.sources.tag_files import read_tag_file
    from energan.evaluation.features import features_of_images, remembered
    from energan.evaluation.tagging import fitting
    from energan.io.console import say

    assert data.file is not None
    if asked.features is not None:
        file = fitting(read_tag_file(asked.features, tagged=False), data)
        names = [f"{asked.features}:{row}" for row in range(len(file.features))]
        return names, data.scaling(torch.from_numpy(file.features))
    found = features_of_images(remembered(data.file), asked.images)
    for where, reason in found.skipped:
        say(f"energan: {where} cannot be read and is left out: {reason}")
    return found.names, data.scaling(torch.from_numpy(found.features))


def _print(
    run: "Run",
    data: "TagSet",
    names: list[str],
    votes: "Votes",
    ballot: "Ballot",
    asked: Any,
) -> None:
    from energan.metrics import top_tags

    chosen = top_tags(votes, asked.tags)
    nearest = ballot.words(len(data.names))
    print(
        f"{run.path}: step {run.step}, {run.weights} weights, seed {asked.seed}; votes of "
        f"{ballot.samples} samples for the {nearest} nearest of {len(data.names)} words each"
    )
    rows = [
        [(data.names[tag], int(own[tag])) for tag in best]
        for own, best in zip(votes, chosen, strict=True)
    ]
    table = table_of("image", "tags, with votes")
    for name, found in list(zip(names, rows, strict=True))[:SHOWN]:
        table.add_row(name, ", ".join(f"{word} {count}" for word, count in found))
    show(table)
    if len(names) > SHOWN:
        more = "" if asked.out is not None else "; --out tags.csv has all"
        print(f"… {len(names) - SHOWN:,} more{more}")
    if asked.out is not None:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        with asked.out.open("w", encoding="utf8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "rank", "tag", "votes"])
            for name, found in zip(names, rows, strict=True):
                writer.writerows([name, rank, *of] for rank, of in enumerate(found, 1))
        print(f"written: {asked.out}")
