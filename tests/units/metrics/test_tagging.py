"""Votes, and precision and recall at K, against loops."""

from collections import Counter

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from energan.metrics import at_k, nearest_words, neighbour_votes, oracle_at_k, top_tags, word_votes


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_nearest_words_and_votes_are_their_definition() -> None:
    generator = np.random.default_rng(0)
    x, words = generator.normal(size=(30, 4)), generator.normal(size=(9, 4)) * 5
    wanted: Counter[int] = Counter()
    found = nearest_words(x, words, 3)
    for sample, near in zip(x, found, strict=True):
        order = sorted(range(9), key=lambda t: -cosine(sample, words[t]))[:3]
        assert near.tolist() == order
        wanted.update(order)
    votes = word_votes(x, words, 3)
    assert votes.tolist() == [wanted[t] for t in range(9)]
    assert votes.sum() == 90


@pytest.mark.parametrize("count", [0, 10])
def test_more_words_than_there_are(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 9"):
        nearest_words(np.ones((2, 4)), np.ones((9, 4)), count)
    with pytest.raises(ValueError, match="1 to 9"):
        top_tags(np.ones((2, 9)), count)


def test_neighbours_vote_as_scikit_learn_finds_them() -> None:
    generator = np.random.default_rng(1)
    known, asked = generator.normal(size=(50, 6)), generator.normal(size=(8, 6))
    tags = generator.random((50, 5)) < 0.4
    near = NearestNeighbors(n_neighbors=7).fit(known).kneighbors(asked, return_distance=False)
    wanted = np.stack([tags[rows].sum(0) for rows in near])
    np.testing.assert_array_equal(neighbour_votes(asked, known, tags, 7), wanted)


@pytest.mark.parametrize("neighbours", [0, 51])
def test_more_neighbours_than_there_are(neighbours: int) -> None:
    with pytest.raises(ValueError, match="1 to 50"):
        neighbour_votes(np.ones((1, 2)), np.ones((50, 2)), np.ones((50, 3), bool), neighbours)


def test_ties_go_to_the_prior_and_then_to_the_first() -> None:
    votes = np.array([[1.0, 3, 3, 0, 3]])
    assert top_tags(votes, 4).tolist() == [[1, 2, 4, 0]]
    assert top_tags(votes, 4, prior=[9, 0, 1, 9, 1]).tolist() == [[2, 4, 1, 0]]


def test_precision_and_recall_at_k_are_their_definition() -> None:
    generator = np.random.default_rng(2)
    tags = generator.random((40, 12)) < 0.3
    tags[0] = False
    chosen = np.stack([generator.permutation(12)[:5] for _ in range(40)])
    found = at_k(chosen, tags)
    for i in range(40):
        own = set(np.flatnonzero(tags[i]).tolist())
        hits = len(own & set(chosen[i].tolist()))
        assert found.precision[i] == pytest.approx(hits / 5)
        if own:
            assert found.recall[i] == pytest.approx(hits / len(own))
        else:
            assert np.isnan(found.recall[i])


def test_nothing_beats_the_oracle() -> None:
    generator = np.random.default_rng(3)
    tags = generator.random((40, 12)) < 0.4
    tags[:, 0] = True
    own = tags.sum(1)
    best = oracle_at_k(tags, 5)
    np.testing.assert_allclose(best.precision, np.minimum(5, own) / 5)
    np.testing.assert_allclose(best.recall, np.minimum(5, own) / own)
    other = at_k(top_tags(generator.random((40, 12)), 5), tags)
    assert (other.precision <= best.precision).all()
