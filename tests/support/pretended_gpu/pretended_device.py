"""The Python side of device.cpp: loads it before torch, and answers for the driver.

PRETENDED_LIBRARY: where device.cpp was built. PRETENDED_GPUS: how many devices there are, of which
CUDA_VISIBLE_DEVICES may hide some. PRETENDED_BYTES: what they hold. PRETENDED_LIFETIME: operations
until the context of a process breaks, after which every one fails, as on a GPU.
"""

import ctypes
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

assert "torch" not in sys.modules, "the pretended GPU must be there before torch"
_found = importlib.util.find_spec("torch")
assert _found is not None
ctypes.CDLL(
    str(Path(str(_found.origin)).parent / "lib" / "libtorch_global_deps.so"), ctypes.RTLD_GLOBAL
)
_library = ctypes.CDLL(os.environ["PRETENDED_LIBRARY"])
_library.pretended_live.restype = ctypes.c_int64
_library.pretended_counts.restype = ctypes.c_bool


def _visible(count: int) -> int:
    """How many of them the driver would show."""
    words = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
    return len(list(takewhile(lambda word: word.isdigit() and int(word) < count, words)))


COUNT = _visible(int(os.environ.get("PRETENDED_GPUS", "1")))
_numbers = [COUNT, *(int(os.environ.get(f"PRETENDED_{n}", "0")) for n in ("BYTES", "LIFETIME"))]
_library.pretended_configure(*map(ctypes.c_int64, _numbers))

import torch  # noqa: E402
from torch.autograd.grad_mode import _unsafe_preserve_version_counter  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402


class _Properties:
    name, major, minor, multi_processor_count = "pretended", 9, 0, 132
    total_memory = 100 << 30


def _set_device(device: Any) -> None:
    index = device if isinstance(device, int) else torch.device(device).index or 0
    torch._C._accelerator_setDeviceIndex(index)


def _exchange_device(device: int) -> int:
    before = int(torch._C._accelerator_getDeviceIndex())
    if device >= 0:
        _set_device(device)
    return before


_answers: dict[str, Any] = {
    "is_available": lambda: COUNT > 0,
    "device_count": lambda: COUNT,
    "is_initialized": lambda: True,
    "is_bf16_supported": lambda including_emulation=True: True,
    "_lazy_init": lambda: None,
    "current_device": lambda: torch._C._accelerator_getDeviceIndex(),
    "set_device": _set_device,
    "_exchange_device": lambda device: _exchange_device(device),
    "_maybe_exchange_device": lambda device: _exchange_device(device),
    "get_device_capability": lambda device=None: (9, 0),
    "get_device_properties": lambda device=None: _Properties(),
    "get_device_name": lambda device=None: "pretended",
    "synchronize": lambda device=None: None,
    "empty_cache": lambda: None,
    "mem_get_info": lambda device=None: torch.accelerator.get_memory_info(device),
    "default_generators": tuple(torch.Generator(f"cuda:{i}") for i in range(COUNT)),
}
for _name, _answer in _answers.items():
    setattr(torch.cuda, _name, _answer)
_of_the_driver: dict[str, Any] = {
    "_cuda_getDevice": lambda: torch._C._accelerator_getDeviceIndex(),
    # functions of their own: torch.compile keeps a table of all of them
    "_cuda_setDevice": lambda device: _set_device(device),
    "_cuda_exchangeDevice": lambda device: _exchange_device(device),
    "_cuda_maybeExchangeDevice": lambda device: _exchange_device(device),
}
for _name, _answer in _of_the_driver.items():
    setattr(torch._C, _name, _answer)
_deepcopy = torch.Tensor.__deepcopy__


def _copied(self: torch.Tensor, memo: dict[int, Any]) -> torch.Tensor:
    """A CPU build makes no storage on cuda, which a copy of a buffer asks for."""
    if not self.is_cuda or type(self) is not torch.Tensor:
        return _deepcopy(self, memo)  # type: ignore[no-any-return, no-untyped-call]
    if id(self) not in memo:
        memo[id(self)] = self.detach().clone().requires_grad_(self.requires_grad)
    return memo[id(self)]  # type: ignore[no-any-return]


