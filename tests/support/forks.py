"""Processes that begin at once: forked of this one, which has imported what takes them seconds.

They stand for `python -m energan …` where the command, its signals and its end are tested, and not
how Python starts. Some tests of each kind still start Python.
"""

import asyncio
import gc
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

LATE = (
    "matplotlib.backends.backend_agg", "matplotlib.figure", "scipy.stats", "sklearn.datasets",
    "torch._dynamo",
)  # fmt: skip
"""What commands import late, the last for any optimiser: before a fork, lest each does it."""
AT_ONCE = sys.platform == "linux"
"""Elsewhere a fork may not be used so freely, and Python is started."""
POLL = 0.01
"""Seconds between looks at a process."""


class Process:
    """A fork that runs a function and ends with its exit code; used as `subprocess.Popen` is.

    session: whether it leads one of its own. stdin, stdout, stderr: file descriptors, /dev/null for
    those not given. variables: all of its environment, if given.
    """

    def __init__(
        self, command: Callable[[], object], *, session: bool = False, stdin: int | None = None,
        stdout: int | None = None, stderr: int | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.returncode: int | None = None
        for module in LATE:
            import_module(module)
        with warnings.catch_warnings():
            # the threads of this process are pytest's own, and hold nothing that a test needs
            warnings.filterwarnings("ignore", ".*is multi-threaded", DeprecationWarning)
            self.pid = os.fork()
        if not self.pid:
            _end_with(command, session, (stdin, stdout, stderr), variables)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float = 120) -> int:
        """The exit code, negative for a signal."""
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(POLL)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _end_with(
    command: Callable[[], object], session: bool, streams: Sequence[int | None],
    variables: Mapping[str, str] | None,
) -> None:  # fmt: skip
    """In the child: be as a new process, run the command, and end."""
    code: object = 1
    try:
        gc.freeze()  # what is forgotten here closes no file by a number that is another's by then
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if session:
            os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number, given in enumerate(streams):
            os.dup2(nowhere if given is None else given, number)
        # pipes, whose ends tell that a process is gone; libraries may still close what they opened
        for number in map(int, os.listdir("/dev/fd")):
            if number > 2 and number != nowhere:
                os.dup2(nowhere, number, inheritable=False)
        if variables is not None:
            os.environ.clear()
            os.environ.update(variables)
            torch.set_num_threads(int(variables.get("OMP_NUM_THREADS", "1")))
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            mode, buffering = "w" if number else "r", 1 if number == 2 else -1
            stream = os.fdopen(number, mode, buffering, closefd=False)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        code = command()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        code = code if isinstance(code, int) else 0 if code is None else 1
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None:  # as where it is closed
                    stream.flush()
            except (OSError, ValueError):
                code = 120  # as Python ends
        os._exit(code)


def run_module(words: Sequence[str]) -> None:
    """What `python -m WORDS` does, here. `ps` shows the last word, cut off, as the command."""
    sys.argv[:] = words
    Path("/proc/self/comm").write_text(words[-1])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def start(
    words: Sequence[str | Path], stdout: Path, stderr: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> "Process | subprocess.Popen[bytes]":  # fmt: skip
    """Start `energan WORDS` in a session of its own; what it prints is added to the files.

    variables: of the environment, beside those of this process.
    """
    if not AT_ONCE:
        return start_python(words, stdout, stderr, variables)
    with stdout.open("a") as out, (stderr or stdout).open("a") as errors:
        return Process(
            partial(run_module, ["energan", *map(str, words)]), session=True, stdout=out.fileno(),
            stderr=errors.fileno(), variables={**os.environ, **(variables or {})},
        )  # fmt: skip


def start_python(
    words: Sequence[str | Path], stdout: Path, stderr: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> "subprocess.Popen[bytes]":  # fmt: skip
    """The same by a Python that is started for it."""
    with stdout.open("a") as out, (stderr or stdout).open("a") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "energan", *map(str, words)], stdout=out, stderr=errors,
            env={**os.environ, **(variables or {})}, start_new_session=True,
        )  # fmt: skip


def run_ranks(
    count: int, words: Sequence[str | Path], said: Path, timeout: float = 240
) -> list[int]:
    """Run `energan WORDS` on so many ranks, which are told of each other as torchrun tells them.

    Returns their exit codes, by rank; what they print is added to the file `said`.
    """
    if count == 1:
        return [start(words, said).wait(timeout)]
    # the port is this process's: another test cannot take it meanwhile
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    ranks = [
        start(words, said, variables={
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "localhost",
            "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True",
        })
        for rank in range(count)
    ]  # fmt: skip
    try:
        return [rank.wait(timeout) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
        del store


class _Awaited:
    """What `asyncio.create_subprocess_exec` gives, as far as `energan.io.processes` uses it."""

    def __init__(self, process: Process, pipe: int | None, stderr: asyncio.StreamReader | None):
        self.process, self.pipe, self.stderr = process, pipe, stderr
        self.pid, self.send_signal = process.pid, process.send_signal

    async def wait(self) -> int:
        while (code := self.process.poll()) is None:
            await asyncio.sleep(POLL)
        if self.pipe is not None:
            os.close(self.pipe)
        return code


async def _create(
    python: str, option: str, *words: str, env: Mapping[str, str], process_group: int,
    stdin: int, stdout: int, stderr: int | None,
) -> _Awaited:  # fmt: skip
    assert (python, option, process_group, stdin) == (sys.executable, "-m", 0, subprocess.PIPE)
    ends, pipe = os.pipe()
    reader, errors = None, {None: 2, subprocess.STDOUT: stdout}.get(stderr)
    if stderr == subprocess.PIPE:
        source, errors = os.pipe()
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(source, "rb")
        )
    process = Process(
        partial(run_module, words), session=True, stdin=ends, variables=env,
        stdout=None if stdout == subprocess.DEVNULL else stdout, stderr=errors,
    )  # fmt: skip
    os.close(ends)
    if reader is not None and errors is not None:
        os.close(errors)
    return _Awaited(process, pipe, reader)


def fork_processes(patch: pytest.MonkeyPatch) -> None:
    """The processes of sweeps and of several seeds are forks."""
    if AT_ONCE:
        patch.setattr(asyncio, "create_subprocess_exec", _create)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `fork_processes`, for one test."""
    fork_processes(monkeypatch)
