"""`energan tag`: words for images, by votes or by energies of the words."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor

from energan.cli.options import (
    Checkpoint,
    ComputeDevice,
    RunPath,
    Threads,
    Weights,
    check_file,
    parse,
)
from energan.cli.run_options import print_facts, set_threads, warn_skipped
from energan.data import TagSet
from energan.data.sources.tag_files import read_tag_file
from energan.errors import SettingError
from energan.evaluation.features import features_of_images, network_of_file
from energan.evaluation.tagging import (
    Ballot,
    By,
    check_features,
    open_run_tags,
    rank_tags,
)
from energan.inference.run import Run
from energan.io.console import show, table_of
from energan.io.files import aside

SHOWN = 20
"""Number of images listed on the terminal."""
Tagged = list[tuple[str, list[tuple[str, str]]]]
"""Name of each image, and its tags with their votes or probabilities."""


@dataclass
class Tag:
    """Tag images with a run that learned tags. Either the model draws vectors for each image, each
    of which votes for the nearest words, and the words with the most votes become its tags; or the
    words are ranked by an energy that is fitted to the run's training data directly."""

    run: RunPath
    images: Annotated[list[str], tyro.conf.Positional]
    """image files, folders, or data sources; features are computed as in the run's training"""
    features: Path | None = None
    """a .npz with your own features, instead of images"""
    by: By = "auto"
    """how tags are chosen; auto: the way with the higher precision on held-out images"""
    samples: int = 100
    """for votes: number of word vectors drawn for each image"""
    nearest: int | None = None
    """for votes: number of words that each vector votes for, the nearest by cosine; by default 20,
    but at most a twentieth of all words"""
    tags: int = 10
    """number of tags for each image"""
    out: Path | None = None
    """write the tags of all images to this .csv"""
    data: Path | None = None
    """the new place of the features and tags that the run was trained on, if they were moved"""
    seed: int = 0
    """seed of the vectors"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"
    device: ComputeDevice = "auto"
    threads: Threads = None


def tag(args: list[str]) -> int:
    options = parse(Tag, args, "energan tag")
    if bool(options.images) == (options.features is not None):
        raise SettingError("name images, or give your own features with --features FILE.npz")
    check_file(options.out, ".csv")
    ballot = Ballot(options.samples, options.nearest)
    set_threads(options.threads)
    run = Run(
        options.run, checkpoint=options.checkpoint, weights=options.weights, device=options.device
    )
    data = open_run_tags(run, options.data)
    if not 1 <= options.tags <= len(data.names):
        raise SettingError(
            f"--tags {options.tags}: give at most {len(data.names)}, the number of known tags"
        )
    names, features = _features(options, data)
    ranking = rank_tags(run, data, features, options.by, options.tags, ballot, options.seed)
    print("\n".join(ranking.says))
    tagged: Tagged = list(zip(names, ranking.best(options.tags, data.names), strict=True))
    _print(tagged, ranking.unit, options.out)
    if options.out is not None:
        _write(options.out, ranking.unit, tagged)
    return 0


def _features(options: Tag, data: TagSet) -> tuple[list[str], Tensor]:
    """Names of the images, and their features (I, F), standardised as the run's own were."""
    assert data.file is not None
    if options.features is not None:
        file = read_tag_file(options.features, tagged=False)
        check_features(file, data)
        names = [f"{options.features}:{row}" for row in range(len(file.features))]
        return names, data.scaling(torch.from_numpy(file.features))
    found = features_of_images(network_of_file(data.file), options.images)
    warn_skipped(found.skipped)
    print_facts(found.groups)
    return found.names, data.scaling(torch.from_numpy(found.features))


def _print(tagged: Tagged, unit: str, out: Path | None) -> None:
    table = table_of("image", f"tags, with {'votes' if unit == 'votes' else 'probabilities'}")
    for name, tags in tagged[:SHOWN]:
        table.add_row(name, ", ".join(f"{word} {count}" for word, count in tags))
    show(table)
    if len(tagged) > SHOWN:
        more = "" if out is not None else "; write all with --out tags.csv"
        print(f"… {len(tagged) - SHOWN:,} more{more}")


def _write(out: Path, unit: str, tagged: Tagged) -> None:
    with aside(out) as made, made.open("w", encoding="utf8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "rank", "tag", unit])
        for name, tags in tagged:
            writer.writerows([name, rank, *pair] for rank, pair in enumerate(tags, 1))
    print(f"written: {out}")
