"""What torch says of the machine's GPU or other accelerator."""

import gc
import os

import torch


def accelerator_memory(device: torch.device) -> int | None:
    """Bytes that an accelerator has free; None of one whose memory is that of the machine."""
    if device.type in ("cpu", "mps", "meta"):
        return None
    return int(torch.accelerator.get_memory_info(device)[0])


def accelerators_of(device: torch.device) -> int:
    """How many processes can each have an accelerator of their own: 1 if `device` names one, 0 for
    the CPU."""
    if device.type == "cpu":
        return 0
    return 1 if device.index is not None else torch.accelerator.device_count()


def variables_of_place(device: torch.device, place: int) -> dict[str, str]:
    """Variables of a process beside others, in this place, from 1: it sees one of several GPUs.

    Empty if there are not several, or `device` names one, which all share then.
    """
    count = accelerators_of(device)
    if device.type != "cuda" or count < 2:
        return {}
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
    return {"CUDA_VISIBLE_DEVICES": seen[(place - 1) % count]}


def free_accelerator_memory() -> None:
    """Give back what nothing uses any more, where there is an accelerator.

    A training holds itself in circles (a hook knows its loop, whose hook it is), which Python frees
    at some later time: it knows nothing of a device's memory.
    """
    if torch.accelerator.is_available():
        gc.collect()
        torch.accelerator.empty_cache()
