"""wsgi.file_wrapper sends a file's bytes, by the kernel where it can, else block by block."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pytest

from green import _core

CONTENT = bytes(number % 251 for number in range(500_000))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "content"
    file.write_bytes(CONTENT)
    return file


@pytest.mark.parametrize("kind", ["buffered", "raw", "bytesio", "temporary"])
@pytest.mark.parametrize("offset", [0, 1, 123_456, len(CONTENT)])
def test_a_file_is_sent_from_its_position(server: Any, path: Path, kind: str, offset: int) -> None:
    client = server.connect()

    response = client.get(f"/file_of{path}?{kind},{offset},")

    assert response.body == CONTENT[offset:]
    assert client.get("/hello").body == b"hello"


def test_the_length_of_a_plain_file_is_announced(start: Any, path: Path) -> None:
    response = start("file_of", bare=True).get(f"{path}?buffered,100,")

    assert response.field("Content-Length") == str(len(CONTENT) - 100)
    assert response.field("Transfer-Encoding") is None


def test_no_more_than_the_content_length_is_sent(start: Any, path: Path) -> None:
    served = start("file_of", bare=True)
    client = served.connect()

    assert client.get(f"{path}?buffered,7,1000").body == CONTENT[7:1007]
    assert client.get(f"{path}?buffered,0,1000").body == CONTENT[:1000]


def test_a_file_shorter_than_the_content_length_ends_the_connection(start: Any, path: Path) -> None:
    served = start("file_of", bare=True)
    client = served.connect()
    client.request("GET", f"{path}?buffered,0,{len(CONTENT) + 1}")

    with pytest.raises(EOFError):
        client.response()

    assert "shorter than its Content-Length" in served.stop()


def test_a_compressed_file_is_sent_as_it_reads_not_as_it_lies(server: Any, tmp_path: Path) -> None:
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(CONTENT))

    assert server.get(f"/file_of{packed}?gzip,0,").body == CONTENT


@pytest.mark.parametrize("kind", ["changed", "over-changed"])
def test_a_file_whose_class_reads_otherwise_is_read_by_it(
    server: Any, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "short").write_bytes(b"abc")

    assert server.get(f"/file_of{tmp_path}/short?{kind},0,").body == b"cba"


def test_a_file_open_for_writing_only_is_an_error_of_the_application(
    start: Any, path: Path
) -> None:
    served = start("file_of", bare=True)

    assert served.get(f"{path}?write-only,0,").code == 500

    assert "UnsupportedOperation: " in served.stop()


def test_a_pipe_is_read(server: Any) -> None:
    assert server.get("/pipe_file").body == b"through a pipe"


def test_a_closed_file_is_an_error_of_the_application(start: Any, path: Path) -> None:
    served = start()

    assert served.get(f"/file_of{path}?closed,0,").code == 500

    assert "ValueError: " in served.stop()


def test_a_file_that_is_closed_while_it_is_sent_is_sent_to_its_end(start: Any) -> None:
    served = start(bare=True)
    slow = served.connect()
    slow.request("GET", "/closed_under_way/")
    head = slow.until(b"\r\n\r\n")
    assert served.get("/closed_under_way/other").body == b"closed"

    assert b"Content-Length: %d\r\n" % (12 << 20) in head
    assert slow.exactly(12 << 20) == b"p" * (12 << 20)


def test_the_file_is_closed_once(start: Any) -> None:
    served = start()

    assert served.get("/closes_file").body == b"content"

    assert served.stop().count("file closed") == 1


@pytest.mark.parametrize("kind", ["buffered", "raw", "bytesio"])
def test_head_of_a_file_sends_none_of_it(server: Any, path: Path, kind: str) -> None:
    client = server.connect()
    client.request("HEAD", f"/file_of{path}?{kind},0,")

    assert client.response(head=True).code == 200
    assert client.get("/hello").body == b"hello"


def test_a_file_of_proc_has_no_size_but_is_sent(server: Any) -> None:
    assert server.get("/file_of/proc/version?buffered,0,").body.startswith(b"Linux")


def test_the_wrapper_is_an_iterator_over_blocks() -> None:
    file = io.BytesIO(b"12345")
    wrapper = _core.FileWrapper(file, 2)

    assert list(wrapper) == [b"12", b"34", b"5"]
    assert wrapper.filelike is file
    assert wrapper.blksize == 2
    wrapper.close()
    assert file.closed


def test_the_wrapper_refuses_what_cannot_be_read() -> None:
    with pytest.raises(AttributeError):
        _core.FileWrapper(object())
    with pytest.raises(ValueError, match="blksize"):
        _core.FileWrapper(io.BytesIO(), 0)


def test_a_file_whose_size_is_not_that_of_its_bytes_is_read(server: Any) -> None:
    path = next(
        each
        for each in Path("/sys/kernel/mm/transparent_hugepage").iterdir()
        if each.is_file() and each.name == "enabled"
    )

    response = server.get(f"/file_of{path}?buffered,0,")

    assert response.body == path.read_bytes()
