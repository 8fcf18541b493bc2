"""A Ray cluster: how it is reached, what its nodes do with a package, how they tell of it."""

import os
import signal
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal

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
How = Literal["returned", "lost", "died", "faulty"]
"""How a task ended: by itself; with its node, or withdrawn; its process died; it raised."""


@contextmanager
def connected(address: str, cpus: float, gpus: float) -> Iterator["Cluster"]:
    """Within it Ray is connected.

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
        yield Cluster(ray, cpus, gpus)
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


class _Board:
    """What tasks tell, until it is read. On the driver's node, since another one could be lost."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def tell(self, *what: Any) -> None:
        self.told.append(what)

    def take(self) -> list[Any]:
        told, self.told = self.told, []
        return told


class Cluster:
    """What the executor needs of Ray. ref: what Ray calls a task."""

    def __init__(self, ray: Any, cpus: float, gpus: float) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        board = {"num_cpus": 0, "max_restarts": -1, "scheduling_strategy": here}
        self.ray, self.board = ray, ray.remote(**board)(_Board).remote()
        self.task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(task)

    def send(self, folder: SweepFolder, package: Sequence[Trial], setup: Setup) -> Any:
        """Begin a task that works on a package, as soon as a node has room; its ref."""
        place, records = str(folder.path.absolute()), [trial.record() for trial in package]
        return self.task.remote(os.getcwd(), place, records, setup.record(), self.board)

    def told(self) -> list[tuple[dict[str, Any], str]]:
        """What tasks told since, each with its node; nothing while the board does not answer."""
        with suppress(self.ray.exceptions.RayError):
            return list(self.ray.get(self.board.take.remote(), timeout=KNOCK))
        return []

    def ended(self, refs: Iterable[Any]) -> list[tuple[Any, How, str]]:
        """Of those tasks that ended: ref, how, and why, in a line."""
        all_of = list(refs)
        ready = self.ray.wait(all_of, num_returns=len(all_of), timeout=0)[0] if all_of else []
        return [(ref, *self._how(ref)) for ref in ready]

    def stop(self, refs: Iterable[Any]) -> None:
        """Withdraw tasks; in those that run it is as Ctrl-C."""
        for ref in refs:
            self.ray.cancel(ref, recursive=False)

    def _how(self, ref: Any) -> tuple[How, str]:
        errors = self.ray.exceptions
        try:
            self.ray.get(ref)
            return "returned", ""
        except (errors.NodeDiedError, errors.TaskCancelledError):
            return "lost", ""
        except (errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
            return "died", _said(error)
        except errors.RayError as error:
            return "faulty", _said(error)


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


def _said(error: Exception) -> str:
    lines = str(getattr(error, "cause", None) or error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__
