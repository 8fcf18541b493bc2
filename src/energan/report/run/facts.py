"""What a run is, in words and numbers: its header, its settings, what was resolved."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from energan.anomaly import calibration as calibrations
from energan.io.nested import dotted
from energan.io.text import elapsed, plural
from energan.recipes import RECIPES
from energan.report.run.contents import RunContents

Rows = list[tuple[str, str]]
PRECISIONS = {"32": "float32", "bf16": "bfloat16 under autocast"}


def summary(contents: RunContents) -> str:
    """What its recipe says it is."""
    found = RECIPES.get(contents.config.get("recipe") or "")
    return found.summary if found else f"A run of the model {contents.config['model']}"


def header(contents: RunContents) -> Rows:
    """Recipe, model, state, step, seed, hash, version, duration, threshold."""
    config, settings = contents.config, contents.config["settings"]
    steps = _at(settings, "training", "steps")
    reached = f"{contents.last_step:,}"
    if isinstance(steps, int):
        reached += f" of {steps:,}"
    state = contents.attempt("state", contents.folder.state) or "unknown"
    checkpoint = "none"
    if contents.run is not None:
        kind = "averaged (EMA)" if contents.run.weights == "ema" else "raw"
        checkpoint = f"step {contents.run.step:,}, {kind} weights"
    return [
        ("Recipe", str(config.get("recipe") or "–")),
        ("Model", str(config["model"])),
        ("State", state),
        ("Step", reached),
        ("Checkpoint shown", checkpoint),
        ("Seed", str(_at(settings, "seed", otherwise="–"))),
        ("Time", training_time(contents.events)),
        ("Hash", str(config.get("hash", "–"))),
        ("Version", f"energan {config.get('energan', '–')}"),
        *_threshold(contents),
    ]


def _threshold(contents: RunContents) -> Rows:
    """What `energan score` calls anomalous, of a run that is calibrated."""
    found = contents.attempt("calibration", lambda: calibrations.read(contents.folder.path))
    if found is None:
        return []
    told = f"energy {found.threshold:.5g}, which {found.promise}"
    return [("Anomaly threshold", f"{told}; {found.network}, calibrated on {found}")]


def resolution(contents: RunContents) -> Rows:
    """What was found out when training began: device, data, what a model chose by itself."""
    known = contents.config["resolved"]
    data = known["data"]
    told = [f"{data['events']:,} examples"]
    if data.get("skipped"):
        told.append(f"{data['skipped']} skipped")
    if data["fingerprint"]:
        told.append(f"sha256 {data['fingerprint'][:12]}…")
    rows = [
        ("Device", f"{known.get('device', '–')}, {plural(known['threads'], 'thread')}"),
        ("Precision", PRECISIONS.get(known["precision"], known["precision"])),
        ("Data", f"{data['name']} ({', '.join(told)})"),
        ("Events", _domain(known["domain"])),
    ]
    if "parameters" in known:
        counts = [f"{network} {number:,}" for network, number in known["parameters"].items()]
        rows.append(("Parameters", ", ".join(counts)))
    rows += [(f"Chosen: {what}", why) for what, why in known.get("chosen", {}).items()]
    if known.get("margin"):
        rows.append(("Margin, estimated", _margin(known["margin"])))
    if origin := known["from"]:
        rows.append(("Started from", f"{origin['path']} at step {origin['step']:,}"))
    return rows


def flatten(settings: dict[str, Any]) -> Rows:
    """Nested settings as dotted names with values as text."""
    return [(name, _value_text(value)) for name, value in dotted(settings)]


def differences(runs: Sequence[RunContents]) -> list[tuple[str, list[str]]]:
    """(setting, its value in each run) where the runs do not agree."""
    each = [
        {"recipe": str(m.config.get("recipe") or "–"), "model": str(m.config["model"])}
        | dict(flatten({n: v for n, v in m.config["settings"].items() if n != "output"}))
        for m in runs
    ]
    names = {name: None for settings in each for name in settings}
    rows = [(name, [settings.get(name, "–") for settings in each]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def training_time(events: list[dict[str, Any]]) -> str:
    """How long the run trained, breaks between a stop and a resume left out."""
    times = [e["time"] for e in events if isinstance(e.get("time"), (int, float))]
    begun = {e["time"] for e in events if e["event"] in ("start", "resume") and "time" in e}
    total = 0.0
    for before, after in pairwise(times):
        if after not in begun:
            total += max(after - before, 0.0)
    return elapsed(round(total)) if times else "–"


def _at(settings: Any, *names: str, otherwise: Any = None) -> Any:
    for name in names:
        settings = settings.get(name) if isinstance(settings, dict) else None
    return otherwise if settings is None else settings


def _domain(domain: dict[str, Any]) -> str:
    shape = " × ".join(map(str, domain["shape"]))
    low, high, classes = domain["low"], domain["high"], domain["classes"]
    reach = "unbounded" if low is None else f"in [{low:g}, {high:g}]"
    return f"{shape}, {reach}" + (f", {classes} classes" if classes else "")


def _margin(estimate: dict[str, Any]) -> str:
    text, energy = f"{estimate['margin']:g}", estimate.get("energy")
    if isinstance(energy, (int, float)):
        how = "settled at" if estimate.get("settled", True) else "was still falling at"
        after = f"after {estimate.get('steps')} steps"
        text += f"; of the auto-encoder alone, U {how} {energy:.4g} {after}"
    return text


def _value_text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value)
