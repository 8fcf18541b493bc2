"""Few labels: whose are kept, and batches of them beside the unlabelled ones."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from energan.core import Batch, DataError, place_seed
from energan.data.batches import Feed
from energan.data.dataset import DataSet
from energan.io.text import plural

LINE = 2**14
"""Number of positions of a seed's order made at once; batches are cut out of them."""


def choose_labelled(
    labels: Tensor,
    classes: int,
    count: int | None,
    seed: int,
    names: Sequence[str] | None = None,
    groups: Tensor | None = None,
) -> Tensor:
    """Rows of the events that keep their labels, int64, ascending: a function of labels and seed.

    labels: int64 (N,), -1 where there is none. As many of each class as `count` allows; of what
    remains one more of some classes. More labels of the same seed are these and others. None keeps
    all that there are. names: of the classes, for messages. groups: int64 (N,), of events that
    belong together: these are then taken in an order of their groups, the same for all classes, so
    that the labels are of few groups, each of them whole but for the last of a class.

    Raises DataError, naming the class, if a class has no label, or fewer than are wanted.
    """
    labels = labels.cpu()
    there = labels.clamp_min(-1).add(1).bincount(minlength=classes + 1)[1:].tolist()
    told = names or tuple(map(str, range(classes)))
    for name, found in zip(told, there, strict=True):
        if not found:
            raise DataError(
                f"class {name} has no labelled training example, and each class needs at least "
                "one: label some, lower data.held_out, or leave the class out (data.classes)"
            )
    if count is None:
        return (labels >= 0).nonzero().flatten()
    if count < classes:
        raise DataError(
            f"data.labelled: {plural(count, 'label')} for {classes} classes: give at least one "
            "per class"
        )
    each, over = divmod(count, classes)
    more = set(_shuffled(seed, "extra", classes)[:over].tolist())
    rows, place = [], None
    if groups is not None:
        kinds, numbers = groups.cpu().unique(return_inverse=True)
        place = _shuffled(seed, "groups", len(kinds))[numbers]
    for k in range(classes):
        wanted = each + (k in more)
        if there[k] < wanted:
            raise DataError(
                f"data.labelled {count}: class {told[k]} has only {plural(there[k], 'label')} "
                f"among the training examples and needs {wanted}: lower data.labelled"
            )
        own = (labels == k).nonzero().flatten()
        order = _shuffled(seed, k, len(own))
        if place is not None:
            order = order[place[own[order]].argsort(stable=True)]
        rows.append(own[order[:wanted]])
    return torch.cat(rows).sort().values


def labelled_events(data: DataSet) -> int:
    """How many training events keep their label."""
    if data.labelled is not None:
        return data.labelled
    return 0 if data.labels is None else int((data.labels >= 0).sum())


def _shuffled(seed: int, what: object, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(place_seed(seed, "labels", what))
    return torch.randperm(size, generator=generator)


class ClassFeed(Feed):
    """Batches of the chosen labelled events of each seed, with their labels.

    One endless line of events, its classes in turn, is cut into batches, so that the classes of any
    batch differ by one event at most. Each class goes through its own events epoch by epoch, in the
    seed's order, so that each is used as often as the others of its class. Batches are numbered,
    and shared by ranks, as those of Feed.
    """

    def __init__(
        self,
        data: DataSet,
        seeds: Sequence[int],
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__(data, seeds, batch_size, dtype, "labelled", conditions=True, share=share)
        assert data.labels is not None
        assert data.domain.classes
        labels, self.classes = data.labels.cpu(), data.domain.classes
        self.rows = [
            choose_labelled(
                labels, self.classes, data.labelled, seed, data.class_names, data.groups
            )
            for seed in seeds
        ]
        self._of_class = [
            [rows[labels[rows] == k] for k in range(self.classes)] for rows in self.rows
        ]
        self._each = max(1, LINE // self.classes)  # of one class in a piece of the line
        self._line = lru_cache(maxsize=2)(self._make_piece)

    def indices(self, step: int, substep: int = 0, substeps: int = 1) -> Tensor:
        """Which events that batch holds: int64 (B,), or (M, B) for M > 1 seeds."""
        rank, ranks = self.share
        start = ((step * substeps + substep) * ranks + rank) * self.batch_size
        end, size = start + self.batch_size, self._each * self.classes
        pieces = []
        while start < end:
            number, offset = divmod(start, size)
            pieces.append(self._line(number)[:, offset : offset + end - start])
            start += pieces[-1].shape[1]
        found = pieces[0] if len(pieces) == 1 else torch.cat(pieces, 1)
        return found[0] if len(self.seeds) == 1 else found

    def _make_piece(self, number: int) -> Tensor:
        """Piece `number` of each member's line, (M, each * K): position p is of class p mod K."""
        start = number * self._each
        lines = [
            torch.stack([self._turns(seed, k, own, start) for k, own in enumerate(rows)], 1)
            for seed, rows in zip(self.seeds, self._of_class, strict=True)
        ]
        return torch.stack(lines).flatten(1).to(self.data.events_device)

    def _turns(self, seed: int, k: int, own: Tensor, start: int) -> Tensor:
        """Which of its events class k gives from its turn `start` on, (each,)."""
        # many epochs of a small class are drawn together: a generator for each would be slow
        epochs = max(1, self._each // len(own))
        first, offset = divmod(start, epochs * len(own))
        last = (start + self._each - 1) // (epochs * len(own))
        parts = []
        for block in range(first, last + 1):
            place = place_seed(seed, "order", self.stream, k, block)
            draws = torch.rand(
                epochs, len(own), generator=torch.Generator().manual_seed(place),
                dtype=torch.float64,
            )  # fmt: skip
            parts.append(own[draws.argsort(dim=1, stable=True)].flatten())
        return torch.cat(parts)[offset : offset + self._each]


class LabelledFeed:
    """(step, substep, substeps) -> Batch(x, labelled=Batch(x_l, condition=labels)).

    x: batches of all training events, the labelled ones among them, in Feed's order. x_l: so many
    (`labelled`) of those that keep their labels, in ClassFeed's. (B, ...), or (M, B, ...) for M > 1
    seeds, each with its own choice of labels, as its single run sees them.

    Raises DataError if a class has too few labels.
    """

    def __init__(
        self,
        data: DataSet,
        seeds: Sequence[int],
        batch_size: int,
        labelled: int,
        dtype: torch.dtype = torch.float32,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.unlabelled = data.feed(seeds, batch_size, dtype, share=share)
        self.labelled = ClassFeed(data, seeds, labelled, dtype, share)

    def __call__(self, step: int, substep: int = 0, substeps: int = 1) -> Batch:
        return Batch(
            self.unlabelled(step, substep, substeps).x,
            labelled=self.labelled(step, substep, substeps),
        )
