"""Does the energy tell other data from held-out data? It ranks them, and the AUROC says how well.

Other data are the positives: an AUROC above ½ says that they have the higher energies. Below ½ the
energy takes them for more like the data than the data are, as likelihood models do of simpler
images.
"""

import difflib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from energan.anomaly.baselines import JUDGED, Baselines, compare, fit_baselines
from energan.anomaly.calibration import make_finite
from energan.anomaly.detection import interval_of_auroc
from energan.core import DataError, SettingError, describe, place_seed
from energan.data import SOURCES, DataSet
from energan.data.inference import PredictSet, is_same_source, open_images
from energan.data.sources.table_files import HUB
from energan.evaluation.metrics_file import about_run, write_ood
from energan.evaluation.reference import Split, open_judged_part
from energan.evaluation.results import Result, as_record, with_interval
from energan.evaluation.synthetic import KINDS, PAIRED, EventStatistics, synthesise
from energan.inference.conditions import AT_ONCE
from energan.inference.run import Run
from energan.io.console import progress
from energan.io.text import plural
from energan.metrics.bootstrap import Interval
from energan.metrics.detection import auroc, average_precision, fpr_at_tpr

ALL = "all"
SAMPLES = 10_000
INTERVAL = "95%, Wilson's, of as many trials as have the variance of {}"
SHARES = (0.005, *(i / 40 for i in range(1, 40)), 0.995)
"""The quantiles of the energies that are kept, for pictures."""
MORE_LIKE = (
    "AUROC < 0.5: the energy ranks them as MORE like the data than held-out data, as likelihood "
    "models do with simpler images"
)
NO_ORDER = "0.5 lies in the interval: the energy does not tell them from held-out data"
SEEN = "nothing was held out, so other data is compared with training data"
ONE_GROUP = "no interval: all held-out data are of one group, and groups are resampled whole"
Say = Callable[[str], None]


@dataclass(frozen=True)
class OodScores:
    """record: the entry of metrics.json, with the sets that earlier calls put there.

    results: the AUROC of each set that this call was asked for, as `auroc_NAME`.
    """

    record: dict[str, Any]
    names: tuple[str, ...]

    @property
    def sets(self) -> list[dict[str, Any]]:
        """The rows of this call's sets, in its order."""
        rows = {row["name"]: row for row in self.record["sets"]}
        return [rows[name] for name in self.names]

    @property
    def results(self) -> list[Result]:
        return [
            with_interval(
                f"auroc_{row['name']}", row["auroc"], Interval(row["low"], row["high"]),
                self.record["interval"], better="higher", note=row.get("note"),
            )
            if "low" in row
            else Result(f"auroc_{row['name']}", row["auroc"], better="higher", note=row.get("note"))
            for row in self.sets
        ]  # fmt: skip


def out_of_distribution(
    run: Run,
    sets: Sequence[str] = (ALL,),
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    say: Say = lambda text: None,
) -> OodScores:
    """Rank other data among held-out data of the run by energy, and keep it in metrics.json.

    sets: names of synthetic.KINDS, "all" for those that apply to the run's events, or sources of
    data, prepared as the run's own were. samples: events of each, at most, drawn by `seed`.

    The same call gives the same file. Raises SettingError for a set that is unknown or makes no
    sense, or an energy that cannot judge events alone; DataError if data cannot be opened.
    """
    run.check_judges()
    if samples < 2:
        raise SettingError(f"--samples {samples}: give at least 2")
    if seed < 0:
        raise SettingError(f"--seed {seed}: give 0 or more")
    kinds, sources = parse_sets(sets, run)
    opened = {name: open_set(name, run) for name in sources}  # what fails is told before any work
    data, split = _open_held_out(run)
    chosen = _draw_rows(len(data), samples, seed, "held-out")
    say(f"energies of {len(chosen):,} {split} {data.domain.noun}s of {data.name}")
    baselines = _fit_baselines(run, split, say)
    score = partial(_energies, run, baselines)
    own = score(data.name, _batches(data, chosen), len(chosen))
    if data.groups is not None:
        own = replace(own, groups=data.groups[chosen].unique(return_inverse=True)[1])
    if not bool(own.energy.isfinite().all()):
        raise DataError(
            f"{run.path}: energies of its own data are not finite, so it cannot rank other data: "
            "train again"
        )
    rows = [
        *(_synthetic_row(score, name, data, chosen, own, seed, say) for name in kinds),
        *(_source_row(score, name, opened[name], own, samples, seed, say) for name in sources),
    ]
    held_out = {
        "source": data.name, "split": split, "events": len(chosen), "of": len(data),
        "sha256": own.sha256, "mean_energy": float(own.energy.mean()),
        "energies": _quantiles(own.energy), "note": SEEN if split == "training" else None,
    }  # fmt: skip
    record = as_record({
        **about_run(run, seed, samples),
        "interval": _about_intervals(own),
        "shares": list(SHARES),
        "baselines": None if baselines is None else baselines.about,
        "held_out": as_record(held_out),
        "sets": rows,
    })  # fmt: skip
    return OodScores(write_ood(run, record), (*kinds, *sources))


