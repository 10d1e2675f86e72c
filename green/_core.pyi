"""The extension module: what the C++ rooms offer to the package. Not a public interface."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self, final

from _typeshed.wsgi import WSGIApplication

class GreenExit(BaseException):
    """Ends a green thread, quietly."""

@final
class Green:
    """A green thread; made by spawn()."""

    name: str
    @property
    def dead(self) -> bool: ...
    @property
    def number(self) -> int: ...
    @property
    def value(self) -> Any: ...
    @property
    def exception(self) -> BaseException | None: ...
    def join(self, timeout: float | None = None) -> None: ...
    def get(self, timeout: float | None = None) -> Any: ...
    def kill(
        self, exception: type[BaseException] | BaseException = ..., block: bool = False
    ) -> None: ...
    def throw(self, exception: type[BaseException] | BaseException, /) -> None: ...

class Timeout(BaseException):
    """Raises itself, or `exception`, in the green that made it, after `seconds`."""

    def __init__(
        self,
        seconds: float | None = None,
        exception: type[BaseException] | BaseException | bool | None = None,
    ) -> None: ...
    @property
    def pending(self) -> bool: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def exception(self) -> type[BaseException] | BaseException | bool | None: ...
    def start(self) -> None: ...
    def cancel(self) -> None: ...
    @classmethod
    def unstarted(cls, seconds: float, /) -> Self: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool: ...

def spawn(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Green:
    """Start function(*args, **kwargs) in a green thread of its own."""

def sleep(seconds: float = 0) -> None:
    """Let others run for `seconds`; 0: let each have a turn."""

def getcurrent() -> Green:
    """The green thread that calls this; of the main program, its own."""

def set_stack_bytes(size: int, /) -> None:
    """The stack of each green of threads that have none yet."""

def debug_counts() -> dict[str, int]:
    """How many of each thing this thread has; for tests."""

@final
class Server:
    """Serves `app` on listening sockets, whose descriptors it takes over. Times in seconds."""

    def __new__(
        cls,
        app: WSGIApplication,
        listeners: list[int],
        *,
        request_line_bytes: int = ...,
        header_count: int = ...,
        header_bytes: int = ...,
        body_bytes: int = ...,
        header_timeout: float = ...,
        body_timeout: float = ...,
        keep_alive_timeout: float = ...,
        write_timeout: float = ...,
        connections_max: int = ...,
        requests_per_connection: int = ...,
        server_header: str = ...,
        access_log: Literal["common", "combined", "json"] | None = ...,
        access_log_fd: int = ...,
        error_log_fd: int = ...,
        multiprocess: bool = ...,
        url_scheme: str = ...,
        stack_bytes: int = ...,
    ) -> Server: ...
    def run(self) -> None:
        """Serve until stop() has done its work; runs Python's signal handlers promptly."""

    def stop(self, grace: float) -> None:
        """Stop accepting, let calls in flight finish for `grace` seconds. From anywhere."""

    def statistics(self) -> dict[str, int]: ...

def hub_reason() -> str:
    """Which hub runs this thread and why: one sentence."""

def set_log_level(level: str) -> None:
    """Drop lines below this level. Default: info."""

def log(level: str, line: str) -> None:
    """Write a line to the error log, without blocking."""

def patch_all() -> list[str]:
    """Make what blocks cooperative, in place. Returns a message for each group that fell back."""
