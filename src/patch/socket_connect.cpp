// _accept, connect and connect_ex.
//
// connect(2) knows no MSG_DONTWAIT, so a blocking socket is O_NONBLOCK for the length of that one
// system call, which the original makes (it knows all families of addresses); the rest is ours.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "src/patch/socket_hooks.hpp"
#include "src/patch/socket_io.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

bool is_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

class NonBlockingFor {
 public:
  explicit NonBlockingFor(PyObject* socket)
      : head_(layout::socket_head(socket)),
        timeout_(head_.timeout),
        fd_(head_.fd),
        flags_(::fcntl(fd_, F_GETFL)) {
    if (changes()) ::fcntl(fd_, F_SETFL, flags_ | O_NONBLOCK);
    head_.timeout = 0;
  }
  NonBlockingFor(const NonBlockingFor&) = delete;
  NonBlockingFor& operator=(const NonBlockingFor&) = delete;
  ~NonBlockingFor() {
    if (head_.timeout == 0) head_.timeout = timeout_;
    if (changes() && head_.fd == fd_) ::fcntl(fd_, F_SETFL, flags_);
  }

 private:
  bool changes() const { return flags_ >= 0 && (flags_ & O_NONBLOCK) == 0; }
  layout::SocketHead& head_;
  std::int64_t timeout_;
  int fd_;
  int flags_;
};

// --- accept

// What the original returns: the descriptor and the peer's address, in the form that this
// interpreter gives addresses.
PyObject* accepted(PyObject* listener, int fd) {
  const layout::SocketHead& head = layout::socket_head(listener);
  const Ref module = Ref::steal(PyImport_ImportModule("_socket"));
  const Ref peer = module
                       ? Ref::steal(PyObject_CallMethod(module.get(), "socket", "iiii", head.family,
                                                        head.type, head.protocol, fd))
                       : Ref();
  if (!peer) {
    ::close(fd);
    return nullptr;
  }
  Ref address = Ref::steal(PyObject_CallMethod(peer.get(), "getpeername", nullptr));
  if (!address && PyErr_ExceptionMatches(PyExc_OSError)) {
    // The peer reset the connection before it was accepted: then only accept(2) itself could have
    // told its address. Its own name has the right form, and the first read will fail.
    PyErr_Clear();
    address = Ref::steal(PyObject_CallMethod(peer.get(), "getsockname", nullptr));
  }
  if (!address) return nullptr;  // `peer` closes the descriptor.
  const Ref number = Ref::steal(PyObject_CallMethod(peer.get(), "detach", nullptr));
  return number ? PyTuple_Pack(2, number.get(), address.get()) : nullptr;
}

// --- connect

// Waits until the connection that is under way stands or has failed. False: a Python error is set,
// or our time is over.
bool await_connection(PyObject* socket, Instant deadline, bool* timed_out) {
  const int fd = layout::socket_head(socket).fd;
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr) return false;
  Turn turn(*turns, Direction::writing);
  if (!turn.take(deadline)) return false;
  for (;;) {
    const Result<short> ready = io::poll(fd, POLLOUT, deadline);
    if (ready.ok()) return true;
    *timed_out = ready.error().code == ETIMEDOUT;
    if (*timed_out || turn.failed(ready.error(), deadline)) return false;
  }
}

int pending_error(int fd) {
  int error = 0;
  socklen_t bytes = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0) return errno;
  return error == EISCONN ? 0 : error;
}

// A Unix socket's full backlog announces nothing: it can only be asked again. False: a Python
// error is set.
bool pause_for_backlog(Duration& pause) {
  constexpr Duration kLongest = std::chrono::milliseconds(20);
  const Status slept = io::sleep_until(deadline_after(pause));
  pause = std::min(2 * pause, kLongest);
  return slept.ok() || !py::raise_if_interrupted();
}

