"""How many operations a training step launches, and that it reads no number: most small models are
limited by that, on a GPU above all (tests/gpu counts there too)."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from energan.training.loop import Loop
from support.helpers import make_loop, model_case

OPERATIONS = {
    "ebgan": 255, "gan": 170, "ebgan_blog": 315, "dcgan": 146, "ladder": 365, "ebgan_ln": 670,
    "igebm": 480, "r3gan": 500,
}  # fmt: skip
"""Of a step of the smallest network in bf16, at most: a few above what they are. A change that
needs more says why."""


class Count(TorchDispatchMode):
    """Counts what reaches torch's kernels, forward and backward; views launch nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.launched: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        if not func.is_view:
            self.launched[func._schema.name] += 1
        return func(*args, **(kwargs or {}))


def counted(loop: Loop, do: Callable[[], object]) -> Counter[str]:
    """What `do` launches in a step without norms, averages or a new epoch."""
    for _ in range(2):
        loop.advance()
    loop.step = 4
    with Count() as count:
        do()
    return count.launched


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_step_keeps_within_its_operations_and_reads_no_number(name: str) -> None:
    case, data = model_case(name)
    loop = make_loop(case, data, steps=60, dtype="bf16")
    launched = counted(loop, loop.advance)
    assert sum(launched.values()) <= OPERATIONS[name], (sum(launched.values()), launched)
    assert "aten::_local_scalar_dense" not in launched


def test_the_count_sees_backward_passes_and_numbers_read() -> None:
    weight = torch.ones(3, requires_grad=True)
    with Count() as count:
        float((weight.detach() * 2).sum())
        (weight * 2).sum().backward()
    assert count.launched["aten::_local_scalar_dense"] == 1
    assert count.launched["aten::mul"] == 3
