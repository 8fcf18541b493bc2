"""On the way: how well a run that learns classes finds those of held-out examples."""

from typing import Any

import torch

from energan.core import evaluating
from energan.data.dataset import DataSet
from energan.experiment.settings import Job
from energan.io.text import plural
from energan.metrics.classification import error_rate, reliability
from energan.training.hooks import Figures
from energan.training.train_state import TrainState

EVENTS, AT_ONCE = 10_000, 500
NUMBERS = EVENTS * 784
"""Numbers of examples to classify: fewer of larger examples, but at least LEAST."""
LEAST = 1000


def no_errors(job: Job, data: DataSet) -> str:
    """Why a run of this job has no `error` on the way; empty if it has."""
    if not job.settings.model.classifies:
        return f"the model {job.model} does not classify"
    return "" if len(HeldOutErrors(data).rows) else "no labelled examples are held out"


def describe_errors(job: Job, data: DataSet) -> str | None:
    """On how many images the error is measured while it trains; None of a model without classes."""
    if not job.settings.model.classifies:
        return None
    if count := len(HeldOutErrors(data).rows):
        return f"held-out error: measured on {plural(count, 'labelled example')} not trained on"
    return (
        "held-out error: not shown, because no labelled example is held out; --data.held-out "
        "200 holds out 200 examples, labelled ones among them"
    )


class HeldOutErrors:
    """`error` and `calibration_error` of held-out examples with labels, by the weights to evaluate.

    The first 10,000 of them, always the same, fewer of large examples. No figures of a loop whose
    energy does not classify, or where nothing with a label is held out.
    """

    def __init__(self, data: DataSet) -> None:
        self.held_out, self.rows = data.held_out, torch.empty(0, dtype=torch.long)
        labels = None if self.held_out is None else self.held_out.labels
        if labels is not None and data.domain.condition_shape is None:
            most = min(EVENTS, max(NUMBERS // data.domain.size, LEAST))
            self.rows = (labels.cpu() >= 0).nonzero().flatten()[:most]

    def __call__(self, loop: TrainState) -> Figures:
        """Of a loop whose evaluation statistics are measured."""
        if loop.conditional or not len(self.rows):
            return {}
        assert self.held_out is not None
        energy: Any = loop.averaged()["energy"]
        logits, labels = [], []
        with evaluating(energy):
            for rows in self.rows.split(AT_ONCE):
                batch = self.held_out.gather(rows, loop.engine.dtype, conditions=True)
                found = energy(batch.x.to(loop.engine.device), stream="eval").logits
                if found is None:
                    return {}
                assert batch.condition is not None
                logits.append(found.float().cpu())
                labels.append(batch.condition.cpu())
        probabilities, true = torch.cat(logits).softmax(1), torch.cat(labels)
        error = error_rate(probabilities.argmax(1), true)
        return {"error": error, "calibration_error": reliability(probabilities, true).error}
