"""Several processes that train one model: each sees its share of the batch, all take one step.

`torchrun` starts them and tells each its rank. Gradients are averaged, codes are gathered for terms
that compare the samples of a batch, and the first rank alone writes. Where batch norm is off, R
ranks with batches of B take the steps of one process with a batch of R·B, up to rounding.
"""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from energan.core import DivergenceError, OtherRankError, SettingError
from energan.io.environment import whole_number

T = TypeVar("T")
MOST_RANKS = 100_000
PATIENCE = timedelta(days=2)
"""How long a rank waits for the others: as long as the first one may take to decode the data.

torchrun notices if a rank dies."""


@dataclass(frozen=True)
class Distributed:
    """Which of how many processes this is."""

    rank: int = 0
    count: int = 1
    side: Any = None  # a group over gloo, for words: asking a GPU would hold it up

    @property
    def share(self) -> tuple[int, int]:
        """(rank, count): which part of each global batch is this process's."""
        return self.rank, self.count

    @property
    def writes(self) -> bool:
        """Whether this is the one process that writes and speaks."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the ranks, in place, in one exchange."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        start = 0
        for t in tensors:
            t.copy_(flat[start : start + t.numel()].view(t.shape))
            start += t.numel()

    def gather(self, rows: Tensor) -> Tensor:
        """The rows (..., B, S) of all ranks as (..., R·B, S), with gradient into this rank's own.

        The gradient is scaled by R, so that the mean over ranks that `average` takes is the
        gradient of a term computed once over all rows.
        """
        return rows if self.count == 1 else _Gather.apply(rows, self.rank, self.count)  # type: ignore[no-untyped-call]

    def agree(self, told: str | None) -> str | None:
        """The name of a signal, if it was told to this rank or to another."""
        if self.count == 1:
            return told
        number = torch.tensor([signal.Signals[told].value if told else 0])
        dist.all_reduce(number, dist.ReduceOp.MAX, group=self.side)
        return signal.Signals(int(number)).name if number else None

    def same(self, value: object) -> bool:
        """Whether `value` is the first rank's on every rank."""
        if self.count == 1:
            return True
        other = torch.tensor([value != self.broadcast(value)], dtype=torch.int32)
        dist.all_reduce(other, dist.ReduceOp.MAX, group=self.side)
        return not other

    def first(self, work: Callable[[], T]) -> T | None:
        """Do `work` on the first rank while the others wait; None for them.

        Raises its error on the first rank; on the others OtherRankError, or DivergenceError again,
        from which all ranks may go back together.
        """
        if self.count == 1:
            return work()
        result, failure = None, None
        if self.writes:
            try:
                result = work()
            except BaseException as error:
                failure = error
        told = self.broadcast(
            (isinstance(failure, DivergenceError), str(failure)) if failure else None
        )
        if failure is not None:
            raise failure
        if told is not None:
            raise (DivergenceError if told[0] else OtherRankError)(told[1])
        return result

    def choose(self, work: Callable[[], T]) -> T:
        """What `work` gives on the first rank, on every rank: a choice that all must share."""
        chosen = self.broadcast(self.first(work))
        return cast(T, chosen)

    def broadcast(self, value: T) -> T:
        """The first rank's `value`, on every rank."""
        if self.count == 1:
            return value
        box: list[Any] = [value if self.writes else None]
        dist.broadcast_object_list(box, src=0, group=self.side)
        return box[0]  # type: ignore[no-any-return]


ALONE = Distributed()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, rank: int, count: int) -> Tensor:
        ctx.rank, ctx.count = rank, count
        parts = [torch.empty_like(rows) for _ in range(count)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts, -2)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        own = slope.chunk(ctx.count, -2)[ctx.rank]
        return own * ctx.count, None, None


def asked_ranks() -> int:
    """How many processes the launcher started; 1 without one."""
    return whole_number("WORLD_SIZE", 1, MOST_RANKS) or 1


def _check_launcher() -> None:
    """Raise SettingError for variables of a launcher that cannot be meant, before any is used."""
    count = asked_ranks()
    whole_number("RANK", 0, count - 1 if count > 1 else MOST_RANKS)
    whole_number("LOCAL_RANK", 0, MOST_RANKS)
    whole_number("MASTER_PORT", 1, 65_535)


def join(device: torch.device) -> Distributed:
    """Meet the other processes that torchrun started: over nccl for GPUs, gloo for CPUs.

    Raises SettingError if the launcher's words are not complete.
    """
    _check_launcher()
    if asked_ranks() == 1:
        return ALONE
    if not dist.is_initialized():
        try:
            if device.type != "cpu":
                torch.accelerator.set_device_index(device)
            backend = dist.get_default_backend_for_device(device)
            dist.init_process_group(backend, timeout=PATIENCE)
        except (ValueError, RuntimeError) as error:
            raise SettingError(
                f"WORLD_SIZE is {asked_ranks()}, but the other ranks cannot be reached ({error}): "
                "start them with torchrun, or unset WORLD_SIZE"
            ) from error
    side = dist.new_group(backend="gloo", timeout=PATIENCE) if device.type != "cpu" else None
    return Distributed(dist.get_rank(), dist.get_world_size(), side)


def leave(patience: timedelta = timedelta(seconds=10)) -> bool:
    """Wait until every rank has said its last word; whether they all came within `patience`.

    torchrun ends the others as soon as one of them has failed.
    """
    if not dist.is_initialized():
        return False
    try:
        over_gloo = dist.get_backend() == "gloo"
        side = None if over_gloo else dist.new_group(backend="gloo", timeout=patience)
        dist.monitored_barrier(side, timeout=patience)
    except RuntimeError:
        return False
    return True
