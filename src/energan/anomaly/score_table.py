"""All events that are judged together: what they are called, what they scored, what labels say."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path, PurePath

import torch
from torch import Tensor

from energan.anomaly import baselines as simple
from energan.anomaly.calibration import Calibration, Scores, make_finite
from energan.anomaly.detection import (
    ANOMALOUS,
    NEITHER,
    NORMAL,
    NOTHING,
    Detection,
    Wanted,
    check_classes,
    detect,
    interval_of_auroc,
    share_flagged,
    sides_of,
)
from energan.core import Domain, SettingError
from energan.data import DataSet, DataSettings
from energan.data.defect_masks import Defects, Mask
from energan.data.inference import PredictSet, open_images
from energan.data.originals import Original
from energan.data.settings import Layouts
from energan.data.sources.splits import fixed_sample
from energan.io.files import write_csv
from energan.io.text import plural
from energan.metrics.bootstrap import Interval

NAMED = 12
"""Number of classes named in a line."""
Energies = Callable[[DataSet, str], Tensor]
"""A data set, and what a progress bar calls the work -> U (N,)."""


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Events of one or more sources, in the order that the user named them.

    sources: as they were named. skipped: (where, reason). side: int8 (N,), NORMAL, ANOMALOUS, or
    NEITHER where nothing says which class is normal. energy, scores: once they are made.
    """

    sources: tuple[PredictSet, ...]
    skipped: tuple[tuple[str, str], ...]
    side: Tensor
    energy: Tensor | None = None
    calibration: Calibration | None = None

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    def with_energies(self, energies: Energies) -> "ScoreTable":
        parts = [energies(one.data, f"scoring {one.source}") for one in self.sources]
        return replace(self, energy=torch.cat(parts))

    def score(self, energies: Energies, calibration: Calibration) -> "ScoreTable":
        return replace(self.with_energies(energies), calibration=calibration)

    @cached_property
    def scores(self) -> Scores:
        assert self.energy is not None
        assert self.calibration is not None
        return self.calibration.scores(self.energy)

    @cached_property
    def _starts(self) -> list[int]:
        """The row of the first event of each source, and the count of all."""
        return [0, *accumulate(map(len, self.sources))]

    @cached_property
    def names(self) -> list[str]:
        return [name for one in self.sources for name in one.names]

    @cached_property
    def labels(self) -> list[str]:
        """The name of each event's class, "" where it has none."""
        found: list[str] = []
        for one in self.sources:
            rows, names = one.data.labels, one.classes
            labels = [-1] * len(one) if rows is None else rows.tolist()
            found += ["" if i < 0 else names[i] for i in labels]
        return found

    @property
    def labelled(self) -> bool:
        return any(one.data.labels is not None for one in self.sources)

    @property
    def what(self) -> str:
        """The sources, and which part of them."""
        said = {"test": " (test part)", "held-out": " (kept from training)", "all": ""}
        return ", ".join(one.source + said[one.part] for one in self.sources)

    # --- what labels say --------------------------------------------------------------------------

    @cached_property
    def detection(self) -> Detection | None:
        assert self.energy is not None
        return detect(self.energy, self.side)

    @property
    def anomalous_classes(self) -> str:
        """Names of the classes that are anomalous, of those that are there; of many, the first."""
        pairs = zip(self.labels, self.side.tolist(), strict=True)
        names = sorted({name for name, side in pairs if side == ANOMALOUS})
        more = len(names) - NAMED
        return ", ".join(names[:NAMED]) + (f", … {more} more" if more > 0 else "")

    @property
    def auroc_interval(self) -> Interval | None:
        """Of `detection`; None without it, and with too few events, or groups, on a side."""
        assert self.energy is not None
        if self.detection is None:
            return None
        known = (self.side != NEITHER).nonzero().flatten()
        return interval_of_auroc(
            make_finite(self.energy[known]), self.side[known] == ANOMALOUS, self.groups_of(known)
        )

    def share_flagged(self, side: int) -> tuple[float, Interval | None]:
        """Of the events on a side, the share that is called anomalous; its interval is None where
        they are of a single group."""
        rows = (self.side == side).nonzero().flatten()
        return share_flagged(self.scores.anomalous[rows], self.groups_of(rows))

    @cached_property
    def groups(self) -> Tensor | None:
        """int64 (N,): events of one number belong together, each without a group has its own; None
        where no source has groups."""
        if all(one.data.groups is None for one in self.sources):
            return None
        numbers, start = [], 0
        for one in self.sources:
            own = torch.arange(len(one)) if one.data.groups is None else one.data.groups.cpu()
            numbers.append(own.unique(return_inverse=True)[1] + start)
            start += len(one)
        return torch.cat(numbers)

    def groups_of(self, rows: Tensor) -> Tensor | None:
        """The groups of the events at `rows`."""
        return None if self.groups is None else self.groups[rows]

    @property
    def resampled(self) -> str:
        """What intervals resample."""
        if self.groups is None:
            return "images"
        return f"{plural(len(self.groups.unique()), 'group')} of images"

    @property
    def why_no_detection(self) -> str:
        """Why labels give no AUROC, and what would."""
        if bool((self.side == NEITHER).all()):
            return (
                "the images have labels, but none is marked as anomalous: give --anomaly CLASS "
                "or --normal CLASS to compute AUROC"
            )
        missing = "normal" if not bool((self.side == NORMAL).any()) else "anomalous"
        return f"no image is labelled {missing}, so AUROC cannot be computed"

    def overlaps(self, calibration: Calibration) -> int:
        """How many of these very images the threshold was set on, by what they hold, wherever they
        lie; of calibrations of more than MOST_KEPT images, or of earlier versions, only those that
        are known."""
        known = {*calibration.digests}
        return sum(one in known for part in self.sources for one in part.data.digests)

    def baseline_scores(self, baselines: simple.Baselines) -> tuple[Tensor, dict[str, Tensor]]:
        """Rows of at most JUDGED normal and anomalous events each, and what each baseline says of
        them."""
        chosen = []
        for side in (NORMAL, ANOMALOUS):
            there = (self.side == side).nonzero().flatten()
            chosen.append(there[fixed_sample(len(there), simple.JUDGED)])
        rows = torch.cat(chosen)
        made = [
            baselines.energies(self.events(part.tolist())) for part in rows.split(simple.AT_ONCE)
        ]
        return rows, {name: torch.cat([part[name] for part in made]) for name in made[0]}

    def compare(self, baselines: simple.Baselines) -> list[simple.BaselineComparison]:
        """The energy beside baselines."""
        assert self.energy is not None
        rows, scores = self.baseline_scores(baselines)
        return simple.compare(
            self.energy[rows], scores, self.side[rows] == ANOMALOUS, groups=self.groups_of(rows)
        )

    # --- one by one -------------------------------------------------------------------------------

    def worst(self, count: int) -> list[int]:
        """The `count` events of the highest energy, the worst first."""
        assert self.energy is not None
        ranked = make_finite(self.energy)
        order: list[int] = ranked.argsort(descending=True, stable=True)[:count].tolist()
        return order

    def matching(self, patterns: Sequence[str]) -> list[int]:
        """Events whose names end as one of the patterns, as `crack/*.png`. Raises SettingError for
        a pattern that is of none."""
        found = set[int]()
        for pattern in patterns:
            rows = [
                row for row, name in enumerate(self.names)
                if name == pattern or PurePath(name).match(pattern)
            ]  # fmt: skip
            if not rows:
                raise SettingError(
                    f"no scored image has the name {pattern}: give a name from the CSV of --out, "
                    "the end of its path, or a pattern such as crack/*.png"
                )
            found.update(rows)
        return sorted(found)

    def record(self, row: int) -> dict[str, str]:
        """A line of the table."""
        scores = self.scores
        found = {
            "image": self.names[row],
            "energy": f"{float(scores.energy[row]):.6g}",
            "percentile": f"{float(scores.percentile[row]):.2f}",
            "anomalous": "yes" if scores.anomalous[row] else "no",
        }
        return {**found, "label": self.labels[row]} if self.labelled else found

    def line(self, row: int) -> str:
        """The title of a picture."""
        assert self.calibration is not None
        record = self.record(row)
        label = f" [{record['label']}]" if record.get("label") else ""
        verdict = "ANOMALOUS" if record["anomalous"] == "yes" else "normal"
        name = record["image"]
        short = name if len(name) <= 40 else f"…{name[-39:]}"
        energy, threshold = float(self.scores.energy[row]), self.calibration.threshold
        return (
            f"{short}{label}: {verdict}\nenergy {energy:.4g} (image threshold {threshold:.4g}), "
            f"above {record['percentile']} % of normal images"
        )

    def events(self, rows: Sequence[int]) -> Tensor:
        """The events at `rows`, float (n, *event)."""
        parts = []
        for row in rows:
            which = bisect_right(self._starts, row) - 1
            local = torch.tensor([row - self._starts[which]])
            parts.append(self.sources[which].data.gather(local).x)
        return torch.cat(parts)

    def defects(self, row: int) -> Defects | None:
        """Of the event at `row`; None if it has no mask."""
        which = bisect_right(self._starts, row) - 1
        masks = self.sources[which].masks
        return None if masks is None else masks.defects(row - self._starts[which])

    def originals(self, rows: Sequence[int], domain: Domain) -> Iterator[tuple[int, Original]]:
        """The images that the events at `rows` are made of, in any order; those that can no longer
        be read are left out."""
        for start, one in zip(self._starts, self.sources, strict=False):
            local = [row - start for row in rows if 0 <= row - start < len(one)]
            if local and one.originals is not None:
                for i, original in one.originals.read(local, domain):
                    yield start + i, original

    def mask(self, row: int) -> Mask | None:
        """Which pixels of the image at `row` itself are of a defect; None if it has no mask."""
        which = bisect_right(self._starts, row) - 1
        masks = self.sources[which].masks
        return None if masks is None else masks.mask(row - self._starts[which])

    def write_csv(self, path: Path) -> Path:
        """Every event, in the order given."""
        columns = ["image", "energy", "percentile", "anomalous", *["label"] * self.labelled]
        write_csv(path, columns, (self.record(row) for row in range(len(self))))
        return path


