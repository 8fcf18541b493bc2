"""What the machine does: device, precision, threads. Each chooses itself unless it is set."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import Field
from torch import nn

from energan.core import Config, SettingError
from energan.core.accelerators import accelerator_memory, free_accelerator_memory
from energan.core.schedules import ESSENTIAL
from energan.io.cores import MOST_THREADS
from energan.io.cores import threads as all_threads
from energan.io.environment import whole_number
from energan.io.memory import free_memory

Network = TypeVar("Network", bound=nn.Module)
Precision = Literal["auto", "bf16", "32", "64"]
DEVICES = ("cpu", "cuda", "mps", "xpu")
CHOICES = "auto, cpu, cuda, mps, xpu, or cuda:1 for the second GPU"


class EngineSettings(Config):
    """Where and how the arithmetic is done."""

    device: Annotated[str, ESSENTIAL] = Field(
        "auto",
        description="auto (a GPU by CUDA, else the CPU), cpu, cuda, mps, xpu, or cuda:1 for the "
        "second GPU",
    )
    precision: Precision = Field(
        "auto",
        description="auto: bf16 under autocast if the hardware computes it natively, else 32; "
        "32: full precision; 64: for exact comparisons",
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto",
        description="whether to capture training steps as CUDA graphs, which give the same "
        "numbers with fewer launches; auto: on a GPU by CUDA, for models of energan; there is "
        "nothing to capture on other devices",
    )
    threads: int | None = Field(
        None, ge=1, le=MOST_THREADS, description="number of CPU threads; by default all cores"
    )


@dataclass(frozen=True)
class Device:
    """The choices made. `dtype` is that of the weights."""

    device: torch.device
    precision: Literal["bf16", "32", "64"]
    threads: int
    captures: bool = False
    """Whether training steps are captured as CUDA graphs."""

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.precision == "64" else torch.float32

    @property
    def emulates(self) -> bool:
        """Whether it computes in bf16 without units for that, slowly."""
        return self.precision == "bf16" and not native_bf16(self.device)

    def autocast(self) -> AbstractContextManager[object]:
        """Half precision for the networks where the engine uses it; losses upcast themselves."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def seed(self, seed: int) -> None:
        """Set torch's own generators of the CPU and of this device."""
        torch.default_generator.manual_seed(seed)
        if self.device.type != "cpu":
            with torch.accelerator.device_index(self.device.index):
                torch.get_device_module(self.device).manual_seed(seed)

    def place(self, network: Network) -> Network:
        """`network` on the device, in the weights' type, convolutions in channels-last memory.

        Channels-last is what the convolution kernels want: in the other order they reorder every
        map, forward and backward.
        """
        network.to(self.device, self.dtype)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def free_memory(self) -> int:
        """Bytes that the device still has."""
        found = accelerator_memory(self.device)
        return free_memory() if found is None else found

    def describe(self) -> dict[str, object]:
        return {"device": str(self.device), "precision": self.precision, "threads": self.threads}


def native_bf16(device: torch.device) -> bool:
    """Whether bf16 products run on units of their own rather than by emulation.

    On a CPU without such units bf16 is a hundred times slower than float32, so AMX or AVX512-BF16
    is asked for, not merely whether the operators exist.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return device.type == "xpu" and torch.xpu.is_bf16_supported()
    cpu = torch.cpu
    return any(
        getattr(cpu, name, lambda: False)()
        for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )


def choose(settings: EngineSettings, *, switches: bool = True) -> Device:
    """Resolve "auto" and, with `switches`, set torch's global ones to match.

    TF32, which rounds what is to be computed in full precision, is off on every GPU that was chosen
    once. Raises SettingError for a device that is not there.
    """
    device = _device_of(settings.device)
    precision = settings.precision
    if precision == "auto":
        precision = "bf16" if native_bf16(device) else "32"
    threads = settings.threads or all_threads()
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False  # by default it is on
    if switches:
        torch.set_num_threads(threads)
        torch.backends.cudnn.deterministic = True
    captures = settings.compile != "off" and device.type == "cuda"
    return Device(device, precision, threads, captures)


def _device_of(name: str) -> torch.device:
    """The device of this name, of several processes on a machine its own one.

    auto: a GPU by CUDA (or ROCm) if there is one; mps and xpu are for those who name them.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    place = whole_number("LOCAL_RANK", 0, MOST_THREADS)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingError(f"engine.device: there is no device {name!r}; use {CHOICES}") from error
    if device.type not in DEVICES:
        raise SettingError(f"engine.device: {name!r} is not supported; use {CHOICES}")
    if device.type == "cpu":
        return device
    module = torch.get_device_module(device)
    if not module.is_available():
        raise SettingError(
            f"engine.device is {name}, but {_why_missing(device.type)}; use cpu, or leave it unset"
        )
    count = module.device_count()
    if device.index is None and place is not None:
        # torchrun starts a process for each GPU; SLURM may show each task its own alone
        return torch.device(device.type, place % count)
    beside = whole_number("LOCAL_WORLD_SIZE", 1, MOST_THREADS) or 1
    if device.index is not None and beside > 1:
        raise SettingError(
            f"engine.device is {name}, but torchrun started {beside} processes here, each of which "
            f"needs a device of its own: use {device.type}"
        )
    if (device.index or 0) >= count:
        there = f"only {device.type}:0" if count == 1 else f"{device.type}:0 to :{count - 1}"
        raise SettingError(f"engine.device: {name} does not exist; this machine has {there}")
    return device


def _why_missing(kind: str) -> str:
    """Why torch does not see an accelerator of this kind."""
    module: Any = getattr(torch.backends, kind, None)  # xpu has none
    if not (module.is_built() if module is not None else torch.xpu._is_compiled()):
        return f"this build of torch has no {kind} (pytorch.org/get-started has others)"
    if kind == "cuda":
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:  # a driver that is too old, or none
            return f"CUDA cannot start: {str(error).strip().splitlines()[0].rstrip('.')}"
    return "torch finds no such device"


@contextmanager
def torch_globals_kept() -> Iterator[None]:
    """Within it torch's own generators, threads and switches may be set; they are put back."""
    threads, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    try:
        gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
        with torch.random.fork_rng(gpus):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.deterministic = deterministic


@contextmanager
def accelerator_memory_freed() -> Iterator[None]:
    """After it a GPU has the memory again of what was trained within."""
    try:
        yield
    finally:
        free_accelerator_memory()
