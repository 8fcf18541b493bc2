"""The model card of a run: what it is, how to use it, its settings, its scores with provenance."""

import json
from typing import Any

from energan.evaluation import metrics_file
from energan.inference.run import Run
from energan.io.text import number, plural, range_text
from energan.metrics.catalogue import METRICS
from energan.version import __version__

PICTURE = "samples.png"
TEMPLATE = "model_card.md.j2"


def model_card(
    run: Run, config: dict[str, Any], name: str, license: str | None, *, picture: bool
) -> str:
    """README.md of the run's repository. config: as it lies there, without paths of the user's."""
    from huggingface_hub import EvalResult, ModelCardData  # slow, and only needed here

    task, rows = _task(run), _scores(run)
    results = [
        EvalResult(
            task_type=task or "other", dataset_type="other", dataset_name=row["data"],
            metric_type=row["name"], metric_value=row["raw"],
        )
        for row in rows
        if row["raw"] is not None
    ]  # fmt: skip
    header = ModelCardData(
        library_name="energan",
        tags=["energan", "energy-based-model", run.job.model],
        pipeline_tag=task,
        license=license,
        model_name=name.partition("/")[2] if results else None,
        eval_results=results or None,
    )
    data = config["resolved"]["data"]
    made: str = _template().render(
        header=header.to_yaml(),
        name=name,
        run=run,
        data=data,
        data_text=f"{plural(data['events'], 'example')} of {data['name']}",
        energan=config.get("energan") or __version__,
        asked=json.dumps(config["asked"], indent=2),
        settings=json.dumps(config["settings"], indent=2),
        scores=rows,
        logged=_logged(run),
        picture=PICTURE if picture else None,
        calibration=run.calibration,
    )
    return made


def _template() -> Any:
    """Markdown: nothing is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("energan.report", "templates"), undefined=StrictUndefined
    ).get_template(TEMPLATE)


def _task(run: Run) -> str | None:
    """The hub's name of what the run does, where it has one."""
    if len(run.domain.shape) != 3:
        return None
    if run.classifies:
        return "image-classification"
    if run.domain.paired:
        return "image-to-image"
    return "unconditional-image-generation" if run.makes_samples and not run.given else None


def _scores(run: Run) -> list[dict[str, Any]]:
    """Each score of this checkpoint, with the data, samples and seed behind it."""
    stored, rows = metrics_file.read(run.path), []
    own = [e for e in stored.evaluations if e.get("weights_sha256") == run.network.sha256]
    for entry in own:
        reference = entry.get("reference") or {}
        about = f"{reference.get('source', 'its data')}, {reference.get('split', '')} part"
        how = f"{plural(entry.get('samples') or 0, 'sample')}, seed {entry.get('seed')}"
        rows += [
            _row(m["name"], m.get("value"), m.get("low"), m.get("high"), about, how, entry)
            for m in entry["metrics"]
        ]
    for entry in stored.classes:
        if entry.get("weights_sha256") == run.network.sha256:
            about = f"{(entry.get('data') or {}).get('source', 'its data')}, {entry.get('part')}"
            low, high = entry.get("error_interval") or (None, None)
            how = plural(entry.get("count", 0), "example")
            rows.append(_row("error", entry.get("error"), low, high, about, how, entry))
    return rows


def _row(
    name: str, value: float | None, low: Any, high: Any, data: str, how: str, entry: dict[str, Any]
) -> dict[str, Any]:
    return {
        "name": name,
        "raw": value,
        "value": number(value),
        "interval": "" if low is None or high is None else range_text(low, high),
        "better": METRICS[name].better if name in METRICS else None,
        "data": data,
        "how": f"{how}, {entry.get('weights')} weights, energan {entry.get('energan')}",
    }


def _logged(run: Run) -> dict[str, str]:
    """The scores of the checkpoint as training logged them."""
    found = [event for event in run.events("score") if event["step"] == run.step]
    return {
        METRICS[name].title or name: number(value)
        for event in found[-1:]
        for name, value in event.items()
        if name in METRICS
    }
