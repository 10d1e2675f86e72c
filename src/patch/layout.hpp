// layout.hpp - everything private to CPython that the hooks rely on: struct offsets and who else
// releases a lock. The only file of the room that knows any; layout.cpp checks each at patch time.
//
// A check that fails says why and disables its group of hooks, nothing else.
#pragma once

#include <poll.h>

#include <cstdint>

#include "src/py/ref.hpp"

namespace greenwsgi::patch::layout {

/// The head of PySocketSockObject, the same from 3.11 to 3.14.
struct SocketHead {
  PyObject_HEAD int fd;  // -1: closed.
  int family;
  int type;
  int protocol;
  PyObject* (*error_handler)();
  std::int64_t timeout;  // Nanoseconds; negative: blocking; 0: non-blocking.
};
inline constexpr std::int64_t kBlockingTimeout = -1'000'000'000;

inline SocketHead& socket_head(PyObject* socket) {
  return *reinterpret_cast<SocketHead*>(socket);
}

/// The head of fileio, the same from 3.11 to 3.14.
struct FileHead {
  PyObject_HEAD int fd;  // -1: closed.
  unsigned created : 1;
  unsigned readable : 1;
  unsigned writable : 1;
  unsigned appending : 1;
  int seekable : 2;  // Negative: not known yet.
  unsigned close_fd : 1;
};

inline const FileHead& file_head(PyObject* file) {
  return *reinterpret_cast<const FileHead*>(file);
}

/// The head of what select.poll() makes, the same from 3.11 to 3.14.
struct PollHead {
  PyObject_HEAD PyObject* registered;
  int is_up_to_date;  // `wanted` is what is registered.
  int count;
  pollfd* wanted;
  int running;  // 1: somebody is in poll().
};

inline PollHead& poll_head(PyObject* object) {
  return *reinterpret_cast<PollHead*>(object);
}

/// The word of an io.Buffered* that holds the OS thread which holds its lock; 0: nobody.
extern std::size_t buffered_owner_offset;
inline unsigned long buffered_owner(PyObject* buffered) {
  return *reinterpret_cast<volatile unsigned long*>(reinterpret_cast<char*>(buffered) +
                                                    buffered_owner_offset);
}

/// The word of an RLock that holds its owner's identity, 0 when it is free.
extern std::size_t rlock_owner_offset;
inline unsigned long& rlock_owner(PyObject* lock) {
  return *reinterpret_cast<unsigned long*>(reinterpret_cast<char*>(lock) + rlock_owner_offset);
}

/// The word of a _multiprocessing.SemLock that holds the OS thread which took it last.
extern std::size_t semlock_owner_offset;
inline unsigned long& semlock_owner(PyObject* lock) {
  return *reinterpret_cast<unsigned long*>(reinterpret_cast<char*>(lock) + semlock_owner_offset);
}

/// Is what `blocking` of a lock's acquire() is given an int, rather than anything that has a truth?
inline constexpr bool kBlockingIsInt = PY_VERSION_HEX < 0x030C0000;

/// Is this the lock that CPython (3.11, 3.12) releases by itself when a native thread ends? Such a
/// release passes no hook.
bool is_released_by_thread_end(PyObject* lock);

/// What threading.Thread calls its handle, from 3.13 on.
#if PY_VERSION_HEX < 0x030E0000
inline constexpr const char* kHandleOfThread = "_handle";
#else
inline constexpr const char* kHandleOfThread = "_os_thread_handle";
#endif

// Each returns nullptr when all is as believed, else why not (a literal); no Python error is left.
const char* check_socket();
const char* check_rlock();
const char* check_file();
const char* check_buffered();
const char* check_poll();
const char* check_semlock();  // No word without the type.

}  // namespace greenwsgi::patch::layout
