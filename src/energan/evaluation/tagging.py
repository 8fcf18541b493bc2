"""Tags of images by a run's votes, and their scores: precision and recall at 10."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from energan.core import DataError, SettingError
from energan.data import TagSet, open_data
from energan.data.sources.tag_files import TagFile
from energan.evaluation.inputs import EvaluationRequest
from energan.evaluation.reference import Reference
from energan.evaluation.results import EvaluationScores, Result, with_interval
from energan.evaluation.tag_energies import TagEnergies, fit_tag_energies
from energan.inference.run import Run
from energan.io.console import progress
from energan.io.text import plural
from energan.metrics.bootstrap import mean_interval
from energan.metrics.catalogue import scorers_of
from energan.metrics.tagging import (
    AtK,
    Choice,
    Votes,
    at_k,
    neighbour_votes,
    oracle_at_k,
    top_tags,
    word_votes,
)

METRICS = scorers_of("tags")
RIVALS = ("tag_frequency", "nearest_neighbours", "tag_energies")
AT, NEIGHBOURS, NEAREST, JUDGED = 10, 50, 20, 500
"""Tags that are chosen when scores are made, neighbours that vote in the baseline, words that a
sample votes for, and held-out images that choose between votes and energies, at most."""


@dataclass(frozen=True)
class Ballot:
    """How an image is tagged: `samples` vectors are drawn, the `nearest` words of each get a vote.

    Mirza & Osindero 2014 (section 4.2) draw 100 and take the 20 nearest words of 247,465. Of few
    words 20 are most of them, and their votes tell nothing: None stands for 20, but no more than a
    twentieth of the words.
    """

    samples: int = 100
    nearest: int | None = None

    def __post_init__(self) -> None:
        for name in ("samples", "nearest"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingError(f"--{name} {value}: give at least 1")

    def words(self, vocabulary: int) -> int:
        """The words that each sample votes for, of so many."""
        if self.nearest is not None:
            return min(self.nearest, vocabulary)
        return min(NEAREST, max(1, vocabulary // 20))


def check_tags(run: Run) -> None:
    """Raise SettingError if the run makes no tags."""
    if run.given is None or len(run.given) != 1:
        raise SettingError(
            f"{run.path}: the model {run.job.model} makes no tags; train one that does (energan "
            "train tagging-celeba --data FEATURES.npz)"
        )


def open_run_tags(run: Run, at: Path | None = None) -> TagSet:
    """The features and tags that the run was trained on. at: where they are now, if moved.

    Raises DataError if they are not there, or not what they were.
    """
    check_tags(run)
    settings = run.job.settings.data
    if at is not None:
        settings = settings.model_copy(update={"source": str(at)})
    try:
        data = open_data(settings)
    except DataError as error:
        raise DataError(f"{error}; give the data's new place with --data FILE.npz") from None
    if data.fingerprint != run.config["resolved"]["data"]["fingerprint"]:
        raise DataError(
            f"{settings.source} is not what {run.path} was trained on: restore it, or give its "
            "new place with --data FILE.npz"
        )
    assert isinstance(data, TagSet)
    return data


def check_features(file: TagFile, data: TagSet) -> None:
    """Raise DataError if the features of `file` cannot be of the same making as the data's: another
    number of them, or of another network."""
    assert data.file is not None
    wanted, found = data.features.shape[1], file.features.shape[1]
    if wanted != found:
        raise DataError(f"{file.path} has {found} features per image, and the run takes {wanted}")
    if None not in (file.maker, data.file.maker) and file.maker != data.file.maker:
        raise DataError(
            f"the features of {file.path} come from another network than those that the run was "
            f"trained on: compute them with energan features IMAGES --with {data.file.path}"
        )


def count_votes(run: Run, data: TagSet, features: Tensor, ballot: Ballot, seed: int) -> Votes:
    """Votes (I, T) of images with these features (I, F), standardised.

    The latents are the same for each image, so an image's tags do not depend on the others.
    """
    nearest = ballot.words(len(data.names))
    found = []
    with progress("tagging", len(features)) as advance:
        for image in features:
            made = run.sample(ballot.samples, seed, image.expand(ballot.samples, -1))
            found.append(word_votes(made, data.events, nearest))
            advance()
    return np.stack(found)


def held_out_precision(
    run: Run, data: TagSet, fitted: TagEnergies, ballot: Ballot, count: int, seed: int
) -> dict[str, float] | None:
    """The share of `count` chosen tags that held-out images have, by "energy" and by "votes"; None
    if no images are held out."""
    if data.kept is None:
        return None
    features, tags = data.kept.features[:JUDGED], data.kept.tags[:JUDGED]
    scores = {
        "energy": fitted.probabilities(features),
        "votes": count_votes(run, data, features, ballot, seed),
    }
    return {
        way: float(at_k(top_tags(found, count), tags).precision.mean())
        for way, found in scores.items()
    }


By = Literal["auto", "votes", "energy"]


@dataclass(frozen=True)
class TagRanking:
    """Scores (I, T) of the tags of I images, in votes or as probabilities, and how they came about,
    in sentences."""

    scores: Votes
    unit: Literal["votes", "probability"]
    says: tuple[str, ...]

    def best(self, count: int, names: Sequence[str]) -> list[list[tuple[str, str]]]:
        """The `count` best tags of each image, each with its score as text."""
        digits = 0 if self.unit == "votes" else 4
        return [
            [(names[tag], f"{own[tag]:.{digits}f}") for tag in tags]
            for own, tags in zip(self.scores, top_tags(self.scores, count), strict=True)
        ]


def rank_tags(
    run: Run, data: TagSet, features: Tensor, by: By, count: int, ballot: Ballot, seed: int
) -> TagRanking:
    """Rank the tags of images with these features (I, F), standardised: by energies of tags, by the
    run's votes, or by what finds more of held-out images' tags among the `count` best."""
    says: list[str] = []
    fitted = None if by == "votes" else fit_tag_energies(data)
    if by == "auto" and fitted is not None:
        found = held_out_precision(run, data, fitted, ballot, count, seed)
        if found is None:
            says.append(
                "no images are held out to compare by: tags are chosen by votes (--by energy)"
            )
            fitted = None
        else:
            better = "energy" if found["energy"] >= found["votes"] else "votes"
            says.append(
                f"precision at {count} on held-out images: by energy {found['energy']:.3f}, by "
                f"votes {found['votes']:.3f}; tags are chosen by {better} (--by)"
            )
            fitted = fitted if better == "energy" else None
    if fitted is not None:
        says.append(
            f"{plural(len(data.names), 'tag')} ranked by logistic regressions of the features, "
            f"fitted to {plural(len(data.features), 'training image')}"
        )
        return TagRanking(fitted.probabilities(features), "probability", tuple(says))
    says.append(
        f"{run.path}: step {run.step}, {run.weights} weights, seed {seed}; "
        f"{plural(ballot.samples, 'sample')} per image, each voting for the "
        f"{ballot.words(len(data.names))} nearest of {len(data.names)} words"
    )
    return TagRanking(count_votes(run, data, features, ballot, seed), "votes", tuple(says))


# --- scores ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TagReference(Reference):
    """Held-out images of the run's own data; the baselines learn from `training`."""

    judged: TagSet
    training: TagSet

    @property
    def count(self) -> int:
        """How many images; of each several tags are events."""
        return len(self.judged.tags)


