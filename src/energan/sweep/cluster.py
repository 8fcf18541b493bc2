"""A Ray cluster: how it is reached, what its nodes do with a package, how they tell of it."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from energan.core import RunError, SettingError
from energan.sweep.claiming import machine_name
from energan.sweep.folder import SweepFolder
from energan.sweep.setup import Setup
from energan.sweep.trials import Trial
from energan.sweep.work import work

FOLDERS = ("ENERGAN_DATA", "ENERGAN_CACHE")
"""Variables that name folders, which every node has under the same path."""
KNOCK = 10.0
"""Seconds that a machine may take to answer."""


@contextmanager
def connected(address: str, cpus: float, gpus: float) -> Iterator[Any]:
    """Within it Ray is connected; yields the module.

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
    if not gpus:
        variables["CUDA_VISIBLE_DEVICES"] = (
            ""  # Ray leaves all of them to tasks that asked for none
        )
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


class _Board:
    """What tasks tell, until it is read."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def tell(self, *what: Any) -> None:
        self.told.append(what)

    def take(self) -> list[Any]:
        told, self.told = self.told, []
        return told


class Board:
    """Told by tasks, read by the driver, on whose node it stays: another one could be lost."""

    def __init__(self, ray: Any) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        options = {"num_cpus": 0, "max_restarts": -1, "scheduling_strategy": here}
        self.actor = ray.remote(**options)(_Board).remote()
        self.ray = ray

    def take(self) -> list[Any]:
        """What was told since; nothing while it does not answer."""
        with suppress(self.ray.exceptions.RayError):
            return list(self.ray.get(self.actor.take.remote(), timeout=10))
        return []


def task(cwd: str, place: str, records: list[Any], setup: dict[str, Any], board: Any) -> None:
    """On a node: work on the trials of `records` in the folder `place`, and tell the board."""
    import ray

    with suppress(OSError):
        os.chdir(cwd)  # a relative path of data means what it means at the driver
    folder = SweepFolder(place)
    last: list[Any] = []
    if not folder.results.is_dir():
        raise RunError(f"{place} is not there on {machine_name()}")

    def tell(event: dict[str, Any]) -> None:
        last[:] = [board.tell.remote(event, machine_name())]

    work(folder, [Trial.of(record) for record in records], Setup.of(setup), tell)
    if last:
        ray.wait(last, timeout=KNOCK)  # told before it ends; if there is no board, then not


def said(error: Exception) -> str:
    """What went wrong on a node, in a line."""
    lines = str(getattr(error, "cause", None) or error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__