// The errno of a BlockingIOError that is set and stays set; 0 when it is another exception.
int blocking_errno() {
  if (!PyErr_ExceptionMatches(PyExc_BlockingIOError)) return 0;
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  const Ref number = Ref::steal(PyObject_GetAttrString(value, "errno"));
  const long code = number && PyLong_Check(number.get()) ? PyLong_AsLong(number.get()) : 0;
  PyErr_Restore(type, value, trace);
  return static_cast<int>(code);
}

// One call of the original that does not wait. What it returned (an errno for connect_ex), or
// nullptr and its exception.
PyObject* begin_connection(const Call& call, const Ref& address) {
  const Ref arguments = Ref::steal(PyTuple_Pack(1, address.get()));
  if (!arguments) return nullptr;
  const NonBlockingFor aside(call.self());
  return call.original(arguments.get());
}

// The errno that `begun` stands for: 0 when connected, -1 when it is an exception to hand on.
int begun_errno(PyObject* begun) {
  if (begun == nullptr) {
    const int code = blocking_errno();
    return code == 0 ? -1 : code;
  }
  return PyLong_Check(begun) ? static_cast<int>(PyLong_AsLong(begun)) : 0;
}

// The errno of the whole connection, 0 when it stands, ETIMEDOUT with `timed_out` when our time is
// over; -1: a Python error is set.
int connect_cooperatively(const Call& call, bool* timed_out) {
  PyObject* socket = call.self();
  const layout::SocketHead& head = layout::socket_head(socket);
  const Ref address = resolved_address(head.family, call.item(0));
  if (!address) return -1;
  const Instant deadline = socket_deadline(socket);
  bool awaited = false;
  for (Duration pause = std::chrono::milliseconds(1);;) {
    const Ref begun = Ref::steal(begin_connection(call, address));
    const int error = begun_errno(begun.get());
    if (error > 0) PyErr_Clear();
    if (error == EAGAIN && head.family == AF_UNIX && is_blocking(socket)) {
      if (!pause_for_backlog(pause)) return -1;
      continue;
    }
    if (awaited && error == EISCONN) return 0;
    if (error != EINPROGRESS && (error != EALREADY || !is_blocking(socket))) return error;
    awaited = await_connection(socket, deadline, timed_out);
    if (!awaited) return *timed_out ? ETIMEDOUT : -1;
    // The original does the same with a time-out. On a blocking socket a failed connect(2) also
    // puts the socket back into its first state, which asking once more does.
    if (!is_blocking(socket)) return pending_error(head.fd);
  }
}

bool connects_by_itself(const Call& call) {
  // With O_NONBLOCK on a blocking socket the user wants the call to fail rather than wait.
  return !waits(call.self()) ||
         (is_blocking(call.self()) && is_nonblocking(layout::socket_head(call.self()).fd));
}

}  // namespace

PyObject* hook_accept(Call& call) {
  PyObject* socket = call.self();
  if (!waits(socket)) return call.pass_on();
  const int fd = layout::socket_head(socket).fd;
  if (is_blocking(socket) && is_nonblocking(fd)) return call.pass_on();
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr || !spend_turn(fd)) return nullptr;
  const Instant deadline = socket_deadline(socket);
  Turn turn(*turns, Direction::reading);
  if (!turn.take(deadline)) return nullptr;
  for (;;) {
    const Result<int> made = io::accept(fd, SOCK_CLOEXEC, deadline);
    if (made.ok()) return accepted(socket, *made);
    if (turn.failed(made.error(), deadline)) return nullptr;
  }
}

PyObject* hook_connect(Call& call) {
  if (connects_by_itself(call)) return call.pass_on();
  bool timed_out = false;
  const int error = connect_cooperatively(call, &timed_out);
  if (error == 0) Py_RETURN_NONE;
  if (timed_out)
    set_timed_out();
  else if (error > 0)
    set_errno(error);
  return nullptr;
}

PyObject* hook_connect_ex(Call& call) {
  if (connects_by_itself(call)) return call.pass_on();
  bool timed_out = false;
  const int error = connect_cooperatively(call, &timed_out);
  if (error < 0) return nullptr;
  return PyLong_FromLong(timed_out ? EWOULDBLOCK : error);
}

}  // namespace greenwsgi::patch