def tag_reference(run: Run) -> TagReference:
    """What was held out of the run's own data.

    Raises DataError if nothing was, or there are too few tags to choose among.
    """
    data = open_run_tags(run)
    if data.kept is None:
        raise DataError(f"{data.name}: no tagged images are held out, so there is nothing to score")
    if len(data.names) <= AT:
        raise DataError(
            f"{data.name} has {len(data.names)} tags, and choosing {AT} of them needs more: use "
            "energan tag --tags with a smaller number"
        )
    return TagReference(data.kept, "held-out", data, run.job.settings.data)


def score_tags(request: EvaluationRequest) -> EvaluationScores:
    """Precision and recall of the 10 tags with the most votes, by the published ballot.

    Beside them stand the figures of three ways without the run: energies of tags that are fitted
    directly (`fit_tag_energies`), the tags of the nearest training images, and the most frequent
    tags for every image; and of an oracle that knows each image's
    tags: an image with 7 tags cannot get more than 0.7 of precision at 10.

    Raises SettingError for a run that makes no tags, a metric that is none of tags, and for other
    data than the run's own.
    """
    run = request.run
    check_tags(run)
    if request.reference is not None:
        raise SettingError(
            "--reference does not apply: tags are scored on the run's held-out images"
        )
    if unfit := [name for name in request.metrics if name not in METRICS]:
        raise SettingError(
            f"--metrics {unfit[0]} does not apply: the run makes tags, which "
            f"{', '.join(METRICS)} score"
        )
    reference = tag_reference(run)
    count = min(request.samples, reference.count)
    request.say(f"tagging {count:,} images by {request.about}")
    made = _choose_tags(run, reference, count, request.seed)
    ballot, words = Ballot(), len(reference.training.names)
    protocol = {
        "samples": ballot.samples,
        "nearest": ballot.words(words),
        "words": words,
        "neighbours": NEIGHBOURS,
    }
    results = [
        _result(name, {way: _figures(at, name) for way, at in made.items()}, protocol, request)
        for name in request.metrics or METRICS
    ]
    images = "features, standardised by the training part"
    return EvaluationScores(results, count, images, reference, reference.training.about)


