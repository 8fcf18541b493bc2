"""The Python side of device.cpp: loads it before torch, and answers for the driver.

PRETENDED_LIBRARY: where device.cpp was built. PRETENDED_GPUS: how many devices there are, of which
CUDA_VISIBLE_DEVICES may hide some. PRETENDED_BYTES: what they hold. PRETENDED_LIFETIME: operations
until the context of a process breaks, after which every one fails, as on a GPU.
"""

import ctypes
import importlib.util
import os
import sys
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
