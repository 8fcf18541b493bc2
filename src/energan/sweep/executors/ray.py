"""Trials as tasks of a Ray cluster, whose nodes share the sweep's folder.

Ray itself tries a task again whose node was lost or whose process died.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from energan.errors import RunError, SettingError
from energan.sweep import executors
from energan.sweep.display import Display
from energan.sweep.executors import DEATHS, POLL, Package, Pool
from energan.sweep.store import SweepFolder, TrialOptions

FOLDERS = ("ENERGAN_DATA", "ENERGAN_CACHE")
"""Variables that name folders, which every node has under the same path."""
KNOCK = 10.0
"""Seconds that a machine may take to answer."""
AHEAD = 4
"""Tasks at Ray, for each that the cluster has room for: so an autoscaler sees that room lacks."""


class DiedError(Exception):
    """A trial's process died. Ray tries its task again."""


def run(
    folder: SweepFolder, packages: Sequence[Package], options: TrialOptions, display: Display,
    *, address: str, cpus: float = 1.0, gpus: float = 0.0,
) -> str | None:  # fmt: skip
    """Work on the packages, each a task with its share of a node, until all have a record.

    address: see `connected`. Returns the signal that stopped it, None if none did; SIGINT and
    SIGTERM let each task save what it trains. Raises SettingError if there is no such cluster,
    RunError if one of its nodes cannot work.
    """
    options, pool = replace(options, threads=max(1, int(cpus))), Pool()

    async def attempt(package: Package, place: int) -> tuple[int, str]:
        words, log = executors.words_of(folder, package, options), folder.logs.absolute()
        ref = task.remote(os.getcwd(), str(log / f"{package[0].id}.txt"), words)
        # in a task that runs a cancellation is as Ctrl-C
        with pool.ending_by(place, lambda number: ray.cancel(ref, recursive=False)):
            while not ray.wait([ref], timeout=0)[0]:
                if (host := folder.host(package[0].id)) is not None:
                    display.begin([trial.id for trial in package], host)
                await asyncio.sleep(POLL)
        try:
            ray.get(ref)
        except ray.exceptions.TaskCancelledError:
            return 0, ""
        except ray.exceptions.RayError as error:
            bad = (ray.exceptions.RayTaskError, ray.exceptions.RuntimeEnvSetupError)
            if isinstance(error, bad) and not isinstance(error, DiedError):
                raise RunError(f"a node of the Ray cluster cannot work: {_line(error)}") from None
            return DEATHS, f" ({_line(error)})"
        return 0, ""

    with connected(address, cpus, gpus) as ray:
        task = ray.remote(
            num_cpus=cpus, num_gpus=gpus, max_retries=DEATHS - 1, retry_exceptions=[DiedError]
        )(work)
        there, each = ray.cluster_resources(), {"CPU": cpus, "GPU": gpus}
        room = min(there.get(name, 0) / of for name, of in each.items() if of)
        at_once = AHEAD * max(1, int(room))
        return executors.run_packages(pool, folder, packages, options, display, at_once, attempt)


def work(cwd: str, log: str, words: Sequence[str]) -> None:
    """On a node: the process of a package. Raises DiedError if it dies."""
    with suppress(OSError):
        os.chdir(cwd)  # a relative path of data means what it means at the driver
    if not Path(log).parent.is_dir():
        raise RunError(f"{Path(log).parent.parent} is not there on {socket.gethostname()}")
    with open(log, "a") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], process_group=0,
            stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        while process.poll() is None:
            time.sleep(POLL)  # a cancellation comes between two looks
    finally:
        process.terminate()
        process.wait()
    if process.returncode not in (0, *executors.STOPPED):
        raise DiedError(f"exit code {process.returncode}: see {log}")


def _line(error: Exception) -> str:
    lines = str(getattr(error, "cause", None) or error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


# --- the cluster ----------------------------------------------------------------------------------


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
