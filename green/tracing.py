"""A trace of the scheduling: what each green did and when, for Perfetto and chrome://tracing.

The file is in the Trace Event format: a track for each green with what it ran and what it waited
for, and one for each hub. A process that is killed leaves a file that lacks only its end.
"""

from __future__ import annotations

import os
import sys
from typing import Self

from green import _core


class trace:
    """Traces the greens of all threads of the process into the file `path`, which is replaced.

    A context manager; or call start() and stop(). "%p" in the path is the number of the process;
    with it, a forked child goes on into a file of its own, and without it the child is not traced.
    One trace at a time: RuntimeError. OSError: the file cannot be written. Never switches.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fsdecode(path)
        self._running = False

    def start(self) -> Self:
        """Begin the file."""
        path = self._path.replace("%p", str(os.getpid()))
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC  # The trace cuts it off, when it begins.
        _core.start_trace(os.open(path, flags, 0o666), " ".join(sys.argv[:1]) or "python")
        self._running = True
        if "%p" in self._path:
            _continued.append(self)
        return self

    def stop(self) -> None:
        """Complete the file, in at most a second. Does nothing when it has been stopped."""
        if not self._running:
            return
        self._running = False
        if self in _continued:
            _continued.remove(self)
        _core.stop_trace()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()


_continued: list[trace] = []  # The one that runs, if its children are to go on with it.


def _continue_in_child() -> None:
    those = _continued[:]
    _continued.clear()  # start() puts them back.
    for each in those:
        each.start()


os.register_at_fork(after_in_child=_continue_in_child)


def start_from_environment() -> None:
    """Trace until the process ends, when GREEN_TRACE names a file."""
    path = os.environ.get("GREEN_TRACE")
    if path:
        try:
            trace(path).start()
        except OSError as error:
            error.add_note(f"GREEN_TRACE={path} asks for a trace there")
            raise
