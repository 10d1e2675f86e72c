"""A Python console inside a running program, over a socket.

Whoever can connect can do whatever the program can: run any code, read its memory and its secrets.
So it listens on a Unix socket that only its owner may open, and nothing encrypts or asks for a
password. Give it a TCP address only where every user of every machine that reaches it may do that.

    green.spawn(green.backdoor.serve, "/run/shop/console.sock")
    $ socat READLINE UNIX-CONNECT:/run/shop/console.sock        (or: nc -U ...)
"""

from __future__ import annotations

import code
import contextvars
import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from select import POLLIN, POLLOUT
from typing import Any, Self

from green import _core, debug

_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)  # accept() is tried again.

_session: contextvars.ContextVar[_Console | None] = contextvars.ContextVar(
    "green.backdoor", default=None
)


def serve(
    address: str | os.PathLike[str] | tuple[str, int], namespace: Mapping[str, Any] | None = None
) -> None:
    """Serve consoles at `address` until killed: a path (mode 0600), or a (host, port) for TCP.

    Each connection is a green of its own with a copy of `namespace` to work in, which has `green`
    besides. What is printed there, or in greens that are spawned there, goes to the connection.
    Switches; works patched and unpatched. OSError: it cannot listen there.
    """
    names = dict(namespace or {})
    listener = _listen(address)
    debug.observers.add(_core.getcurrent())
    try:
        while True:
            _core.wait_fd(listener.fileno(), POLLIN, None)
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                continue
            except OSError as error:
                if error.errno not in _SCARCE:
                    raise
                _core.sleep(0.1)
                continue
            connection.setblocking(False)
            _core.spawn(_serve_one, connection, dict(names))
    finally:
        debug.observers.discard(_core.getcurrent())
        listener.close()
        if not isinstance(address, tuple):
            with suppress(FileNotFoundError):
                os.unlink(address)


def _listen(address: str | os.PathLike[str] | tuple[str, int]) -> socket.socket:
    if isinstance(address, tuple):
        listener = socket.create_server(address)
    else:
        path = os.fspath(address)
        _remove_stale(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(path)
            os.chmod(path, 0o600)  # Nobody can connect yet: it does not listen.
            listener.listen()
        except OSError as error:
            listener.close()
            if error.errno is not None:  # Else it has a text of its own.
                error.filename = path
            raise
    listener.setblocking(False)
    return listener


def _remove_stale(path: str) -> None:
    """Remove the socket of a program that has ended; one that answers is left to fail bind()."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            pass  # Somebody is there, or it is not ours to look at: bind() will say so.


def _serve_one(connection: socket.socket, namespace: dict[str, Any]) -> None:
    import green

    debug.observers.add(_core.getcurrent())
    namespace.setdefault("green", green)
    with connection:
        console = _Console(connection, namespace)
        _session.set(console)
        _streams.enter()
        try:
            with suppress(SystemExit, ConnectionError):  # exit() ends the session only.
                console.interact(banner=_banner(), exitmsg="")
        finally:
            _streams.leave()


def _banner() -> str:
    return f"Python {sys.version.split()[0]}, process {os.getpid()}; try green.debug.print_greens()"


class _Console(code.InteractiveConsole):
    """Reads from and writes to its connection. Is sys.stdin and sys.stdout of its greens."""

    encoding = "utf-8"
    closed = False

    def __init__(self, connection: socket.socket, namespace: dict[str, Any]) -> None:
        namespace.setdefault("__name__", "__console__")
        super().__init__(namespace, filename="<backdoor>")
        self._connection = connection
        self._unread = b""

    def raw_input(self, prompt: str = "") -> str:
        self.write(prompt)
        line = self.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

    def write(self, data: str) -> int:  # type: ignore[override]
        left = memoryview(data.encode(errors="backslashreplace"))
        while left:
            try:
                left = left[self._connection.send(left) :]
            except BlockingIOError:
                _core.wait_fd(self._connection.fileno(), POLLOUT, None)
        return len(data)

    def readline(self, size: int = -1) -> str:
        while b"\n" not in self._unread:
            _core.wait_fd(self._connection.fileno(), POLLIN, None)
            try:
                piece = self._connection.recv(65536)
            except BlockingIOError:
                continue
            if not piece:
                rest, self._unread = self._unread, b""
                return rest.decode(errors="replace")
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode(errors="replace") + "\n"

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        raise OSError("a backdoor's stream has no descriptor")

    def close(self) -> None:
        """exit() calls this before it raises SystemExit, which ends the session."""

    def display(self, value: object) -> None:
        if value is not None:
            self.locals["_"] = value
            self.write(f"{value!r}\n")


class _Stream:
    """Stands for one of sys's streams while there are sessions: a session's own, else as before."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def __getattr__(self, name: str) -> Any:
        session = _session.get()
        usable = session is not None and session._connection.fileno() != -1
        return getattr(session if usable else self.original, name)

    # What Python looks for in the class.
    def __iter__(self) -> Iterator[str]:
        return iter(self.readline, "")

    def __next__(self) -> str:
        if line := self.readline():
            return str(line)
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Streams:
    """Puts _Streams in place for the first session and takes them away after the last."""

    NAMES = ("stdin", "stdout", "stderr")

    def __init__(self) -> None:
        self._sessions = 0
        self._placed: dict[str, _Stream] = {}

    def enter(self) -> None:
        self._sessions += 1
        if self._sessions > 1:
            return
        self._placed = {name: _Stream(getattr(sys, name)) for name in self.NAMES}
        for name, stream in self._placed.items():
            setattr(sys, name, stream)
        self._prompts = not hasattr(sys, "ps1")
        if self._prompts:  # Else each session takes the prompts of the others along when it ends.
            sys.ps1, sys.ps2 = ">>> ", "... "
        self._display = sys.displayhook
        sys.displayhook = self._show

    def leave(self) -> None:
        self._sessions -= 1
        if self._sessions > 0:
            return
        for name, stream in self._placed.items():
            if getattr(sys, name) is stream:  # Nobody has replaced it meanwhile.
                setattr(sys, name, stream.original)
        if self._prompts:
            del sys.ps1, sys.ps2
        if sys.displayhook == self._show:
            sys.displayhook = self._display

    def _show(self, value: object) -> None:
        session = _session.get()
        if session is None:
            self._display(value)
        else:
            session.display(value)


_streams = _Streams()