def parse_sets(sets: Sequence[str], run: Run) -> tuple[list[str], list[str]]:
    """Names as the user wrote them -> synthetic sets, in the order of KINDS, and sources.

    A name of KINDS wins over a file of that name. Raises SettingError for what is unknown, does
    not apply to the run's events, or is the run's own data.
    """
    words = list(dict.fromkeys(word for text in sets for word in _split(text)))
    if not words:
        raise SettingError(f"--ood: name {ALL}, {', '.join(KINDS)}, or a data source")
    fitting = [name for name, kind in KINDS.items() if kind.about(run.domain)]
    for word in words:
        if word in KINDS and word not in fitting:
            raise SettingError(
                f"--ood {word} is made of images, and {run.path} was trained on points: for "
                f"points there are {', '.join(fitting)}"
            )
        if word not in (ALL, *KINDS):
            _check_source(word, run, fitting)
    kinds = [name for name in fitting if name in words or ALL in words]
    return kinds, [word for word in words if word not in (ALL, *KINDS)]


def open_set(source: str, run: Run) -> PredictSet:
    """Events of a source, prepared as the run's own: its test part, what it holds out, or all.

    Raises DataError if it cannot be opened, or does not fit the run.
    """
    settings = run.job.settings.data.model_copy(update={"crop": None})  # the box is of its own data
    try:
        groups, _ = open_images([source], settings, run.domain.whole)
    except DataError as error:
        raise DataError(f"--ood {describe(source)}: {error}") from error
    if len(groups[0]) < 2:
        raise DataError(f"--ood {describe(source)} holds a single example: name more data")
    return groups[0]


def _split(text: str) -> list[str]:
    """The parts of a list with commas; one name if there is a file of it."""
    return [text] if Path(text).expanduser().exists() else [p for p in text.split(",") if p]


def _check_source(word: str, run: Run, fitting: Sequence[str]) -> None:
    own = run.job.settings.data.source
    if is_same_source(word, own):
        raise SettingError(
            f"--ood {word} is the data that {run.path} was trained on: name other data (for "
            "classes that a run left out use `energan anomaly`)"
        )
    path = Path(word).expanduser()
    known = word in SOURCES or word.startswith(HUB) or path.exists()
    if known or path.suffix or len(path.parts) > 1:  # of a path the source itself is told
        return
    near = difflib.get_close_matches(word, (ALL, *KINDS, *SOURCES), 2)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise SettingError(
        f"--ood {describe(word)}: there is no such data set; {hint}choose from {ALL}, "
        f"{', '.join(fitting)}, and data sources (`energan data` lists them)"
    )


@dataclass(frozen=True)
class _Energies:
    """energy: float32 (N,); sha256: of the events that have them; baselines: what these say of the
    first JUDGED of them, by name; groups: int64 (N,), which belong together."""

    energy: Tensor
    sha256: str
    baselines: dict[str, Tensor]
    groups: Tensor | None = None


Score = Callable[[str, Iterator[Tensor], int], _Energies]
"""A set's name, its batches and their events, counted -> their energies."""


def _energies(
    run: Run, baselines: Baselines | None, name: str, batches: Iterator[Tensor], count: int
) -> _Energies:
    digest, parts, simple, done = hashlib.sha256(), [], [], 0
    with progress(name, count) as advance:
        for x in batches:
            digest.update(x.contiguous().numpy().data)
            parts.append(run.energy(x))
            if baselines is not None and done < JUDGED:
                simple.append(baselines.energies(x[: JUDGED - done]))
            done += len(x)
            advance(len(x))
    said = {n: torch.cat([part[n] for part in simple]) for n in (simple[0] if simple else ())}
    return _Energies(torch.cat(parts), digest.hexdigest(), said)


def _fit_baselines(run: Run, split: Split, say: Say) -> Baselines | None:
    """None if what they would judge is what they are fitted to, or it cannot be opened."""
    if split == "training":
        return None
    try:
        return fit_baselines(run.job.settings.data, run.domain.whole)
    except DataError as error:
        say(f"no baselines: {error}")
        return None


def _open_held_out(run: Run) -> tuple[DataSet, Split]:
    settings = run.job.settings.data.model_copy(update={"mirror": False})
    if settings.storage == "stream":
        settings = settings.model_copy(update={"storage": "auto"})
    data, split = open_judged_part(settings)
    data = data.whole
    if data.domain.shape != run.domain.whole.shape:
        raise DataError(
            f"{data.name} has examples of shape {data.domain.shape} now, and the run takes "
            f"{run.domain.whole.shape}"
        )
    if len(data) < 2:
        raise DataError(f"{data.name}: its {split} part has too few examples to compare with")
    return data, split


def _draw_rows(count: int, most: int, seed: int, name: str) -> Tensor:
    """At most so many rows, in an order drawn for this set: neighbours in it are unrelated."""
    generator = torch.Generator().manual_seed(place_seed(seed, "outside", name))
    return torch.randperm(count, generator=generator)[:most]


