"""Vectors of tags from which tags go together: PPMI, then truncated SVD.

Levy & Goldberg 2014 ("Neural Word Embedding as Implicit Matrix Factorization") show that skip-gram
with negative sampling factorises a shifted matrix of pointwise mutual information; factorising its
positive part outright needs no training and no text, only the tags of the images.
"""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
SMALLEST = 1e-9
"""A norm below which a vector is that of nothing."""


def ppmi(tags: NDArray[np.bool_]) -> Matrix:
    """Positive pointwise mutual information (T, T) of tags (N, T), in nats, ≥ 0, symmetric.

    With p(i) the share of images that have tag i and p(i, j) of those that have both:

        PPMI(i, j) = max(0, log p(i, j) / (p(i) p(j))),   0 where no image has both;

    on the diagonal p(i, i) = p(i), so it is −log p(i): 0 only for a tag that every image has.
    """
    counts = tags.astype(np.float64)
    both, single = counts.T @ counts, counts.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = both * len(tags) / np.outer(single, single)
        return np.where(both > 0, np.maximum(np.log(ratio), 0.0), 0.0)


def tag_vectors(tags: NDArray[np.bool_], dimensions: int) -> Matrix:
    """Unit vectors (T, V) of tags (N, T), V = min(dimensions, T).

    With PPMI = U Σ Wᵀ, singular values in falling order, the rows of U_V Σ_V^½ (the symmetric form
    of Levy, Goldberg & Dagan 2015, section 3.3), each over its norm. The largest entry of each
    column of U is made positive, so that the signs are settled. The row of a tag whose part in the
    first V columns is nothing stays 0.
    """
    matrix = ppmi(tags)
    left, values, _ = np.linalg.svd(matrix)
    kept = min(dimensions, len(matrix))
    values[values <= values[0] * len(matrix) * np.finfo(np.float64).eps] = 0  # rounding, no part
    left, values = left[:, :kept], values[:kept]
    largest = left[np.abs(left).argmax(0), np.arange(kept)]
    return unit(left * np.where(largest < 0, -1.0, 1.0) * np.sqrt(values))


def unit(vectors: Matrix) -> Matrix:
    """Rows over their norms; one that is (nearly) 0 becomes 0."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(norms > SMALLEST, vectors / np.maximum(norms, SMALLEST), 0.0)
