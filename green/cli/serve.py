"""`greenwsgi serve`: from options to one serving process or several."""

from __future__ import annotations

import os
import resource
import signal
import sys
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
    _enter(options)
    several = options.workers > 1
    _check_ready_fd(options.ready_fd)
    redirect_error_log(options.error_log_file)
    set_level(options.log_level)
    _allow_descriptors(2 * options.connections_max + 1000)  # A call may open one of its own.
    access_log = open_access_log(options.access_log, options.access_log_file)
    listeners = open_listeners(options.bind, reuse_port=several, unix_mode=options.unix_mode)
    try:
        announce = _announcement(options, [listener.url for listener in listeners])
        if not several:
            return Worker(options, listeners, access_log).run(announce)

        def work(ready: Callable[[], None]) -> int:
            own = [listener.clone() for listener in listeners]
            return Worker(options, own, access_log, [signal.SIGTERM]).run(ready)

        supervisor = Supervisor(
            options.workers, work, grace=options.grace, log=log, all_ready=announce
        )
        return supervisor.run()
    finally:
        for listener in listeners:
            listener.close()


def _enter(options: ServeOptions) -> None:
    if options.chdir is not None:
        try:
            os.chdir(options.chdir)
        except OSError as error:
            raise UsageError(f"--chdir: cannot enter {options.chdir!r}: {error.strerror}") from None
    os.environ.update(options.env)


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


def _check_ready_fd(fd: int | None) -> None:
    if fd is not None:
        try:
            os.fstat(fd)
        except OSError:
            raise StartError(f"--ready-fd: descriptor {fd} is not open") from None


def _announcement(options: ServeOptions, urls: Sequence[str]) -> Callable[[], None]:
    """What is said once, when connections are accepted."""

    def announce() -> None:
        log("info", f"greenwsgi {__version__} on Python {sys.version.split()[0]}")
        for url in urls:
            log("info", f"listening on {url}")
        if options.ready_fd is not None:
            os.write(options.ready_fd, f"ready {' '.join(urls)}\n".encode())
            os.close(options.ready_fd)

    return announce
