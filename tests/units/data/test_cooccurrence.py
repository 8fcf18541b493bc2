"""Tag vectors against the definitions, written out."""

import math

import numpy as np
import pytest
from scipy.linalg import sqrtm

from energan.data.tagged import normalise_rows, ppmi, tag_vectors


def drawn(seed: int, images: int = 60, tags: int = 7) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.random((images, tags)) < generator.uniform(0.1, 0.7, tags)


@pytest.mark.parametrize("seed", range(3))
def test_ppmi_is_its_definition(seed: int) -> None:
    tags = drawn(seed)
    tags[:, 3] &= ~tags[:, 2]  # two that never meet
    found, (n, count) = ppmi(tags), tags.shape
    for i in range(count):
        for j in range(count):
            both = sum(bool(row[i] and row[j]) for row in tags) / n
            of_i, of_j = (sum(map(bool, tags[:, k])) / n for k in (i, j))
            wanted = max(0.0, math.log(both / (of_i * of_j))) if both else 0.0
            assert found[i, j] == pytest.approx(wanted, abs=1e-12)


def test_a_tag_of_every_image_and_one_of_none_tell_nothing() -> None:
    tags = drawn(0)
    tags[:, 1], tags[:, 4] = True, False
    assert not ppmi(tags)[[1, 4]].any()
    vectors = tag_vectors(tags, 7)
    assert not vectors[[1, 4]].any()


@pytest.mark.parametrize("seed", range(3))
def test_all_dimensions_have_the_angles_of_the_root_of_the_squared_matrix(seed: int) -> None:
    """W = U √Σ has W Wᵀ = U Σ Uᵀ, the square root of M Mᵀ."""
    tags = drawn(seed)
    gram = np.real(sqrtm(ppmi(tags) @ ppmi(tags).T))
    lengths = np.sqrt(np.diag(gram))
    vectors = tag_vectors(tags, 200)
    assert vectors.shape == (7, 7)
    np.testing.assert_allclose(vectors @ vectors.T, gram / np.outer(lengths, lengths), atol=1e-6)


def test_fewer_dimensions_are_the_largest_singular_ones() -> None:
    tags = drawn(5)
    matrix = ppmi(tags)
    values, left = np.linalg.eigh(matrix @ matrix.T)
    kept = left[:, ::-1][:, :3] * values[::-1][:3] ** 0.25  # Σ = √values, and its root
    wanted = kept / np.linalg.norm(kept, axis=1, keepdims=True)
    vectors = tag_vectors(tags, 3)
    np.testing.assert_allclose(vectors @ vectors.T, wanted @ wanted.T, atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)


def test_signs_are_settled() -> None:
    tags = drawn(2)
    again = tag_vectors(tags[::-1], 4)  # the same counts
    np.testing.assert_allclose(tag_vectors(tags, 4), again)


def test_unit_leaves_nothing_of_nothing() -> None:
    found = normalise_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]])
