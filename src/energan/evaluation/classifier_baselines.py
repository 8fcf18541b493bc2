"""What a run that learns classes must beat to be worth its training: simple classifiers of
scikit-learn, fitted in seconds to the labels that the run learned from.

    logistic regression    of the pixels, at most 32x32, or of the features
    HOG + linear SVM       of images: histograms of oriented gradients (Dalal & Triggs 2005)
    label spreading        (Zhou et al. 2004) on the same features, to 2,000 unlabelled examples too
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import pi
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from energan.core import DataError
from energan.data import DataSet, open_data
from energan.data.few_label_batches import choose_labelled
from energan.inference.run import Run
from energan.io.text import plural
from energan.metrics.classification import error_difference, error_interval

MOST_LABELS, UNLABELLED, JUDGED = 5_000, 2_000, 5_000
"""Labels and unlabelled examples that baselines learn from, and events that they are compared on,
at most."""
SIDE, AT_ONCE = 32, 500
ORIENTATIONS, CLIP = 9, 0.2
LOGISTIC, HOG, SPREADING = "logistic regression", "HOG + linear SVM", "label spreading"
PENALTIES = (0.01, 0.1, 1.0)
"""C of the support vector machine, the best of them by 3-fold cross-validation of the labels."""
Rows = NDArray[np.float64]


@dataclass(frozen=True)
class BaselineError:
    """A baseline's error with the ends of its interval; what the run's error is on the same events,
    and how much more that is, with the ends of this difference's interval."""

    name: str
    error: float
    low: float
    high: float
    run_error: float
    difference: float
    difference_low: float
    difference_high: float


def verdict(found: Sequence[BaselineError]) -> str:
    """A sentence on whether the run beats the best baseline beyond chance."""
    best = min(found, key=lambda one: one.error)
    if best.difference_high < 0:
        said = "this run is better than"
    elif best.difference_low > 0:
        said = "this run is worse than"
    else:
        said = "this run does not beat"
    return (
        f"{said} the best baseline, {best.name}: {100 * best.run_error:.2f} % against "
        f"{100 * best.error:.2f} % (difference {100 * best.difference:+.2f} "
        f"[{100 * best.difference_low:+.2f}, {100 * best.difference_high:+.2f}])"
    )


def beside_baselines(
    run: Run, judged: DataSet, labels: Tensor, predicted: Tensor
) -> dict[str, Any]:
    """The record of what baselines make of the events that the run classified: `about` and
    `compared`, or `missing`, why there are none.

    labels, predicted: int64 (N,) of all the events of `judged`.
    """
    try:
        data = open_data(run.job.settings.data)
        known = _labelled_rows(run, data)
    except DataError as error:
        return {"missing": str(error)}
    if len(known) > MOST_LABELS:
        return {"missing": f"it learned from more than {MOST_LABELS:,} labels"}
    rows = torch.linspace(0, len(judged) - 1, min(len(judged), JUDGED), dtype=torch.float64).long()
    others = _spread(len(data), known, UNLABELLED)
    assert data.labels is not None
    found = predictions(
        _events(data, known), data.labels[known].cpu(), _events(data, others), _events(judged, rows)
    )
    compared = [
        asdict(compare(name, made, predicted[rows], labels[rows])) for name, made in found.items()
    ]
    return {
        "about": f"fitted to the same {plural(len(known), 'label')}; {SPREADING} also to "
        f"{plural(len(others), 'unlabelled example')}",
        "events": len(rows),
        "compared": compared,
    }


def compare(name: str, made: Tensor, predicted: Tensor, labels: Tensor) -> BaselineError:
    """The classes `made` by a baseline beside those that the run predicted, int64 (N,) each."""
    theirs, own = (found.cpu() != labels.cpu() for found in (made, predicted))
    wrong, count = int(theirs.sum()), len(labels)
    ends = error_interval(wrong, count)
    gap = error_difference(own.numpy(), theirs.numpy())
    ours = int(own.sum()) / count
    return BaselineError(
        name, wrong / count, ends.low, ends.high, ours, ours - wrong / count, gap.low, gap.high
    )


