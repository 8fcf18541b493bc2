"""What the machine does: device, precision, threads. Each chooses itself unless it is set."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import torch
from pydantic import Field
from torch import nn

from energan.core import Config, SettingError
from energan.core.schedules import ESSENTIAL
from energan.io.cores import MOST_THREADS
from energan.io.cores import threads as all_threads
from energan.io.environment import whole_number
from energan.io.memory import free_memory

Network = TypeVar("Network", bound=nn.Module)
Precision = Literal["auto", "bf16", "32", "64"]


class EngineSettings(Config):
    """Where and how the arithmetic is done."""

    device: Annotated[str, ESSENTIAL] = Field("auto", description="auto, cpu, cuda or cuda:N")
    precision: Precision = Field(
        "auto",
        description="auto: bf16 under autocast if the hardware computes it natively, else 32; "
        "32: full precision; 64: for exact comparisons",
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

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.precision == "64" else torch.float32

    def autocast(self) -> AbstractContextManager[object]:
        """Half precision for the networks where the engine uses it; losses upcast themselves."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def seed(self, seed: int) -> None:
        """Set torch's own generators of the CPU and of this device."""
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                torch.cuda.manual_seed(seed)

    def place(self, network: Network) -> Network:
        """`network` on the device, in the weights' type, convolutions in channels-last memory.

        Channels-last is what the convolution kernels want: in the other order they reorder every
        map, forward and backward.
        """
        network.to(self.device, self.dtype)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def free_memory(self) -> int:
        """Bytes that the device still has."""
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[0])
        return free_memory()

    def describe(self) -> dict[str, object]:
        return {"device": str(self.device), "precision": self.precision, "threads": self.threads}


def native_bf16(device: torch.device) -> bool:
    """Whether bf16 products run on units of their own rather than by emulation.

    On a CPU without such units bf16 is a hundred times slower than float32, so AMX or AVX512-BF16
    is asked for, not merely whether the operators exist.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    cpu = torch.cpu
    return any(
        getattr(cpu, name, lambda: False)()
        for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )


def choose(settings: EngineSettings, *, switches: bool = True) -> Device:
    """Resolve "auto" and, with `switches`, set torch's global ones to match.

    Raises SettingError for a device that is not there.
    """
    name = settings.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    place = whole_number("LOCAL_RANK", 0, MOST_THREADS)
    if name == "cuda" and place is not None:
        name = f"cuda:{place}"  # torchrun starts a process for each GPU
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingError(
            f"engine.device: there is no device {name!r}; use auto, cpu or cuda"
        ) from error
    if device.type not in ("cpu", "cuda"):
        raise SettingError(f"engine.device: {name!r} is not supported; use auto, cpu or cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingError("engine.device is cuda, but torch finds no GPU; use cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingError(
            f"engine.device: {name} does not exist; this machine has {torch.cuda.device_count()} "
            "GPUs"
        )
    precision = settings.precision
    if precision == "auto":
        precision = "bf16" if native_bf16(device) else "32"
    threads = settings.threads or all_threads()
    if switches:
        _switch(device, precision, threads)
    return Device(device, precision, threads)


@contextmanager
def torch_globals_kept() -> Iterator[None]:
    """Within it torch's own generators, threads and switches may be set; they are put back."""
    switches: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    threads, tf32 = torch.get_num_threads(), [part.allow_tf32 for part in switches]
    try:
        gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
        with torch.random.fork_rng(gpus):
            yield
    finally:
        torch.set_num_threads(threads)
        for part, allowed in zip(switches, tf32, strict=True):
            part.allow_tf32 = allowed


def _switch(device: torch.device, precision: str, threads: int) -> None:
    torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = precision == "bf16"
        torch.backends.cudnn.allow_tf32 = precision == "bf16"
