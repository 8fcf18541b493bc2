"""A studio as a process of its own, and plain requests to it."""

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def studio(folder: Path, *words: str | Path, log: Path) -> Iterator[int]:
    """`energan studio FOLDER` on a free port, which is given."""
    command = [sys.executable, "-m", "energan", "studio", str(folder), "--port", "0"]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, *map(str, words)], stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, "PYTHONWARNINGS": "default"},
        )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert "http://" in line, f"{line}{log.read_text()}"
        yield int(line.partition("http://")[2].partition("/")[0].rpartition(":")[2])
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.communicate(timeout=60)


def ask(
    port: int, path: str, method: str = "GET", body: bytes = b"", **headers: str
) -> tuple[int, bytes]:
    """The path as it is written, which clients would tidy up."""
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        asked.request(
            method, path, body or None, {n.replace("_", "-"): v for n, v in headers.items()}
        )
        answer = asked.getresponse()
        return answer.status, answer.read()
    finally:
        asked.close()
