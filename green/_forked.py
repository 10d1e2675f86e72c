"""The end of a child that a native thread of ours has forked, when its call is over.

The child has that thread alone, which the interpreter does not know how to end with: so it ends as
the child of any thread does, without atexit callbacks, once what was printed is out.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def end(error: BaseException | None) -> NoReturn:
    """Ends the process with the status that `error`, or its absence, stands for."""
    status = 0
    if isinstance(error, SystemExit):
        status = _status_of(error.code)
    elif error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                status = status or 120  # As python does when it cannot flush.
    os._exit(status)


def _status_of(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1
