"""Trials as tasks of a Ray cluster, whose nodes share the sweep's folder.

Ray itself tries a task again whose node was lost or whose process died.
"""

import asyncio
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from energan.errors import RunError, SettingError, describe
from energan.io.processes import POLL, DiedError, Pool, run_until_it_ends
from energan.sweeps.display import SweepDisplay
from energan.sweeps.executors import local
from energan.sweeps.executors.local import DEATHS, Package
from energan.sweeps.store import SweepFolder, TrialOptions

FOLDERS = ("ENERGAN_DATA", "ENERGAN_CACHE")
"""Variables that name folders, which every node has under the same path."""
AHEAD = 4
"""Tasks at Ray, for each that its CPUs have room for: so an autoscaler sees that room lacks."""


def run(
    folder: SweepFolder, packages: Sequence[Package], options: TrialOptions, display: SweepDisplay,
    *, address: str, cpus: float = 1.0, gpus: float = 0.0,
) -> str | None:  # fmt: skip
    """Work on the packages, each a task with its share of a node, until all have a record.

    address: see `connected`. Returns the signal that stopped it, None if none did; SIGINT and
    SIGTERM let each task save what it trains. Raises SettingError if there is no such cluster,
    RunError if one of its nodes cannot work.
    """
    options, pool = replace(options, threads=max(1, int(cpus))), Pool()

    async def attempt(package: Package, place: int) -> tuple[int, str]:
        words, log = local.enqueue(folder, package, options), folder.logs.absolute()
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
            said = str(getattr(error, "cause", None) or error).strip() or type(error).__name__
            why = said.splitlines()[0].rstrip(".:")
            bad = (ray.exceptions.RayTaskError, ray.exceptions.RuntimeEnvSetupError)
            if isinstance(error, bad) and not isinstance(error, DiedError):
                raise RunError(f"a node of the Ray cluster cannot work: {why}") from None
            return DEATHS, f" ({why})"
        return 0, ""

    with connected(address, cpus, gpus) as ray:
        task = ray.remote(
            num_cpus=cpus, num_gpus=gpus, max_retries=DEATHS - 1, retry_exceptions=[DiedError]
        )(run_until_it_ends)
        at_once = AHEAD * max(1, int(ray.cluster_resources()["CPU"] / cpus))
        return local.run_packages(pool, folder, packages, options, display, at_once, attempt)


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
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report its use on the web
    variables = {name: os.path.abspath(os.environ[name]) for name in FOLDERS if name in os.environ}
    if not gpus:  # Ray leaves all of them to tasks that asked for none
        variables["CUDA_VISIBLE_DEVICES"] = ""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        # nothing goes through the store of objects; Ray's default is a third of the memory
        options |= {"include_dashboard": False, "object_store_memory": 100 << 20}
    try:
        if ":" in address:  # Ray would try for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=10.0).close()
        ray.init(address, runtime_env={"env_vars": variables}, **options)
    except (OSError, ValueError, OverflowError, RuntimeError) as error:
        raise SettingError(
            f"--ray {address}: there is no Ray cluster ({describe(error)}); give the HOST:PORT "
            "that `ray start --head` printed, auto on one of its machines, or local"
        ) from None
    try:
        cluster: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        nodes = [node["Resources"] for node in cluster if node["Alive"]]
        sizes = [(node.get("CPU", 0), node.get("GPU", 0)) for node in nodes]
        if not any(own >= cpus and own_gpus >= gpus for own, own_gpus in sizes):
            there = ", ".join(f"{own:g} and {own_gpus:g}" for own, own_gpus in sizes)
            raise SettingError(
                f"--ray {address}: no node has {cpus:g} CPUs and {gpus:g} GPUs for a trial (there "
                f"are {there}); ask for less with --cpus and --gpus, or start a larger node"
            )
        yield ray
    finally:
        ray.shutdown()
