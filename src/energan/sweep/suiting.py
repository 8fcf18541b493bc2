"""What trials are scored by: the names that users may give, and what suits the data."""

from collections.abc import Sequence
from difflib import get_close_matches

from energan.core import SettingError
from energan.data import DataSet
from energan.errors import describe
from energan.evaluation.classifier import why_no_classifier
from energan.evaluation.distances import MOST_PIXELS
from energan.experiment.callbacks.held_out import no_errors
from energan.experiment.settings import Job
from energan.metrics.catalogue import METRICS, metrics_named


def ranking(names: Sequence[str]) -> tuple[str, ...]:
    """The names of results, as records have them, of metrics as users write them.

    Raises SettingError for one that is unknown.
    """
    found: list[str] = []
    for name in names:
        metrics = [metric for metric in metrics_named(name) if METRICS[metric].scored]
        if not metrics:
            scored = {n: m.aliases for n, m in METRICS.items() if m.scored}
            known = dict.fromkeys((*scored, *(a for some in scored.values() for a in some)))
            near = get_close_matches(name.lower().replace("-", "_"), known, 3)
            among = f"there are {', '.join(sorted(scored))}"
            hint = f"did you mean {' or '.join(near)}?" if near else among
            raise SettingError(f"metrics: there is no {describe(name)}: {hint}")
        found += metrics
    return tuple(dict.fromkeys(found))


def suited(job: Job, data: DataSet) -> tuple[str, ...]:
    """What ranks trials on this data, first, and what stands beside it.

    The error of models that classify, I′ of labelled images, modes of toys that have them, the
    Fréchet distance of small images without labels; else the sliced Wasserstein distance.
    """
    if data.domain.paired:
        return ("l1", "ssim")
    if data.domain.condition_shape is not None:
        return ("precision_at_10",)
    if not no_errors(job, data):
        return ("error",)
    if not why_no_classifier(data):
        return ("modified_inception_score", "inception_score")
    if data.modes is not None:
        return ("modes", "modes_kl", "high_quality_share")
    if len(data.domain.shape) == 3 and data.domain.size <= MOST_PIXELS:
        return ("frechet_distance", "sliced_wasserstein")
    return ("sliced_wasserstein",)
