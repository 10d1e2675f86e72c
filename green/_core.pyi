"""The extension module: what the C++ rooms offer to the package. Not a public interface."""

from collections.abc import Callable, Generator, Iterable
from types import FrameType, GenericAlias, TracebackType
from typing import Any, Generic, Literal, Self, TypedDict, TypeVar, final, type_check_only

from _typeshed.wsgi import WSGIApplication
from typing_extensions import disjoint_base

_T = TypeVar("_T")

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
    @property
    def frame(self) -> FrameType | None: ...
    def join(self, timeout: float | None = None) -> None: ...
    def get(self, timeout: float | None = None) -> Any: ...
    def kill(
        self, exception: type[BaseException] | BaseException = ..., block: bool = False
    ) -> None: ...
    def throw(self, exception: type[BaseException] | BaseException, /) -> None: ...
    def link(self, callback: Callable[[Green], object], /) -> None:
        """At its end, or now, call callback(green) in a new green of the same thread."""

    def rawlink(self, callback: Callable[[Green], object], /) -> None:
        """At its end, or now, call callback(green), which must not wait, on whoever's stack."""

    def __await__(self) -> Generator[Any, Any, Any]:
        """In a coroutine: get(), while its asyncio loop goes on."""

    def unlink(self, callback: Callable[[Green], object], /) -> None:
        """Take back one link() or rawlink(); nothing happens when there is none."""

@disjoint_base
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
    def unstarted(
        cls,
        seconds: float | None = None,
        exception: type[BaseException] | BaseException | bool | None = None,
    ) -> Self: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool: ...

