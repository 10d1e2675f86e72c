"""`greenwsgi serve`: from options to one serving process or several."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Sequence

from green import __version__
from green.cli.binding import open_listeners
from green.cli.errors import StartError, UsageError
from green.cli.logs import log, open_access_log, redirect_error_log, set_level
from green.cli.options import ServeOptions
from green.cli.supervisor import Supervisor
from green.cli.worker import Worker


def serve(options: ServeOptions) -> int:
    """Serves until a signal; returns the exit status."""
    _fill_standard_descriptors()
    _enter(options)
    several = options.workers > 1
    ready_fd = ReadyFd(options.ready_fd)
    redirect_error_log(options.error_log_file)
    set_level(options.log_level)
    _allow_descriptors(2 * options.connections_max + 1000)  # A call may open one of its own.
    access_log = open_access_log(options.access_log, options.access_log_file)
    listeners = open_listeners(
        options.bind, options.backlog, reuse_port=several, unix_mode=options.unix_mode
    )
    try:
        announce = _announcement(ready_fd, [listener.url for listener in listeners])
        if not several:
            return Worker(options, listeners, access_log).run(announce)

        def work(ready: Callable[[], None]) -> int:
            ready_fd.close()  # The supervisor has it.
            own = [listener.clone() for listener in listeners]
            return Worker(options, own, access_log, supervised=True).run(ready)

        supervisor = Supervisor(
            options.workers, work, grace=options.grace, log=log, all_ready=announce
        )
        return supervisor.run()
    finally:
        for listener in listeners:
            listener.close()


def _fill_standard_descriptors() -> None:
    """Whoever closed 0, 1 or 2 must not find a connection there, and what is printed in it."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # The lowest number that is free is this one.


def _enter(options: ServeOptions) -> None:
    if options.chdir is not None:
        try:
            os.chdir(options.chdir)
        except OSError as error:
            raise UsageError(f"--chdir: cannot enter {options.chdir!r}: {error.strerror}") from None
    os.environ.update(options.env)
    time.tzset()  # It may have been TZ.


def _allow_descriptors(wanted: int) -> None:
    """Raises the soft limit as far as the hard one goes: it is 1024 where nobody has set it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        log("warning", f"open descriptors stay limited to {soft} (ulimit -n): {error}")


class ReadyFd:
    """The descriptor of --ready-fd: told once, then closed."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        if fd is not None:
            try:
                os.fstat(fd)
            except OSError:
                raise StartError(f"--ready-fd: descriptor {fd} is not open") from None
            if fd > 2:
                os.set_inheritable(fd, False)

    def say(self, line: str) -> None:
        if self._fd is not None:
            try:
                os.write(self._fd, os.fsencode(line))
            except OSError as error:
                log("warning", f"--ready-fd: cannot write to {self._fd}: {error.strerror}")
        self.close()

    def close(self) -> None:
        if self._fd is not None:
            if self._fd <= 2:  # A connection must not get its number, and with it what is printed.
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, self._fd)
                os.close(null)
            else:
                os.close(self._fd)
        self._fd = None


def _announcement(ready_fd: ReadyFd, urls: Sequence[str]) -> Callable[[], None]:
    """What is said once, when connections are accepted."""

    def announce() -> None:
        log("info", f"greenwsgi {__version__} on Python {sys.version.split()[0]}")
        for url in urls:
            log("info", f"listening on {url}")
        ready_fd.say(f"ready {' '.join(urls)}\n")

    return announce
