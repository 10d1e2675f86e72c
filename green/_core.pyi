"""The extension module: what the C++ rooms offer to the package. Not a public interface."""

from typing import Literal, final

from _typeshed.wsgi import WSGIApplication

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
