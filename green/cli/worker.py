"""One process that serves: patches, imports the application, listens, and runs until a signal.

SIGTERM and SIGINT let calls in flight finish for the grace period; a second one cuts them. Under a
supervisor SIGTERM does the former, however often it comes, and CUT_SIGNAL the latter. A process
that then does not end by itself (a thread of the application's goes on, a call blocks in C) is
ended.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from green import _core, debug, patch
from green.cli.binding import Listener
from green.cli.errors import StartError
from green.cli.loader import load
from green.cli.logs import AccessLog, log
from green.cli.options import ServeOptions
from green.cli.supervisor import CUT_SIGNAL

END_SECONDS = 2.0  # From the end of the calls to that of the process; less than CUT_SECONDS.


class Stopped(BaseException):
    """A signal came while the application was being imported: there is nothing to finish."""


class Worker:
    """`supervised`: a supervisor hears SIGINT, and says what to do."""

    def __init__(
        self,
        options: ServeOptions,
        listeners: Sequence[Listener],
        access_log: AccessLog,
        *,
        supervised: bool = False,
    ) -> None:
        self._options = options
        self._listeners = listeners
        self._access_log = access_log
        self._supervised = supervised
        self._server: _core.Server | None = None
        self._finishing = False
        self._stopped = False

    def run(self, ready: Callable[[], None]) -> int:
        """Serves until a signal; `ready` is called once connections are accepted."""
        if self._supervised:
            signal.signal(signal.SIGTERM, self._finish)
            signal.signal(CUT_SIGNAL, self._cut)
        else:
            signal.signal(signal.SIGTERM, self._finish_or_cut)
            signal.signal(signal.SIGINT, self._finish_or_cut)
        debug.on_signal()  # An application that wants SIGUSR2 for itself takes it.
        try:
            _core.set_stack_bytes(self._options.stack_size)  # Before anything makes a green.
            self._make_hub()
            if not self._options.no_patch:
                for message in patch.install():
                    log("warning", message)
            app = load(self._options.app)
            if self._stopped:
                raise Stopped  # The application's own code has caught the first.
            for listener in self._listeners:
                listener.listen(self._options.backlog)
            self._server = self._make_server(app)
            log("info", _core.hub_reason())
            ready()
        except Stopped:
            return 0
        if self._options.watchdog > 0:
            debug.watch_hub(self._options.watchdog)
        self._server.run()
        return 0

    def _make_hub(self) -> None:
        try:
            _core.hub_reason()
        except RuntimeError as error:  # GREENWSGI_HUB asks for what there is not.
            raise StartError(str(error)) from None

    def _make_server(self, app: Any) -> _core.Server:
        options = self._options
        return _core.Server(
            app,
            [listener.socket.detach() for listener in self._listeners],
            request_line_bytes=options.request_line_bytes,
            header_count=options.header_count,
            header_bytes=options.header_bytes,
            body_bytes=options.body_bytes,
            header_timeout=options.header_timeout,
            body_timeout=options.body_timeout,
            keep_alive_timeout=options.keep_alive_timeout,
            write_timeout=options.write_timeout,
            connections_max=options.connections_max,
            requests_per_connection=options.requests_per_connection,
            server_header=options.server_header,
            access_log=self._access_log.format,
            access_log_fd=self._access_log.fd,
            error_log_fd=2,
            multiprocess=options.workers > 1,
            url_scheme=options.url_scheme,
        )

    def _finish(self, number: int, frame: FrameType | None) -> None:
        if not self._finishing:
            self._finishing = True
            self._stop(self._options.grace)

    def _cut(self, number: int, frame: FrameType | None) -> None:
        self._stop(0.0)

    def _finish_or_cut(self, number: int, frame: FrameType | None) -> None:
        (self._cut if self._finishing else self._finish)(number, frame)

    def _stop(self, grace: float) -> None:
        if self._server is None:
            if self._stopped:
                os._exit(0)
            self._stopped = True
            self._end_after(END_SECONDS)
            raise Stopped
        self._server.stop(grace)
        self._end_after(grace + END_SECONDS)

    def _end_after(self, seconds: float) -> None:
        try:
            _core.exit_after(seconds)
        except OSError as error:  # No thread for it: the end is as ever.
            log("warning", f"a thread that goes on may keep this process: {error}")
