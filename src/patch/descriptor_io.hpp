// descriptor_io.hpp - read(2) and write(2) for greens, whatever the descriptor stands for.
//
// What has to be waited for (pipes, FIFOs, terminals, sockets) is waited for in turn. Of regular
// files what is in the page cache is read at once, and the rest, like large writes, is the hub's
// work, so that a slow disk stops one green and not the thread. Descriptors with O_NONBLOCK, and
// all errors that come before anything has moved, are left to the original.
#pragma once

#include "greenwsgi/io/io.hpp"
#include "src/patch/call.hpp"
#include "src/patch/fd_turns.hpp"

namespace greenwsgi::patch {

enum class Moved : unsigned char {
  some,    // Bytes, perhaps none at the end of the file.
  failed,  // A Python error is set.
  none,    // The original's affair: it will not wait.
};

/// read(2), or pread(2) with an offset of 0 or more: fills `into` from a regular file up to its
/// end, from all else as far as there is something. Switches.
Moved read_bytes(int fd, io::Bytes into, std::int64_t offset, std::size_t* count);

constexpr Py_ssize_t kReadMost = 0x7ffff000;  // What read(2) moves at most.

/// read_bytes() of up to `size` bytes, into an object of their own; or what the original returns. A
/// new reference. Switches.
PyObject* read_new(const Call& call, int fd, Py_ssize_t size, std::int64_t offset = -1);

/// All of a bytes-like object through write(2), as where it may block: the number of bytes that
/// went, or what the original returns. A new reference. Switches.
PyObject* write_bytes(const Call& call, int fd, PyObject* data);

/// The original, once `fd` is ready and those who came first have had their turn. Switches.
PyObject* when_ready(const Call& call, int fd, Direction direction);

/// Waits, after those who came first, while a blocking call on `fd` would wait. False: a Python
/// error is set. Switches.
bool await_ready(int fd, Direction direction);

/// The original, which writes to a regular file, on a native thread; in turn. What is thrown at the
/// green meanwhile waits, so that what has been written is told. Switches.
PyObject* write_file(const Call& call, int fd);

constexpr std::size_t kReadAtOnce = 1 << 20;  // Up to a millisecond, into fresh memory.
/// Up to here a regular file is written at once: that copies into the page cache, which is quicker
/// than asking another thread to.
constexpr std::size_t kWriteAtOnce = 64 << 10;

bool is_nonblocking(int fd);
bool is_disk_file(int fd);
/// A file that no disk is behind; its file system knows no RWF_NOWAIT and does not need it.
bool is_in_memory(int fd);

}  // namespace greenwsgi::patch