def open_score_table(
    sources: Sequence[str],
    settings: DataSettings,
    domain: Domain,
    wanted: Wanted = NOTHING,
    layout: Layouts = "auto",
    masks: Path | None = None,
    groups: str | None = None,
    labels: str | None = None,
) -> ScoreTable:
    """What `sources` hold, for a run with these settings of data, before it is scored.

    layout: how folders among them are read, as `data.layout`. masks: a folder of masks.
    groups: which images belong together, as `data.groups`. labels: a CSV of `file,label` for
    folders, as `data.labels`.

    Raises DataError as `open_images` does, SettingError for classes that are not there.
    """
    found, skipped = open_images(
        sources, settings, domain, labels=labels, layout=layout, masks=masks, groups=groups
    )
    if wanted != NOTHING:
        check_classes(found, wanted)
    sides = []
    for one in found:
        known = sides_of(one, settings.classes, wanted)
        blank = torch.full((len(one),), NEITHER, dtype=torch.int8)
        sides.append(blank if known is None else known)
    return ScoreTable(tuple(found), tuple(skipped), torch.cat(sides))


def detect_left_out(
    energies: Energies, settings: DataSettings, domain: Domain, source: str | None = None
) -> tuple[ScoreTable, Detection]:
    """How well a run finds the classes that it was not trained on, in `source` or its own.

    Raises SettingError if it was trained on all of them, or the source has no labels.
    """
    table = open_score_table([source or settings.source], settings, domain)
    what = table.what
    if not table.labelled:
        raise SettingError(
            f"{what} has no labels: name a labelled source, for example --data mnist"
        )
    if bool((table.side == NEITHER).all()):
        raise SettingError(
            f"it is unknown which classes of {what} are anomalous: give runs that left some out, "
            "for example trained with --data.classes 1 2 3 4 5 6 7 8 9"
        )
    table = table.with_energies(energies)
    if table.detection is None:
        raise SettingError(f"{what}: {table.why_no_detection}")
    return table, table.detection
