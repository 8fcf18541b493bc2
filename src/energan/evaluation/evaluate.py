"""A run and real data -> scores, with the protocol that made them, kept in the run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from energan.core import DataError, SettingError
from energan.errors import describe
from energan.evaluation import metrics_file
from energan.evaluation.image_to_image import score_pairs
from energan.evaluation.inputs import EvaluationInputs, EvaluationRequest
from energan.evaluation.reference import View, reference_for
from energan.evaluation.results import EvaluationScores, Result
from energan.evaluation.scorers import SCORERS
from energan.evaluation.tagging import score_tags
from energan.inference.conditions import classes_in_turn
from energan.inference.run import Run
from energan.metrics.catalogue import scorer_of, scorers_of
from energan.version import __version__

SAMPLES, RESAMPLES = 10_000, 1000
CONDITIONAL = (*scorers_of("pairs"), *scorers_of("tags"))
"""Metrics of runs whose examples come with inputs of their own."""
Say = Callable[[str], None]


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Scores of a run; `evaluation[name]` is the result of one metric.

    Attributes:
        results: the results, in the order in which they are printed.
        left_out: metrics that do not apply, with the reason.
        record: the entry of metrics.json, with everything that the scores depend on.
    """

    results: list[Result]
    left_out: dict[str, str]
    record: dict[str, Any]

    def __getitem__(self, name: str) -> Result:
        """The result of this name. Raises KeyError if it was not made."""
        for result in self.results:
            if result.name == name:
                return result
        reason = self.left_out.get(name, f"available: {', '.join(r.name for r in self.results)}")
        raise KeyError(f"{name}: {reason}")

    def joined(
        self,
        results: Sequence[Result],
        record: Mapping[str, Any],
        left_out: Mapping[str, str] | None = None,
    ) -> "Evaluation":
        """With others' results behind these."""
        return Evaluation(
            [*self.results, *results],
            {**self.left_out, **(left_out or {})},
            {**self.record, **record},
        )

    def __repr__(self) -> str:
        return "\n".join(f"{r.name}: {r.text()}" for r in self.results) or "no scores"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(r.name)}</td><td>{r.text()}</td><td>{r.better or ''}</td></tr>"
            for r in self.results
        )
        return f"<table><tr><th>metric</th><th>value</th><th>better</th></tr>{rows}</table>"


def evaluate(
    run: Run,
    *,
    metrics: Sequence[str] = (),
    samples: int = SAMPLES,
    reference: str | None = None,
    extractor: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    say: Say = lambda text: None,
) -> Evaluation:
    """Score `samples` draws of a run's checkpoint and weights, and keep it in metrics.json.

    metrics: names of metrics or their aliases; all that apply if none is named.
    reference: another source of real data than the run's own. extractor: see `extractor_for`.
    seed: of the samples and of the bootstrap, of `resamples` resamples.

    The same call gives the same scores and the same file. Raises SettingError for a metric that is
    unknown, or named but not applicable; DataError if the data cannot be opened.
    """
    if samples < 2:
        raise SettingError(f"--samples {samples}: give at least 2")
    if seed < 0:
        raise SettingError(f"--seed {seed}: give 0 or more")
    if resamples < 2:
        raise SettingError(f"--resamples {resamples}: give at least 2")
    wanted = parse_metrics(metrics)
    request = EvaluationRequest(run, wanted, samples, reference, extractor, seed, resamples, say)
    if run.given:
        if extractor is not None:
            raise SettingError("--extractor does not apply to these runs: leave it out")
        scores = (score_pairs if run.domain.paired else score_tags)(request)
    else:
        _check_draws_samples(run, wanted)
        scores = _score_samples(request)
    asked = {"reference": reference, "extractor": extractor}
    record = {
        **metrics_file.about_run(run, seed, scores.count, resamples),
        "images": scores.images,
        "extractor": scores.extractor,
        "reference": scores.reference.record(),
        "metrics": [result.record() for result in scores.results],
        "asked": {k: v for k, v in asked.items() if v is not None} or None,
        "complete": not wanted,
    }
    metrics_file.write_evaluation(run, record)
    return Evaluation(scores.results, scores.left_out, record)