torch.Tensor.__deepcopy__ = _copied  # type: ignore[method-assign]


@contextmanager
def _uncounted() -> Iterator[None]:
    """Within it nothing is counted."""
    _library.pretended_count(False)
    try:
        yield
    finally:
        _library.pretended_count(True)


class _Graph:
    """A CUDA graph: what was done while it was captured, done again on the same tensors."""

    def __init__(self) -> None:
        self.tape: list[tuple[Any, Any, Any, Any]] = []
        self.generators = list(torch.cuda.default_generators)

    def register_generator_state(self, generator: torch.Generator) -> None:
        self.generators.append(generator)

    @torch.no_grad()
    def replay(self) -> None:
        _library.pretended_note_launch(b"graph")
        known = {id(t): t for t in tree_leaves(self.tape) if isinstance(t, torch.Tensor)}
        with _uncounted(), _unsafe_preserve_version_counter(tuple(known.values())):
            for func, args, kwargs, out in self.tape:
                again = func(*args, **kwargs)
                for own, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                    if isinstance(own, torch.Tensor) and own.data_ptr() != new.data_ptr():
                        own.copy_(new)


class _Capture(TorchDispatchMode):
    """`torch.cuda.graph`: keeps what is done within it, and refuses what a capture refuses."""

    def __init__(self, graph: _Graph, *, capture_error_mode: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = graph

    def __enter__(self) -> Any:
        self.waits = sum(counts()[1].values())
        self.written: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.drawn = [generator.get_state() for generator in self.graph.generators]
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        written = {a.name for a in func._schema.arguments if a.alias_info and a.alias_info.is_write}
        named = dict(zip((a.name for a in func._schema.arguments), args, strict=False))
        for name, given in (named | (kwargs or {})).items():
            for one in tree_leaves(given) if name in written else ():
                self.written.setdefault(id(one), (one, one.clone()))
        out = func(*args, **(kwargs or {}))
        alias = [one.alias_info for one in func._schema.returns]
        if not any(one is not None and not one.is_write for one in alias):  # no view
            self.graph.tape.append((func, args, kwargs or {}, out))
        return out

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        # undo what was done: a capture only writes down
        for generator, state in zip(self.graph.generators, self.drawn, strict=True):
            generator.set_state(state)
        with torch.no_grad():
            for own, before in reversed(self.written.values()):
                with _unsafe_preserve_version_counter(own):
                    own.copy_(before)
        if sum(counts()[1].values()) > self.waits:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")


def _sync_debug_mode(debug_mode: int | str) -> None:
    """Warn, once what is watched is over, if the host waited meanwhile."""
    waited = sum(counts()[1].values())
    if debug_mode == "default" and waited > _watched.pop():
        warnings.warn("called a synchronizing CUDA operation", stacklevel=2)
    elif debug_mode == "warn":
        _watched.append(waited)


_watched: list[int] = []
torch.cuda.CUDAGraph = _Graph  # type: ignore[misc, assignment]
torch.cuda.graph = _Capture  # type: ignore[misc, assignment]
torch.cuda.set_sync_debug_mode = _sync_debug_mode


def limit(size: int) -> None:
    """Let the devices hold so many bytes from now on; 0 for no limit."""
    _library.pretended_configure(ctypes.c_int64(COUNT), ctypes.c_int64(size), ctypes.c_int64(0))


def live() -> int:
    """Bytes that tensors hold on the devices now."""
    return int(_library.pretended_live())


def reset() -> None:
    """Begin to count anew."""
    _library.pretended_reset()


def counts() -> tuple[dict[str, int], dict[str, int]]:
    """(launches by operation, waits of the host by kind) since `reset`."""
    out = ctypes.create_string_buffer(1 << 20)
    assert _library.pretended_counts(out, ctypes.c_int64(len(out)))
    found: dict[str, dict[str, int]] = {"launch": {}, "wait": {}}
    for line in out.value.decode().splitlines():
        kind, name, count = line.split("\t")
        found[kind][name] = int(count)
    return found["launch"], found["wait"]
