"""The metric whose best checkpoint a run keeps, made on the way."""

from dataclasses import replace

import torch

from energan.core import Domain, SettingError
from energan.evaluation.inputs import EvaluationInputs
from energan.evaluation.reference import View, reference_for
from energan.evaluation.scorers import SCORERS
from energan.experiment.callbacks.samples import draw
from energan.experiment.callbacks.scores import CheckpointMetric
from energan.experiment.settings import Job
from energan.metrics.catalogue import METRICS, scorer_of
from energan.training.device import choose
from energan.training.hooks import Figures
from energan.training.train_state import TrainState

SAMPLES = 2000


def checkpoint_metric(job: Job, domain: Domain) -> CheckpointMetric | None:
    """What scores a loop's samples by `output.keep_best`; None if every run makes that figure.

    2,000 samples of averaged weights where there are any, always of the same latents. The
    classifier is trained first where one is needed and none is kept.
    Raises SettingError if the metric does not apply to the data.
    """
    name = job.settings.output.keep_best
    if name == "auto" or METRICS[name].always:
        return None
    scorer = SCORERS[scorer_of(name)]
    reference = reference_for(job.settings.data, domain)
    view = View(domain, reference.judged.domain.shape)
    real = reference.events(reference.judged, SAMPLES)
    device = choose(job.settings.engine, switches=False).device
    first = EvaluationInputs(real, reference, device=device)  # there are no samples yet
    if reason := scorer.obstacle(first):
        raise SettingError(f"--keep-best {name} does not apply: {reason}")
    extractor = first.extractor if scorer.needs_features else None
    held_out = reference.training.held_out
    if reference.split == "test" and held_out is not None:  # the test set chooses nothing
        reference = replace(reference, judged=held_out, split="held-out")

    def judge(loop: TrainState) -> Figures:
        labels = reference.judged.labels
        if labels is not None:
            labels = labels[torch.arange(SAMPLES) % len(labels)].to(loop.engine.device)
        drawn = draw(loop, SAMPLES, "judge", labels)
        if drawn is None:
            return {}
        samples = view(drawn.float().cpu())
        inputs = EvaluationInputs(samples, reference, resamples=2, ready_extractor=extractor)
        return {r.name: r.value for r in scorer.compute(inputs) if r.name == name}

    return judge
