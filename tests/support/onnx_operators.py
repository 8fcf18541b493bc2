"""Exports to ONNX that take half as long."""

from collections.abc import Iterator
from copy import copy
from functools import cache
from typing import Any

import pytest


@pytest.fixture(scope="session")
def onnx_operators_listed_once() -> Iterator[None]:
    """torch's exporter lists the operators that it can write anew for each file, which takes half
    of the time of a small network; here each file gets a copy of the first list."""
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        listed = cache(ONNXRegistry.from_torchlib)
    except (ImportError, AttributeError):  # another version of torch keeps it elsewhere
        yield
        return

    def copied(*given: Any, **named: Any) -> Any:
        registry = copy(listed(*given, **named))
        registry.functions = {name: list(ways) for name, ways in registry.functions.items()}
        return registry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(copied))
        yield
