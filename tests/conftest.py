"""For all tests in Python: what the shell that started them must not hand on to programs.

A shell ignores Ctrl-C for what it runs in the background, and a program that is started with a
signal ignored stays so.
"""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
