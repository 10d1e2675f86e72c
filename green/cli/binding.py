"""Addresses as people type them, and the sockets that listen there.

A Listener is bound when it is made, so that an address in use is noticed before anything slow
happens, and listens once listen() is called; a Unix socket at once, since nobody could tell it from
a dead server's. What is wrong with an address is one sentence. How connections are served is not
known here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from green.cli.errors import StartError


@dataclass(frozen=True)
class TcpAddress:
    host: str | None  # None: every interface.
    port: int

    def __str__(self) -> str:
        host = self.host or ""
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


@dataclass(frozen=True)
class UnixAddress:
    path: str  # A leading @: in the abstract name space.

    @property
    def name(self) -> str | bytes:
        """As the socket module has it."""
        abstract = self.path.startswith("@")
        return b"\0" + os.fsencode(self.path[1:]) if abstract else self.path

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True)
class InheritedFd:
    fd: int

    def __str__(self) -> str:
        return f"fd:{self.fd}"


SocketAddress = tuple[Any, ...]  # As the socket module has it.
Address = TcpAddress | UnixAddress | InheritedFd


def parse_address(text: str) -> Address:
    """Raises ValueError with the end of a sentence that begins with the option's name."""
    if text.startswith("unix:"):
        if len(text) == len("unix:"):
            raise ValueError("needs a path behind unix:")
        return UnixAddress(text.removeprefix("unix:"))
    if text.startswith("fd:"):
        if not (number := text.removeprefix("fd:")).isdecimal():
            raise ValueError(f"needs a number behind fd:, not {number!r}")
        if len(number) > 9:
            raise ValueError(f"needs the number of a descriptor behind fd:, not {number!r}")
        return InheritedFd(int(number))
    match = re.fullmatch(
        r"(?:(?P<host>\[[0-9a-fA-F:.%\w-]+\]|[^:\[\]/]*):)?(?P<port>\d+)", text, re.ASCII
    )
    if match is None:
        raise ValueError(
            f"needs HOST:PORT, [IPV6]:PORT, PORT, :PORT, unix:PATH or fd:N, not {text!r}"
        )
    port = int(match["port"])
    if port > 65535:
        raise ValueError(f"needs a port below 65536, not {port}")
    host = match["host"]
    if host is None:
        return TcpAddress("127.0.0.1", port)
    return TcpAddress(host.strip("[]") or None, port)


class Listener:
    """A bound socket. Workers that share a port each listen on a clone() of it."""

    def __init__(self, bound: socket.socket, url: str, *, reuse_port: bool = False) -> None:
        self.socket = bound
        self.url = url
        self._reuse_port = reuse_port
        self._file: tuple[str, int, int, int] | None = None

    def listen(self, backlog: int) -> None:
        if self.socket.family != socket.AF_UNIX:
            # Accepted sockets inherit it, those too that come before anybody accepts.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket.listen(backlog)
        except OSError as error:
            raise StartError(_why_not(self.url, error)) from None

    def clone(self) -> Listener:
        """Another socket on the same port, or the same socket where the kernel cannot share one."""
        if not self._reuse_port:
            return Listener(self.socket.dup(), self.url)
        own = _bind(self.socket.family, self.socket.getsockname(), reuse_port=True)
        return Listener(own, self.url)

    def owns_file(self, path: str) -> None:
        """The socket's file goes away with the process that made it."""
        made = os.stat(path)
        self._file = (os.path.abspath(path), made.st_dev, made.st_ino, os.getpid())

    def close(self) -> None:
        """Also removes a Unix socket's file, unless it has been replaced or this is a fork."""
        self.socket.close()
        if self._file is None or self._file[3] != os.getpid():
            return
        path, *identity, _ = self._file
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(path)
            if [found.st_dev, found.st_ino] == identity:
                os.unlink(path)


def open_listeners(
    addresses: Iterable[Address],
    backlog: int,
    *,
    reuse_port: bool = False,
    unix_mode: int = 0o666,
) -> list[Listener]:
    """Binds them all, or raises StartError and leaves nothing behind. `backlog`: of Unix
    sockets."""
    with contextlib.ExitStack() as undo:
        addresses = list(addresses)
        inherited: dict[InheritedFd, Listener] = {}
        for address in addresses:  # Before anything gets the number of one that is not open.
            if isinstance(address, InheritedFd):
                _check_is_new(address, address in inherited)
                inherited[address] = _open_inherited(address)
                undo.callback(inherited[address].close)
        opened: list[Listener] = []
        for address in addresses:
            if isinstance(address, TcpAddress):
                _check_is_new(address, _is_bound(address, opened))
                made = _open_tcp(address, reuse_port)
            elif isinstance(address, UnixAddress):
                _check_is_new(address, address.name in [_name(each) for each in opened])
                made = [_open_unix(address, unix_mode, backlog)]
            else:
                made = [inherited[address]]
            for listener in made:
                undo.callback(listener.close)
            opened += made
        undo.pop_all()
        return opened


def _check_is_new(address: Address, known: bool) -> None:
    """Else it would be another process's for the kernel, or, with SO_REUSEPORT, nobody's."""
    if known:
        raise StartError(f"cannot listen on {address}: --bind has it twice")


def _is_bound(address: TcpAddress, opened: list[Listener]) -> bool:
    """Also where one of both is every interface."""
    if address.port == 0:
        return False
    return any(
        family == each.socket.family
        and address.port == _name(each)[1]
        and (sockaddr[0] == _name(each)[0] or {sockaddr[0], _name(each)[0]} & {"0.0.0.0", "::"})
        for family, sockaddr in _resolve(address)
        for each in opened
    )


