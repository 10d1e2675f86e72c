"""The patch and the rest of the process: other interpreters, modules imported anew, the end."""

from __future__ import annotations

import queue
import sys
import threading
import time
from typing import Any

from patched import isolated, patch, run_program, start_natively, together

import green


@isolated
def test_a_module_imported_anew_is_hooked_and_knows_its_own_errors() -> None:
    patch()
    first = queue.SimpleQueue
    del sys.modules["_queue"], sys.modules["queue"]
    import queue as again

    assert again.SimpleQueue is not first
    later: Any = again.SimpleQueue()

    def get_late() -> Any:
        try:
            later.get(timeout=0.01)
        except again.Empty:
            return later.get()

    assert together(get_late, lambda: (time.sleep(0.05), later.put(1)))[0] == 1


def test_a_subinterpreter_uses_the_originals_beside_the_hooks() -> None:
    # Its C functions share their tables with ours, so the hooks are called there too.
    printed = run_program(
        """
        import threading
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        from green import _core
        assert _core.patch(_core.patch_groups()) == []
        keep = _core.spawn(_core.sleep, 0.01)
        other = interpreters.create()
        wrong = interpreters.run_string(other, '''if True:
            import _queue, _thread, socket, time
            lock = _thread.allocate_lock()
            assert lock.acquire() and not lock.acquire(timeout=0.01)
            lock.release()
            one, two = socket.socketpair()
            one.settimeout(0.01)
            try:
                one.recv(1)
            except TimeoutError:
                print("timed out", flush=True)
            two.send(b"x")
            assert one.recv(1) == b"x"
            box = _queue.SimpleQueue()
            box.put(1)
            assert box.get() == 1
            time.sleep(0.001)
            print("slept", flush=True)
        ''')
        assert wrong is None, wrong
        interpreters.destroy(other)
        keep.join()
        print("ended")
        """
    )

    assert printed == "timed out\nslept\nended\n"


def test_the_end_of_the_program_waits_for_its_threads_but_for_no_green() -> None:
    printed = run_program(
        """
        import threading
        import time
        from green import _core
        assert _core.patch(_core.patch_groups()) == []
        told = threading.Event()

        def work():
            told.wait()
            time.sleep(0.01)
            print("the thread is done", flush=True)

        threading.Thread(target=work).start()
        _core.spawn(time.sleep, 1000)
        _core.spawn(told.set).join()
        """
    )

    assert printed == "the thread is done\n"


def test_the_end_of_the_program_lets_greens_run_on_whom_its_threads_wait() -> None:
    printed = run_program(
        """
        import threading
        import time
        from green import _core
        assert _core.patch(_core.patch_groups()) == []
        told = threading.Event()

        def work():
            told.wait()
            print("the thread was told", flush=True)

        threading.Thread(target=work).start()
        _core.spawn(lambda: (time.sleep(0.01), told.set()))
        """
    )

    assert printed == "the thread was told\n"


@isolated
def test_a_thread_started_in_a_green_is_joined_by_greens_and_natives() -> None:
    patch()
    told = threading.Event()
    thread = threading.Thread(target=told.wait)
    thread.start()
    native = threading.Thread(target=thread.join)
    start_natively(native)

    together(thread.join, thread.join, lambda: (green.sleep(0), told.set()))

    native.join()
    assert not thread.is_alive()