def _batches(data: DataSet, rows: Tensor) -> Iterator[Tensor]:
    """Events of these rows in batches of nearly one length, so that none holds a single event."""
    pieces = torch.tensor_split(rows, -(-len(rows) // AT_ONCE))
    return (data.gather(piece).x.float().cpu() for piece in pieces)


def _synthetic_row(
    score: Score, kind: str, data: DataSet, rows: Tensor, own: _Energies, seed: int, say: Say
) -> dict[str, Any]:
    what = KINDS[kind].about(data.domain)
    say(f"{kind}: {what}")
    other = score(kind, _synthetic(kind, data, rows, seed), len(rows))
    return _row(kind, own, other, {"made": True, "what": what}, paired=kind in PAIRED)


def _source_row(
    score: Score, name: str, found: PredictSet, own: _Energies, samples: int, seed: int, say: Say
) -> dict[str, Any]:
    rows = _draw_rows(len(found), samples, seed, name)
    say(f"{len(rows):,} {found.data.domain.noun}s of {name} ({found.part})")
    for fact in found.data.facts:
        if fact.subject != "train":
            say(f"{name}: {fact}")
    other = score(name, _batches(found.data, rows), len(rows))
    about = {"made": False, "part": found.part, "of": len(found)}
    if found.data.skipped:
        about["unreadable"] = len(found.data.skipped)
    return _row(name, own, other, about)


def _synthetic(kind: str, data: DataSet, rows: Tensor, seed: int) -> Iterator[Tensor]:
    images = len(data.domain.shape) == 3
    points = None if images else torch.cat([*_batches(data, rows)])
    statistics = EventStatistics.of(data.domain, points)
    for place, x in enumerate(_batches(data, rows)):
        generator = torch.Generator().manual_seed(place_seed(seed, "outside", kind, place))
        yield synthesise(kind, x, statistics, generator)


def _row(
    name: str, own: _Energies, other: _Energies, about: dict[str, Any], *, paired: bool = False
) -> dict[str, Any]:
    """One set, as metrics.json takes it; its events are the positives."""
    energy = make_finite(other.energy)
    scores = torch.cat([own.energy.double(), energy])
    outside = torch.cat([torch.zeros(len(own.energy)), torch.ones(len(energy))])
    groups = _groups(own, len(own.energy), len(energy), paired)
    value = auroc(scores, outside)
    ends = interval_of_auroc(scores, outside, groups, paired=paired and groups is None)
    there = other.energy[other.energy.isfinite()]
    note = _about_order(ends)
    return as_record({
        "name": name, **about, "events": len(energy), "sha256": other.sha256,
        "auroc": value, **({} if ends is None else asdict(ends)),
        "average_precision": average_precision(scores, outside),
        "fpr_at_95_tpr": fpr_at_tpr(scores, outside, 0.95),
        "mean_energy": float(there.mean()) if len(there) else None,
        "not_finite": len(energy) - len(there) or None,
        "energies": _quantiles(there), "note": note,
        "baselines": _compare(own, other, paired) or None,
    })  # fmt: skip


def _about_order(ends: Interval | None) -> str | None:
    """What to know of an AUROC with these ends."""
    if ends is None:
        return ONE_GROUP
    return MORE_LIKE if ends.high < 0.5 else NO_ORDER if ends.low <= 0.5 else None


def _compare(own: _Energies, other: _Energies, paired: bool) -> list[dict[str, Any]]:
    """The energy beside each baseline, on the events that both judged."""
    n, m = (min(len(those.energy), JUDGED) for those in (own, other))
    energy = torch.cat([own.energy[:n], other.energy[:m]])
    scores = {name: torch.cat([u, other.baselines[name]]) for name, u in own.baselines.items()}
    groups = _groups(own, n, m, paired)
    found = compare(
        energy, scores, torch.arange(n + m) >= n, paired=paired and groups is None, groups=groups
    )
    return [as_record(asdict(one)) for one in found]


def _groups(own: _Energies, n: int, m: int, paired: bool) -> Tensor | None:
    """Of the first n held-out and m other events: those made of held-out ones belong to their
    groups, any other event is for itself."""
    if own.groups is None:
        return None
    others = own.groups[:m] if paired else int(own.groups.max()) + 1 + torch.arange(m)
    return torch.cat([own.groups[:n], others])


def _about_intervals(own: _Energies) -> str:
    if own.groups is None:
        return INTERVAL.format("DeLong et al. 1988")
    count = int(own.groups.max()) + 1
    return INTERVAL.format(f"a bootstrap over {plural(count, 'group')} of held-out data")


def _quantiles(energy: Tensor) -> list[float] | None:
    if not len(energy):
        return None
    shares = torch.tensor(SHARES, dtype=torch.float64)
    ranks = (shares * (len(energy) - 1)).round().long()
    return [float(value) for value in energy.double().sort().values[ranks]]
