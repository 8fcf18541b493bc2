"""How well a score tells anomalous events from normal ones, and where to put the threshold."""

from math import ceil

import numpy as np
from numpy.typing import NDArray

from energan.metrics.arrays import Values, array, check_labelled, check_scores


def auroc(scores: Values, anomalous: Values) -> float:
    """Area under the ROC curve: the probability that an anomalous example scores above a normal
    one.

    Args:
        scores: (N,), high for anomalies, as energies are.
        anomalous: bool (N,).

    Returns:
        In [0, 1]; ties count half.

    Raises:
        ValueError: for other shapes, values that are not finite, or examples of one kind only.
    """
    from sklearn.metrics import roc_auc_score

    s, a = check_labelled(scores, anomalous)
    return float(roc_auc_score(a, s))


def roc_points(
    scores: Values, anomalous: Values, most: int = 200
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points of the ROC curve: false and true positive rates, ascending, (p,) each, from (0, 0) to
    (1, 1).

    Curves of more than `most` points are thinned to that many, evenly along their length. Other
    arguments and errors as for `auroc`.
    """
    from sklearn.metrics import roc_curve

    s, a = check_labelled(scores, anomalous)
    false, true, _ = roc_curve(a, s)
    if len(false) > most:
        length = false + true
        kept = np.searchsorted(length, np.linspace(0, 2, most)).clip(max=len(false) - 1)
        kept[-1] = len(false) - 1
        false, true = false[np.unique(kept)], true[np.unique(kept)]
    return false, true


def average_precision(scores: Values, anomalous: Values) -> float:
    """Average precision of anomalies, Σ (R_n − R_{n−1}) P_n, in [0, 1]. Arguments
    as for `auroc`.
    """
    from sklearn.metrics import average_precision_score

    s, a = check_labelled(scores, anomalous)
    return float(average_precision_score(a, s))


def fpr_at_tpr(scores: Values, anomalous: Values, tpr: float = 0.95) -> float:
    """False positive rate at the highest threshold with a true positive rate of at least `tpr`.

    An example is flagged if its score reaches the threshold. In [0, 1], lower is better; other
    arguments and errors as for `auroc`.
    """
    from sklearn.metrics import roc_curve

    if not 0 < tpr <= 1:
        raise ValueError(f"tpr must be in (0, 1], not {tpr}")
    s, a = check_labelled(scores, anomalous)
    false, true, _ = roc_curve(a, s, drop_intermediate=False)
    return float(false[np.argmax(true >= tpr)])


def calibrated_threshold(
    normal_scores: Values, fpr: float = 0.05, *, weights: Values | None = None
) -> float:
    """Threshold that a new normal example exceeds with a probability of at most `fpr`.

    It is the ⌈(n + 1)(1 − fpr)⌉-th smallest of n normal scores, which split conformal prediction
    guarantees for any distribution, if new normal examples are exchangeable with these.

    Args:
        normal_scores: scores of normal examples, (n,).
        fpr: allowed false positive rate, in (0, 1).
        weights: for examples in K groups, their weights (n,) from `group_weights`. The threshold
            is then the lowest score up to which the weights add up to (K + 1)(1 − fpr), and the
            guarantee holds for an example of a new group, if groups are exchangeable
            (hierarchical conformal prediction, Lee, Barber and Willett 2023).

    Raises:
        ValueError: if n, or K, is too small for this `fpr`; the message says how many are
            needed.
    """
    s = check_scores(normal_scores)
    if not 0 < fpr < 1:
        raise ValueError(f"fpr must be in (0, 1), not {fpr}")
    w = _weights_of(s, weights)
    count = round(float(w.sum()))
    needed = (count + 1) * (1 - fpr) - 1e-9  # rounding must not move it up
    if needed > count:
        least = ceil(1 / fpr - 1e-9) - 1
        what = "examples" if weights is None else "groups"
        raise ValueError(
            f"a false-positive rate of {fpr:g} needs at least {least} normal {what}: there are "
            f"{count}"
        )
    order = np.argsort(s, kind="stable")
    place = int(np.searchsorted(np.cumsum(w[order]), needed))
    return float(s[order[min(place, len(s) - 1)]])


def group_weights(groups: Values) -> NDArray[np.float64]:
    """Weights of examples that come in groups: 1/n for each of the n examples of a group.

    Args:
        groups: group of each example, any numbers, (N,).
    """
    _, numbers, counts = np.unique(array(groups), return_inverse=True, return_counts=True)
    found: NDArray[np.float64] = 1.0 / counts[numbers]
    return found


def percentile_of(
    scores: Values, normal_scores: Values, *, weights: Values | None = None
) -> NDArray[np.float64]:
    """For each score (N,), the percentage of normal scores that are as low or lower, in [0, 100].

    `weights` are those of the normal scores, if they do not count equally.
    """
    found = check_scores(normal_scores)
    order = np.argsort(found, kind="stable")
    below = np.searchsorted(found[order], check_scores(scores), side="right")
    if weights is None:
        return below.astype(np.float64) * (100.0 / len(found))
    sums = np.r_[0.0, np.cumsum(_weights_of(found, weights)[order])]
    shares: NDArray[np.float64] = sums[below] * (100.0 / sums[-1])
    return shares


def _weights_of(scores: NDArray[np.float64], weights: Values | None) -> NDArray[np.float64]:
    if weights is None:
        return np.ones(len(scores))
    found = array(weights)
    if found.shape != scores.shape or not np.isfinite(found).all() or not (found > 0).all():
        raise ValueError(f"weights must be {scores.shape}, finite and above 0")
    return found