def _name(listener: Listener) -> Any:
    return listener.socket.getsockname()


def _open_tcp(address: TcpAddress, reuse_port: bool) -> list[Listener]:
    """One listener for each address that the host name stands for."""
    opened: list[Listener] = []
    unavailable: OSError | None = None
    port = address.port
    for family, sockaddr in _resolve(address):
        try:
            target = (sockaddr[0], port, *sockaddr[2:])
            bound = _bind_shared(family, target) if reuse_port else _bind(family, target)
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                unavailable = error  # Such as ::1 of localhost where IPv6 is switched off.
                continue
            for listener in opened:
                listener.close()
            raise StartError(_why_not(str(address), error)) from None
        port = bound.getsockname()[1]  # Port 0: the other families take what the first was given.
        opened.append(Listener(bound, _url(bound), reuse_port=reuse_port))
    if unavailable is not None and not opened:
        raise StartError(_why_not(str(address), unavailable))
    return opened


def _resolve(address: TcpAddress) -> list[tuple[int, SocketAddress]]:
    if address.host is None:
        # Two sockets rather than one for both families, so that no REMOTE_ADDR is ::ffff:1.2.3.4.
        return [(socket.AF_INET, ("0.0.0.0", 0)), (socket.AF_INET6, ("::", 0, 0, 0))]
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else str(error)
        raise StartError(
            f"cannot listen on {address}: there is no address for the name {address.host!r}"
            f" ({reason}); --bind needs a name or address of this machine"
        ) from None
    return list(dict.fromkeys((int(entry[0]), cast("SocketAddress", entry[4])) for entry in found))


def _bind_shared(family: int, sockaddr: SocketAddress) -> socket.socket:
    """A socket that others of SO_REUSEPORT may join, but no other server, not even while none of
    them listens: SO_REUSEADDR would let it."""
    if sockaddr[1] != 0:
        # With SO_REUSEPORT alone a server that runs already would go unnoticed.
        _bind(family, sockaddr).close()
    try:
        return _bind(family, sockaddr, reuse_port=True, reuse_address=False)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        # Connections in TIME_WAIT, of a server that did not share its port.
        return _bind(family, sockaddr, reuse_port=True)


def _bind(
    family: int,
    sockaddr: SocketAddress,
    *,
    reuse_port: bool = False,
    reuse_address: bool = True,
) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if reuse_address:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(sockaddr)
    except OSError:
        made.close()
        raise
    return made


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if bound.family == socket.AF_INET6 else f"http://{host}:{port}"


def _open_unix(address: UnixAddress, mode: int, backlog: int) -> Listener:
    path = address.name
    listener = Listener(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), str(address))
    with contextlib.ExitStack() as undo:
        undo.callback(listener.close)
        try:
            if isinstance(path, str):
                _remove_stale(path)
            listener.socket.bind(path)
            if isinstance(path, str):
                listener.owns_file(path)
                os.chmod(path, mode)  # Nobody can connect yet: it does not listen.
        except OSError as error:
            raise StartError(_why_not(str(address), error)) from None
        listener.listen(backlog)
        undo.pop_all()
    return listener


def _remove_stale(path: str) -> None:
    """Removes a socket's file that nobody answers at: its server ended without cleaning up."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise StartError(
            f"cannot listen on unix:{path}: there is a file of that name which is no socket;"
            " remove it, or choose another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # Its queue is full: somebody listens.
        except OSError as error:
            raise StartError(_why_not(f"unix:{path}", error)) from None
    raise StartError(_why_not(f"unix:{path}", OSError(errno.EADDRINUSE, "")))


def _open_inherited(address: InheritedFd) -> Listener:
    try:
        inherited = socket.socket(fileno=address.fd)
    except OSError:
        raise StartError(
            f"cannot listen on {address}: descriptor {address.fd} is not an open socket; the"
            " process that starts greenwsgi must pass it on"
        ) from None
    if inherited.type != socket.SOCK_STREAM:
        inherited.detach()
        raise StartError(f"cannot listen on {address}: it is not a stream socket (TCP or Unix)")
    if _is_connected(inherited):
        inherited.detach()
        raise StartError(f"cannot listen on {address}: it is a connection, not a listening socket")
    inherited.set_inheritable(False)  # A program that the application starts must not keep it open.
    if inherited.family in (socket.AF_INET, socket.AF_INET6):
        return Listener(inherited, _url(inherited))
    name = inherited.getsockname()
    text = os.fsdecode(name)
    return Listener(inherited, "unix:" + (f"@{text[1:]}" if text.startswith("\0") else text))


def _is_connected(each: socket.socket) -> bool:
    try:
        each.getpeername()
    except OSError:
        return False
    return True


def _why_not(address: str, error: OSError) -> str:
    reasons = {
        errno.EADDRINUSE: "another process listens there; stop it, or choose another with --bind",
        errno.EACCES: "permission denied; a port below 1024 needs root or CAP_NET_BIND_SERVICE, a"
        " Unix socket a directory that may be written to",
        errno.EADDRNOTAVAIL: "it is not an address of this machine; 0.0.0.0 or [::] is every one",
        errno.ENOENT: "its directory does not exist",
        errno.ENOTDIR: "its directory is none",
        errno.ENAMETOOLONG: "its path is too long",
        errno.ELOOP: "its path has too many symbolic links",
        errno.EINVAL: "the kernel refuses it; a link-local address needs its interface, as in"
        " [fe80::1%eth0]:8000",
        errno.EROFS: "its file system cannot be written to",
    }
    reason = reasons.get(error.errno or 0, f"{error.strerror or error}")
    return f"cannot listen on {address}: {reason}"
