"""Windows and macOS: nothing is asked of the system that only some of them have."""

import ast
import os
import signal
from pathlib import Path
from unittest.mock import Mock

import pytest

import energan
from energan.io import processes

SRC = Path(energan.__file__).parent
MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "termios"}
ATTRIBUTES = {
    "os": {
        "fork", "getuid", "geteuid", "killpg", "mkfifo", "nice", "O_NONBLOCK", "register_at_fork",
        "sched_getaffinity", "setsid", "sysconf", "uname",
    },
    "signal": {
        "SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGSTOP", "SIGUSR1",
        "SIGUSR2", "alarm", "pause", "setitimer",
    },
}  # fmt: skip
"""What Windows lacks. `getattr` with a default is how to ask for it."""
GUARDED = {("io/memory.py", "os.sysconf"), ("io/processes.py", "fcntl")}
"""Behind a `hasattr`, or an `except ImportError`."""


def posix_only(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} & MODULES
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            lacking = ATTRIBUTES.get(node.value.id, set()) & {node.attr}
            found |= {f"{node.value.id}.{name}" for name in lacking}
    return found


def test_nothing_that_windows_lacks_is_used_unguarded() -> None:
    found = {
        (path.relative_to(SRC).as_posix(), name)
        for path in SRC.rglob("*.py")
        for name in posix_only(ast.parse(path.read_text(encoding="utf8")))
    }
    assert found == GUARDED


def test_the_search_finds_what_it_looks_for() -> None:
    text = "import fcntl\nfrom pwd import getpwnam\nos.fork()\ngetattr(os, 'fork', None)"
    assert posix_only(ast.parse(text)) == {"fcntl", "pwd", "os.fork"}


@pytest.mark.parametrize(("system", "sent"), [("nt", []), ("posix", [signal.SIGINT])])
def test_ctrl_c_is_passed_on_where_the_console_does_not(
    monkeypatch: pytest.MonkeyPatch, system: str, sent: list[signal.Signals]
) -> None:
    process = Mock()
    monkeypatch.setattr(processes, "os", Mock(wraps=os))
    monkeypatch.setattr(processes.os, "name", system)
    processes._send(process, signal.SIGINT)
    assert [call.args[0] for call in process.send_signal.call_args_list] == sent
    processes._send(process, signal.SIGTERM)
    assert process.send_signal.call_args.args == (signal.SIGTERM,)
