"""Tags of images: the words that vectors vote for, and how many of them are the images' own.

Tags are bool (I, T), which images have which; a choice is int (I, K), K tags of each image, the
best first; votes are (I, T). Ties go to the tag that `prior` has more of, then to the first.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from energan.metrics.arrays import Values, array, pair, squared_distances

Votes = NDArray[np.float64]
Choice = NDArray[np.intp]
AT_ONCE = 2**25
"""Numbers of distances that are held together."""


@dataclass(frozen=True)
class AtK:
    """Of each image (I,): the share of the K chosen tags that it has, and of its own those chosen.

    Recall is NaN for an image without tags.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


def nearest_words(x: Values, vectors: Values, count: int) -> Choice:
    """The `count` words whose vectors (T, V) have the largest cosine with each of x (N, V): (N, K).

    Raises ValueError for vectors of different lengths, and a count that is not in 1 to T.
    """
    samples, words = pair(x, vectors)
    if not 1 <= count <= len(words):
        raise ValueError(f"count must be in 1 to {len(words)}: it is {count}")
    # a sample's own length changes no order
    cosine = samples @ (words / np.maximum(np.linalg.norm(words, axis=1), 1e-300)[:, None]).T
    return np.argsort(-cosine, axis=1, kind="stable")[:, :count]


def word_votes(x: Values, vectors: Values, nearest: int) -> Votes:
    """How many of the samples x (N, V) have each word among their `nearest` words: (T,)."""
    words = nearest_words(x, vectors, nearest)
    return np.bincount(words.ravel(), minlength=len(array(vectors))).astype(np.float64)


def neighbour_votes(
    features: Values, known: Values, tags: NDArray[np.bool_], neighbours: int
) -> Votes:
    """How many of the `neighbours` nearest known images (N, F) have each tag (N, T): (I, T).

    Nearest by the Euclidean distance from features (I, F). Raises ValueError for features of
    different lengths, or more neighbours than there are.
    """
    asked, there = pair(features, known)
    if not 1 <= neighbours <= len(there) or len(tags) != len(there):
        raise ValueError(f"neighbours must be in 1 to {len(there)}, with a row of tags for each")
    parts = []
    for _, distances in squared_distances(asked, there, AT_ONCE // len(there)):
        nearest = torch.topk(distances, neighbours, largest=False).indices.numpy()
        parts.append(tags[nearest].sum(1, dtype=np.float64))
    return np.concatenate(parts)


def top_tags(votes: Values, count: int, prior: Values | None = None) -> Choice:
    """The `count` tags with the most votes (I, T) of each image: (I, count).

    prior: (T,), what decides between tags with as many votes. Raises ValueError for a count that is
    not in 1 to T.
    """
    given = np.atleast_2d(array(votes))
    if not 1 <= count <= given.shape[1]:
        raise ValueError(f"count must be in 1 to {given.shape[1]}: it is {count}")
    # lexsort: the last key counts first, equal ones keep their order
    second = np.zeros(given.shape[1]) if prior is None else array(prior)
    return np.lexsort((np.broadcast_to(-second, given.shape), -given))[:, :count]


def at_k(chosen: Choice, tags: NDArray[np.bool_]) -> AtK:
    """Precision and recall of K chosen tags (I, K) of images with these tags (I, T)."""
    hits = np.take_along_axis(tags, chosen, 1).sum(1, dtype=np.float64)
    own = tags.sum(1, dtype=np.float64)
    recall = np.divide(hits, own, out=np.full(len(own), np.nan), where=own > 0)
    return AtK(hits / chosen.shape[1], recall)


def oracle_at_k(tags: NDArray[np.bool_], count: int) -> AtK:
    """What a choice of `count` tags that knows the truth gets: the most that can be had.

    min(count, n) / count and min(count, n) / n for an image of n tags.
    """
    return at_k(np.argsort(~tags, axis=1, kind="stable")[:, :count], tags)
