"""Locks and conditions for greens and native threads alike, with the interface of `threading`.

Lock and RLock are the extension module's: a release hands over to whoever has waited longest.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

from green import _arguments
from green._core import Green, Lock, RLock, Semaphore, can_park, getcurrent

__all__ = ["Condition", "Lock", "RLock"]

T = TypeVar("T")


class Condition:
    """Waits, without the lock, until one that has it says that something has changed.

    `lock`: any with acquire() and release(), of green or, under the patch, of threading; default: a
    new RLock.

    Each that waits has a semaphore of its own, which notify() releases. Only who has the lock adds
    one, takes one out or releases one: so whoever is killed, or whose time is over, knows once it
    has the lock again whether it was notified as well, and a notification never gets lost. A green
    that will never run again, because its native thread has ended or it is a fork's parent's, is
    passed over. In the child of a fork native threads that waited in the parent still count, until
    _at_fork_reinit().
    """

    def __init__(self, lock: Any = None) -> None:
        self._lock = RLock() if lock is None else lock
        self.acquire = self._lock.acquire
        self.release = self._lock.release
        # In the order of their coming. None: it waits as a native thread does.
        self._turns: dict[Semaphore, Green | None] = {}

    def __enter__(self) -> bool:
        return bool(self._lock.__enter__())

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(*error)

    @property
    def waiting(self) -> int:
        """How many greens and threads wait to be notified."""
        return sum(not _is_left_behind(each) for each in list(self._turns.values()))

    def wait(self, timeout: float | None = None) -> bool:
        """Let go of the lock until notified; False when that was not in `timeout` seconds.

        Has the lock again however it ends: what is thrown meanwhile is raised after that, but for a
        KeyboardInterrupt while it waits for the lock. Switches. RuntimeError: the caller does not
        have the lock.
        """
        self._check_owned("wait")
        patience = None if timeout is None else _arguments.patience(timeout)
        turn = Semaphore(0)
        self._turns[turn] = getcurrent() if can_park() else None
        saved = self._let_go()
        thrown: BaseException | None = None
        try:
            turn.acquire(timeout=patience)
        except BaseException as error:
            thrown = error
        thrown = self._take_back(saved) or thrown
        notified = turn not in self._turns
        if not notified:
            del self._turns[turn]
        elif thrown is not None:
            self._wake(1)  # Not for this one: for the next.
        if thrown is not None:
            raise thrown
        return notified

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until predicate() is true; what it gave last, false after `timeout` seconds.

        Switches unless it is true already. RuntimeError as wait().
        """
        deadline = None if timeout is None else time.monotonic() + _arguments.patience(timeout)
        while not (result := predicate()):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result

    def notify(self, n: int = 1) -> None:
        """Wake the `n` that have waited longest. Never switches. RuntimeError as wait()."""
        self._check_owned("notify")
        self._wake(operator.index(n))

    def notify_all(self) -> None:
        """Wake all that wait. Never switches. RuntimeError as wait()."""
        self.notify(len(self._turns))

    def _wake(self, n: int) -> None:
        while n > 0 and self._turns:
            for turn, waiter in list(islice(self._turns.items(), min(n, len(self._turns)))):
                del self._turns[turn]
                if not _is_left_behind(waiter):
                    turn.release()
                    n -= 1

    def _check_owned(self, what: str) -> None:
        if not self._is_owned():
            raise RuntimeError(f"cannot {what} on un-acquired lock")

    def _is_owned(self) -> bool:
        if hasattr(self._lock, "_is_owned"):
            return bool(self._lock._is_owned())
        if not self._lock.acquire(False):
            return True  # By somebody, which is all that a plain lock knows.
        self._lock.release()
        return False

    def _let_go(self) -> Any:
        if hasattr(self._lock, "_release_save"):
            return self._lock._release_save()
        return self._lock.release()

    def _take_back(self, saved: Any) -> BaseException | None:
        """Take the lock whatever is thrown meanwhile; the last of that."""
        thrown: BaseException | None = None
        while True:
            try:
                if hasattr(self._lock, "_acquire_restore"):
                    self._lock._acquire_restore(saved)
                else:
                    self._lock.acquire()
                return thrown
            except KeyboardInterrupt as error:  # The user's, who may not care for the lock.
                return error
            except BaseException as error:
                thrown = error

    def _at_fork_reinit(self) -> None:
        self._lock._at_fork_reinit()
        self._turns.clear()


def _is_left_behind(waiter: Green | None) -> bool:
    return waiter is not None and waiter.dead