def predictions(x: Tensor, labels: Tensor, unlabelled: Tensor, judged: Tensor) -> dict[str, Tensor]:
    """The classes that baselines give to `judged` (N, *event), int64 (N,) by name.

    x (L, *event): examples with labels (L,); unlabelled (U, *event): others, U may be 0.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.semi_supervised import LabelSpreading

    seen, y = torch.cat([x, unlabelled]), labels.numpy()
    both, wanted = _rows(seen, seen), _rows(judged, seen)
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore")  # what does not converge is a baseline all the same
        logistic = LogisticRegression(max_iter=300).fit(both[: len(x)], y)
        found = {LOGISTIC: logistic.predict(wanted)}
        if x.dim() == 4 and min(x.shape[2:]) >= 8:
            both, wanted = (_rows_of_hog(part) for part in (seen, judged))
            found[HOG] = _support_vectors(both[: len(x)], y).predict(wanted)
        marked = np.concatenate([y, np.full(len(unlabelled), -1)])
        spreading = LabelSpreading(kernel="knn", n_neighbors=min(7, len(both)))
        found[SPREADING] = spreading.fit(both, marked).predict(wanted)
    return {name: torch.as_tensor(np.asarray(made, np.int64)) for name, made in found.items()}


def hog(images: Tensor, cell: int | None = None) -> Tensor:
    """Histograms of oriented gradients of images (B, C, H, W): (B, D).

    Gradients are central differences, repeated at the border, of the channel where they are
    largest. Each votes with its length for the two nearest of 9 orientations without sign, in its
    own cell alone, where Dalal and Triggs also share it among the nearest cells. Blocks of 2×2
    cells are normalised, clipped at 0.2 and normalised again (L2-Hys). cell: its side in pixels;
    8, or 4 of images smaller than 64.
    """
    side = (8 if min(images.shape[2:]) >= 64 else 4) if cell is None else cell
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    length, channel = (across.square() + down.square()).sqrt().max(1, keepdim=True)
    angle = torch.atan2(down, across).gather(1, channel) % pi
    place = angle / pi * ORIENTATIONS - 0.5  # of the middle of an orientation's range
    first, share = place.floor().long(), place - place.floor()
    votes = images.new_zeros(len(images), ORIENTATIONS, *images.shape[2:])
    for number, part in ((first, 1 - share), (first + 1, share)):
        votes.scatter_add_(1, number % ORIENTATIONS, length * part)
    blocks = F.unfold(F.avg_pool2d(votes, side), 2)  # (B, 4 · 9, blocks)
    return F.normalize(F.normalize(blocks, dim=1).clamp_max(CLIP), dim=1).flatten(1)


def _support_vectors(x: Rows, y: NDArray[np.int64]) -> Any:
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import LinearSVC

    if np.bincount(y)[np.unique(y)].min() < 3:
        return LinearSVC(C=PENALTIES[1], random_state=0).fit(x, y)
    return GridSearchCV(LinearSVC(random_state=0), {"C": PENALTIES}, cv=3).fit(x, y)


def _rows(x: Tensor, seen: Tensor) -> Rows:
    """Events as rows: images at most 32x32, standardised by all pixels of `seen` together, others
    feature by feature."""
    if x.dim() == 4:
        size = [min(side, SIDE) for side in x.shape[2:]]
        mean, spread = seen.mean(), seen.std()
        if list(x.shape[2:]) != size:
            x = F.interpolate(x, size, mode="bilinear", antialias=True)
    else:
        mean, spread = seen.mean(0), seen.std(0)
    rows: Rows = ((x - mean) / spread.clamp_min(1e-6)).flatten(1).double().numpy()
    return rows


def _rows_of_hog(x: Tensor) -> Rows:
    return torch.cat([hog(part) for part in x.split(AT_ONCE)]).double().numpy()


def _labelled_rows(run: Run, data: DataSet) -> Tensor:
    """Rows of the training events whose labels the run learned from."""
    assert data.labels is not None
    assert data.domain.classes
    seed = run.job.settings.seed
    return choose_labelled(
        data.labels, data.domain.classes, data.labelled, seed, data.class_names, data.groups
    )


def _spread(count: int, without: Tensor, most: int) -> Tensor:
    """At most `most` rows of `count`, spread over them, less those of `without`."""
    left = torch.ones(count, dtype=torch.bool)
    left[without] = False
    rows = left.nonzero().flatten()
    if len(rows) <= most:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, most, dtype=torch.float64).long()]


def _events(data: DataSet, rows: Tensor) -> Tensor:
    """Events of these rows (N, *event), float32 on the CPU."""
    parts = [data.gather(part).x.float().cpu() for part in rows.split(AT_ONCE)]
    return torch.cat(parts) if len(rows) else torch.zeros(0, *data.domain.shape)