def parse_metrics(metrics: Sequence[str]) -> list[str]:
    """Names as the user wrote them -> names of what makes them; none for all.

    Raises SettingError for one that is unknown.
    """
    names = [part for name in metrics for part in name.replace(",", " ").split()]
    if "all" in names:
        return []
    known = (*SCORERS, *CONDITIONAL)
    found = []
    for name in names:
        scorer = scorer_of(name)
        if scorer not in known:
            raise SettingError(
                f"--metrics {describe(name)}: there is no such metric; choose all, "
                f"{', '.join(known)}"
            )
        found.append(scorer)
    return found


def find_evaluation(
    run: Run,
    metrics: Sequence[str],
    samples: int,
    reference: str | None,
    extractor: str | None,
    seed: int,
) -> dict[str, Any] | None:
    """The entry of metrics.json that `evaluate` would write anew, if it is there.

    Only the run's own reference is known again without opening data, and only the default
    extractor.
    """
    if reference is not None or extractor is not None:
        return None
    wanted = set(parse_metrics(metrics))
    same = (run.step, run.weights, seed, samples, __version__, run.network.sha256, RESAMPLES)
    for entry in metrics_file.read(run.path).evaluations:
        if metrics_file.protocol(entry)[: len(same)] != same or entry.get("asked") is not None:
            continue
        if not wanted and entry.get("complete"):
            return entry
        if wanted and wanted <= {scorer_of(m["name"]) for m in entry["metrics"]}:
            return entry
    return None


def _check_draws_samples(run: Run, metrics: Sequence[str]) -> None:
    if unfit := [name for name in metrics if name in CONDITIONAL]:
        raise SettingError(f"--metrics {unfit[0]} does not apply: the run translates nothing")
    if not run.makes_samples:
        raise SettingError(
            f"{run.path}: the model {run.job.model} makes no samples to score"
            + ("; score its classification with --metrics error" if run.classifies else "")
        )


def _score_samples(request: EvaluationRequest) -> EvaluationScores:
    run, samples = request.run, request.samples
    try:
        reference = reference_for(run.job.settings.data, run.domain, request.reference)
        reference.tell(request.say)
    except DataError as error:
        if request.reference is not None:
            raise
        raise DataError(f"{error}; or name other data of the same kind with --reference") from None
    request.say(f"drawing {samples:,} samples of {request.about}")
    view = View(run.domain, reference.judged.domain.shape)
    inputs = EvaluationInputs(
        view(run.sample(samples, seed=request.seed)),
        reference,
        request.extractor,
        run.energy,
        request.seed,
        request.resamples,
        labels=None if run.classes is None else classes_in_turn(samples, run.classes),
        run=run,
        device=run.engine.device,
    )
    results, left_out = _compute_scores(inputs, request.metrics, request.say)
    used = inputs.extractor_used
    about = None if used is None else used.about
    return EvaluationScores(results, inputs.count, view.description, reference, about, left_out)


def _compute_scores(
    inputs: EvaluationInputs, names: Sequence[str], say: Say
) -> tuple[list[Result], dict[str, str]]:
    """The results of these metrics, or without any of all that apply; and name -> why not."""
    chosen = {name: m for name, m in SCORERS.items() if not names or name in names}
    reasons = {name: scorer.obstacle(inputs) for name, scorer in chosen.items()}
    for name, reason in reasons.items():
        if reason and names:  # told before anything is computed
            raise SettingError(f"--metrics {name} does not apply: {reason}")
        if not names:
            reasons[name] = reason or chosen[name].too_costly(inputs)
    results: list[Result] = []
    for name, scorer in chosen.items():
        if not reasons[name]:
            say(name.replace("_", " "))
            results += scorer.compute(inputs)
    return results, {name: reason for name, reason in reasons.items() if reason}