def _choose_tags(run: Run, reference: TagReference, count: int, seed: int) -> dict[str, AtK]:
    """Way of choosing 10 tags -> precision and recall of each of `count` images."""
    features, tags = reference.judged.features[:count], reference.judged.tags[:count]
    ballot = count_votes(run, reference.training, features, Ballot(), seed)
    chosen = {"run": top_tags(ballot, AT), **_baselines(reference.training, features)}
    figures = {way: at_k(choice, tags) for way, choice in chosen.items()}
    return {**figures, "oracle": oracle_at_k(tags, AT)}


def _baselines(data: TagSet, features: Tensor) -> dict[str, Choice]:
    """Way -> the 10 tags of each image (I, 10) that the training part alone gives."""
    frequency = data.tags.sum(0)
    energies = fit_tag_energies(data)
    near = neighbour_votes(features, data.features, data.tags, min(NEIGHBOURS, len(data.tags)))
    often = top_tags(frequency, AT)
    return {
        "tag_energies": top_tags(energies.probabilities(features), AT),
        "nearest_neighbours": top_tags(near, AT, frequency),
        "tag_frequency": np.broadcast_to(often, (len(features), AT)),
    }


def _figures(at: AtK, name: str) -> NDArray[np.float64]:
    return at.precision if name == "precision_at_10" else at.recall


def _result(
    name: str,
    of: dict[str, NDArray[np.float64]],
    protocol: dict[str, int],
    request: EvaluationRequest,
) -> Result:
    made = of["run"]
    interval = partial(mean_interval, resamples=request.resamples, seed=request.seed)
    details: dict[str, Any] = {"images": len(made), "ballot": protocol}
    said = []
    for way in (*RIVALS, "oracle"):
        details[way] = float(of[way].mean())
        said.append(f"{way.replace('_', ' ')} {details[way]:.4g}")
    if len(made) < 2:
        return Result(name, float(made.mean()), note=", ".join(said))
    for way in RIVALS:
        more = interval(made - of[way])
        details[f"more_than_{way}"] = [more.low, more.high]
        said.append(f"{more.low:+.3g} to {more.high:+.3g} beside {way.replace('_', ' ')}")
    found = interval(made)
    how = f"95% bootstrap over images, {request.resamples} resamples"
    value, note = float(made.mean()), ", ".join(said)
    return with_interval(name, value, found, how, note=note, details=details)