@disjoint_base
class Semaphore:
    """Counts what may be taken; greens and native threads wait in one queue."""

    def __init__(self, value: int = 1, *, bounded: bool = False) -> None: ...
    @property
    def value(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take one, in turn; False when none came in `timeout` seconds. May switch."""

    def release(self, n: int = 1) -> None:
        """Give `n` to those who have waited longest. Never switches. ValueError: too many."""

    def rawlink(self, callback: Callable[[Semaphore], object], /) -> None:
        """As soon as one can be taken, call callback(semaphore), which must not wait."""

    def unlink(self, callback: Callable[[Semaphore], object], /) -> None:
        """Take a rawlink() back; nothing happens when there is none."""

    def __enter__(self) -> Literal[True]: ...
    def __exit__(self, *args: object) -> None: ...

@disjoint_base
class Lock:
    """Held by one at a time; greens and native threads wait for it in one line."""

    def __new__(cls) -> Self: ...
    @property
    def waiting(self) -> int: ...
    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Take it, in turn; False when it still was held after `timeout` seconds. May switch."""

    def release(self) -> None:
        """Give it to whoever has waited longest. Never switches. RuntimeError: nobody holds it."""

    def locked(self) -> bool: ...
    def __enter__(self) -> Literal[True]: ...
    def __exit__(self, *args: object) -> None: ...
    def _at_fork_reinit(self) -> None: ...

@disjoint_base
class RLock:
    """Held by one green or native thread at a time, which may take it again."""

    def __new__(cls) -> Self: ...
    @property
    def waiting(self) -> int: ...
    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """As Lock's. May switch."""

    def release(self) -> None:
        """The last gives it to whoever has waited longest. RuntimeError: not the caller's."""

    def locked(self) -> bool: ...
    def __enter__(self) -> Literal[True]: ...
    def __exit__(self, *args: object) -> None: ...
    def _is_owned(self) -> bool: ...
    def _recursion_count(self) -> int: ...
    def _release_save(self) -> int: ...
    def _acquire_restore(self, saved: int, /) -> None: ...
    def _at_fork_reinit(self) -> None: ...

class ShutDown(Exception):
    """put() or get() of a queue that was shut down; queue.ShutDown, where that exists."""

@disjoint_base
class Queue(Generic[_T]):
    """Items from some greens and native threads to others, first in, first out."""

    maxsize: int
    def __init__(self, maxsize: int | None = 0) -> None: ...
    @property
    def unfinished_tasks(self) -> int: ...
    @property
    def is_shutdown(self) -> bool: ...
    def put(self, item: _T, block: bool = True, timeout: float | None = None) -> None:
        """Put `item` in, or hand it to whoever has waited longest. May switch.

        Full: there is no room, or was none in `timeout` seconds. ShutDown.
        """

    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Take an item out, in turn. May switch.

        Empty: there is none, or came none in `timeout` seconds. ShutDown: and there will be none.
        """

    def peek(self, block: bool = True, timeout: float | None = None) -> _T:
        """The item that the next get() would take; as get() otherwise. May switch."""

    def put_nowait(self, item: _T, /) -> None: ...
    def get_nowait(self) -> _T: ...
    def peek_nowait(self) -> _T: ...
    def task_done(self) -> None:
        """An item taken earlier is finished. Never switches. ValueError: more than were put."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all items are finished; False: not in `timeout` seconds. May switch."""

    def shutdown(self, immediate: bool = False) -> None:
        """From now on put() raises ShutDown, and get() when it is empty. Never switches."""

    def rawlink(self, callback: Callable[[Any], object], /) -> None:
        """Call callback(self) once, as soon as a get() would not wait. It must not wait."""

    def unlink(self, callback: Callable[[Any], object], /) -> None:
        """Take back a rawlink(); nothing happens when there is none."""

    def qsize(self) -> int: ...
    def empty(self) -> bool: ...
    def full(self) -> bool: ...
    def getting(self) -> int: ...
    def putting(self) -> int: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> _T: ...
    def __class_getitem__(cls, key: Any, /) -> GenericAlias: ...

class LifoQueue(Queue[_T]):
    """A Queue: last in, first out."""

    def __new__(cls, maxsize: int | None = 0) -> Self: ...

class PriorityQueue(Queue[_T]):
    """A Queue: the least item first."""

    def __new__(cls, maxsize: int | None = 0) -> Self: ...

class Channel(Queue[_T]):
    """A Queue without room: put() waits until its item is taken."""

    def __init__(self) -> None: ...

def spawn(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Green:
    """Start function(*args, **kwargs) in a green thread of its own."""

def spawn_later(
    seconds: float, function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Green:
    """spawn(), but it starts after `seconds`; until then it costs no stack, and may be killed."""

def sleep(seconds: float = 0) -> None:
    """Let others run for `seconds`; 0: let each have a turn."""

def getcurrent() -> Green:
    """The green thread that calls this; of the main program, its own."""

def report_exception(what: str, where: object, /) -> None:
    """Tell of the exception being handled, which nobody waits for."""

def set_stack_bytes(size: int, /) -> None:
    """The stack of each green of threads that have none yet."""

@type_check_only
class Details(TypedDict, total=False):
    state: Literal["running", "ready", "waiting", "not started"]
    spawner: str | None
    thread: int  # What threading.get_ident() shows in the thread's main program.
    age: float  # Seconds.
    since: float  # Since it last ran, in seconds.
    what: str  # It waits for: these three.
    fd: int
    address: int

def greens() -> list[Green]:
    """The greens of all threads that have not ended."""

def green_details(green: Green, /) -> Details | None:
    """What the green does, or None when it has ended."""

def start_trace(fd: int, title: str, /) -> None:
    """Trace all threads to a file, whose descriptor it takes. RuntimeError: there is a trace."""

def stop_trace() -> None:
    """Complete the file."""

def watch_hub(
    seconds: float | None,
    report: Callable[[float, int, int, str | None, bool, FrameType | None], object] | None,
    /,
) -> None:
    """Report hubs that are blocked for longer; None: stop."""

@type_check_only
class HubStatistics(TypedDict):
    hub: str
    running: int
    ready: int
    waiting: int
    not_started: int
    timers: int
    operations: int
    stacks: int
    lag_longest: float
    lag: tuple[int, ...]

def hub_statistics() -> HubStatistics:
    """Figures of the calling thread's hub."""

@type_check_only
class Outlook(TypedDict):
    ready: int
    timers: int
    operations: int
    thrown: int  # Greens that an exception is on its way to.
    parked: int  # Greens that others must wake.
    threads: list[int]  # Native numbers of the threads that have a hub.

def throw_at_wait(
    number: int,
    exception: type[BaseException] | BaseException,
    moment: Literal["begin", "middle", "end"],
    /,
) -> None:
    """For tests: throw `exception` at the number-th wait of this thread's greens from now on, the
    root's not counted; 0: only count. The moment is in the wait: before the hub has its turn, in
    that turn, or when the wait is over and the green about to run."""

def throw_no_more() -> int:
    """How many waits there were since throw_at_wait(), which ends."""

def outlook() -> Outlook:
    """What might make greens go on, in all threads."""

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

def exit_after(seconds: float, /) -> None:
    """End the process after `seconds` with status 0, whatever its threads do, unless it has ended
    by then: from a native thread, without a word to atexit. OSError: there is no thread."""

def set_log_level(level: str, /) -> None:
    """Drop lines below this level. Default: info."""

def log(level: str, line: str, /) -> None:
    """Write a line to the error log, without blocking."""

def patch(groups: Iterable[str], /) -> list[str]:
    """Make what these groups of functions do cooperative, in place.

    Returns a message for each that fell back now. ValueError: there is no such group.
    """

def patch_groups() -> tuple[str, ...]:
    """The names of all groups, in the order of their installation."""

def patch_report() -> dict[str, str]:
    """{group: "in place", or how it fell back and why}, of those patched."""

def take_back(lock: Any, /) -> Any:
    """lock.acquire(), in which nothing that is thrown is raised: it is at the next wait."""

def can_park() -> bool:
    """May the caller wait cooperatively?"""

def enter_blocking() -> None:
    """From here on what blocks blocks the thread, for the caller."""

def leave_blocking() -> None:
    """Take the last enter_blocking() of the caller back. RuntimeError: there is none."""

def park(key: object, timeout: float | None, front: bool, /) -> bool:
    """Wait for unpark(key), as the next in turn if `front`; False when the time is over."""

def unpark(key: object, /) -> None:
    """Wake whoever has waited longest for `key`."""

def wait_fd(fd: int, events: int, timeout: float | None, /) -> bool:
    """Wait for what poll() calls `events`; False when the time is over."""

def call_natively(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call it on a native thread of the pool, and wait cooperatively."""

def native_call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call it on a thread of the pool for the program's own calls, and wait cooperatively."""

def native_start(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
    """Have a thread of that pool call it; nobody waits, an exception is reported."""

def set_native_limits(threads: int, idle_seconds: float, /) -> None:
    """At most so many threads in that pool, which end when idle for so long."""

def native_counts() -> dict[str, int]:
    """How many threads that pool has, how many are idle, how many calls wait for one."""

def current_ident() -> int:
    """threading.get_ident() of the running green."""

def async_exc_address() -> int:
    """The address of a C function to be called instead of PyThreadState_SetAsyncExc."""

def thread_ident() -> int:
    """threading.get_ident() of the native thread."""

@final
class Input:
    """wsgi.input: the body of the request, read as it arrives."""

    def read(self, size: int | None = -1, /) -> bytes: ...
    def readline(self, size: int | None = -1, /) -> bytes: ...
    def readlines(self, hint: int | None = -1, /) -> list[bytes]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> bytes: ...

@final
class ErrorStream:
    """wsgi.errors: the server's error log, line by line."""

    def write(self, text: str, /) -> int: ...
    def writelines(self, texts: Iterable[str], /) -> None: ...
    def flush(self) -> None: ...

@final
class FileWrapper:
    """wsgi.file_wrapper of PEP 3333."""

    def __new__(cls, filelike: Any, blksize: int = 65536) -> FileWrapper: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...
    @property
    def filelike(self) -> Any: ...
    @property
    def blksize(self) -> int: ...

@final
class StartResponse:
    """start_response of PEP 3333."""

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]: ...
