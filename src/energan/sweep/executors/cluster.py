"""How a Ray cluster is reached."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from energan.errors import SettingError

FOLDERS = ("ENERGAN_DATA", "ENERGAN_CACHE")
"""Variables that name folders, which every node has under the same path."""
KNOCK = 10.0
"""Seconds that a machine may take to answer."""


@contextmanager
def connected(address: str, cpus: float, gpus: float) -> Iterator[Any]:
    """Within it Ray is connected; gives the module.

    address: "local" starts Ray on this machine, for this process; "auto" is the cluster that this
    machine belongs to; else HOST:PORT. cpus, gpus: what each task will ask for.

    Raises SettingError if Ray is not installed, nothing answers, or no node is that large.
    """
    try:
        import ray
    except ImportError:
        raise SettingError("--ray needs Ray: pip install 'energan[ray]'") from None
    terminates = signal.getsignal(signal.SIGTERM)
    try:
        _join(ray, address, gpus)
        with suppress(ValueError):  # not the main thread, which alone minds signals
            signal.signal(signal.SIGTERM, terminates)  # Ray took it
        _check_size(ray, address, cpus, gpus)
        yield ray
    finally:
        ray.shutdown()


def _join(ray: Any, address: str, gpus: float) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report its use on the web
    variables = {name: os.path.abspath(os.environ[name]) for name in FOLDERS if name in os.environ}
    if not gpus:  # Ray leaves all of them to tasks that asked for none
        variables["CUDA_VISIBLE_DEVICES"] = ""
    # nothing goes through the store of objects; Ray's default is a third of the memory
    small = {"include_dashboard": False, "object_store_memory": 100 << 20}
    try:
        if ":" in address:  # Ray would try for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), KNOCK).close()
        ray.init(
            address,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": variables},
            **(small if address == "local" else {}),
        )
    except (OSError, ValueError, OverflowError, RuntimeError) as error:
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise SettingError(
            f"--ray {address}: no Ray cluster is there ({said.rstrip('.')}); give the HOST:PORT "
            "that `ray start --head` printed, auto on one of its machines, or local"
        ) from None


def _check_size(ray: Any, address: str, cpus: float, gpus: float) -> None:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(n.get("CPU", 0) >= cpus and n.get("GPU", 0) >= gpus for n in nodes):
        there = ", ".join(f"{n.get('CPU', 0):g} and {n.get('GPU', 0):g}" for n in nodes)
        raise SettingError(
            f"--ray {address}: no node has {cpus:g} CPUs and {gpus:g} GPUs for a trial (there are "
            f"{there}); ask for less with --cpus and --gpus, or start a larger node"
        )
