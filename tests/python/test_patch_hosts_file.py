"""Which look-ups end in /etc/hosts, and so need no native thread. With such files of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from patched import run_patched

CANNOT_SHOW = 77

# A file system of the process's own, in which the two files are what the test says.
MOUNT = f"""
import ctypes, encodings.idna, socket  # To import idna later may take a thread.
libc = ctypes.CDLL(None, use_errno=True)
def must(status):
    if status != 0:
        print(os.strerror(ctypes.get_errno())); sys.exit({CANNOT_SHOW})
must(libc.unshare(0x20000))  # CLONE_NEWNS
must(libc.mount(b"none", b"/", None, 0x4000 | 1 << 18, None))  # MS_REC, MS_PRIVATE
def show(path, text):
    name = folder + path.replace("/", "-")
    shown = os.path.exists(name)
    with open(name, "w") as file:
        file.write(text)
    if not shown:
        must(libc.mount(name.encode(), path.encode(), None, 0x1000, None))  # MS_BIND
def threads():
    return len(os.listdir("/proc/self/task"))
def starts_a_thread(*arguments, **keywords):
    before = threads()
    try:
        socket.getaddrinfo(*arguments, **keywords)
    except OSError:
        pass
    return threads() > before
show("/etc/resolv.conf", "")
green.sleep(0)
"""


def answers(folder: Path, code: str) -> str:
    done = run_patched(f"folder = {str(folder / 'file')!r}\n{MOUNT}{code}")
    if done.returncode == CANNOT_SHOW:
        pytest.skip(f"files of its own cannot be shown to a process here: {done.stdout.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_names_and_aliases_of_their_family_start_no_thread_and_others_do(tmp_path: Path) -> None:
    said = answers(
        tmp_path,
        """
show("/etc/nsswitch.conf", "passwd: files\\nhosts:\\tfiles dns  # first\\n")
show("/etc/hosts", "127.0.0.7 seven.test Seven # eight\\n\\n#127.0.0.9 nine\\n"
     "2001:db8::7 six\\nbad bad\\n")
print(starts_a_thread("seven.test", 80), starts_a_thread("sEVEN", "80", socket.AF_INET),
      starts_a_thread(b"six", 80, socket.AF_INET6), starts_a_thread(None, 80),
      starts_a_thread("six", 80, flags=socket.AI_PASSIVE))
print(socket.getaddrinfo("seven", 80, type=socket.SOCK_STREAM)[0][4], socket.gethostbyname("seven"))
print(starts_a_thread("nine", 80))
""",
    )

    assert said == "False False False False False\n('127.0.0.7', 80) 127.0.0.7\nTrue\n"


@pytest.mark.parametrize(
    "arguments",
    [
        "'six', 80, socket.AF_INET",
        "'seven', 80, socket.AF_INET6",
        "'eight', 80",
        "'bad', 80",
        "'scoped', 80",
        "'127', 80",
        "'seven.test.', 80",
        "'seven', 80, flags=socket.AI_CANONNAME",
        "'seven', 80, flags=socket.AI_ADDRCONFIG",
    ],
)
def test_what_may_be_asked_of_others_goes_to_a_thread(tmp_path: Path, arguments: str) -> None:
    said = answers(
        tmp_path,
        f"""
show("/etc/nsswitch.conf", "hosts: files dns\\n")
show("/etc/hosts", "127.0.0.7 seven.test seven # eight\\n2001:db8::7 six\\n"
     "bad bad\\n::8%lo scoped\\n")
print(starts_a_thread({arguments}))
""",
    )

    assert said == "True\n"


@pytest.mark.parametrize(
    "hosts", ["hosts: dns files", "hosts: files [SUCCESS=continue] dns", "passwd: files", ""]
)
def test_where_the_file_does_not_have_the_last_word_names_go_to_a_thread(
    tmp_path: Path, hosts: str
) -> None:
    said = answers(
        tmp_path,
        f"""
show("/etc/nsswitch.conf", "{hosts}\\n")
show("/etc/hosts", "127.0.0.7 seven\\n")
print(starts_a_thread("seven", 80))
""",
    )

    assert said == "True\n"


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    said = answers(
        tmp_path,
        """
show("/etc/nsswitch.conf", "hosts: files dns\\n")
show("/etc/hosts", "127.0.0.7 seven\\n")
print(starts_a_thread("seven", 80))
show("/etc/hosts", "127.0.0.8 eight\\n")
print(starts_a_thread("eight", 80), socket.gethostbyname("eight"), starts_a_thread("seven", 80))
""",
    )

    assert said == "False\nFalse 127.0.0.8 True\n"


def test_a_file_too_large_to_read_at_once_is_left_to_threads(tmp_path: Path) -> None:
    said = answers(
        tmp_path,
        """
show("/etc/nsswitch.conf", "hosts: files dns\\n")
show("/etc/hosts", "127.0.0.7 seven\\n" + "127.0.0.8 eight\\n" * 20000)
print(starts_a_thread("seven", 80))
""",
    )

    assert said == "True\n"
