"""Frames of videos, in the order in which they are shown."""

import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from energan.data.images.formats.optional import import_optional
from energan.data.images.values import Unreadable
from energan.data.settings import DataSettings
from energan.data.sources.containers.container import Array, Container
from energan.io.files import open_regular

SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
DEEP = 8
"""Bits above which frames are read with 16."""


def open_video(path: Path, settings: DataSettings) -> Container:
    """One frame in `settings.frames_every`. Raises Unreadable, or whatever the library stumbles
    over."""
    av = _av()
    try:
        film = _Film(path)
    except av.FFmpegError as error:
        raise Unreadable(f"it is damaged, or not a video ({error.strerror})") from None
    every = settings.frames_every
    return Container(-(-film.count // every), lambda first, n: film.read(first, n, every))


class _Film:
    """A video that is read from where it was left, or else from its beginning.

    count: of its frames, as far as its packets tell.
    """

    _lock = threading.Lock()
    _current: "_Film | None" = None  # the only one that is open: there may be thousands

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0
        self.frames: Generator[Any, None, None] | None = None
        with open_regular(path) as file, _av().open(file) as found:
            if not found.streams.video:
                raise Unreadable("it has no video stream")
            self.count = sum(1 for packet in found.demux(video=0) if packet.size)
        if not self.count:
            raise Unreadable("it has no frame")

    def read(self, first: int, number: int, every: int) -> list[Array | None]:
        with _Film._lock:
            if _Film._current is not self or self.at > first * every:
                self._begin()
            return [self._frame((first + n) * every) for n in range(number)]

    def _begin(self) -> None:
        if _Film._current is not None:
            _Film._current._close()
        _Film._current, self.at, self.frames = self, 0, self._decode()

    def _close(self) -> None:
        if self.frames is not None:
            self.frames.close()
        self.frames = None

    def _frame(self, place: int) -> Array | None:
        """The frame at `place`; None past the last that can be read."""
        assert self.frames is not None
        found = None
        while self.at <= place:
            found = next(self.frames, None)
            self.at += 1
        if self.at >= self.count:
            _Film._current = None
            self._close()
        return None if found is None else _pixels(found)

    def _decode(self) -> Generator[Any, None, None]:
        av = _av()
        with open_regular(self.path) as file, av.open(file) as found:
            found.streams.video[0].thread_type = "AUTO"
            for packet in found.demux(video=0):
                try:
                    frames = packet.decode()
                except av.FFmpegError:  # what follows may be whole
                    continue
                yield from frames


def _av() -> Any:
    return import_optional("av", "video", "a video")


def _pixels(frame: Any) -> Array:
    """(H, W, C), upright."""
    form = frame.format
    grey, deep = len(form.components) == 1, form.components[0].bits > DEEP
    name = ("gray16le" if deep else "gray") if grey else ("rgb48le" if deep else "rgb24")
    values = frame.to_ndarray(format=name)
    values = values[..., None] if grey else values
    return np.ascontiguousarray(np.rot90(values, round(frame.rotation / 90)))
