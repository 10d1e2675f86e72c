// _ssl._SSLSocket: the original as on a non-blocking socket, and a wait for what it then wants.
//
// OpenSSL moves the bytes itself, so the descriptor is O_NONBLOCK and the socket's time-out 0 for
// the length of that call; a native thread that uses the same socket meanwhile may see it.
// Connections over memory (SSLObject, asyncio) never block, and are the original's alone.
#include <poll.h>
#include <sys/ioctl.h>

#include "src/patch/hooks.hpp"
#include "src/patch/socket_io.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

// Of _ssl and _socket, which are imported once and stay.
PyObject* want_read = nullptr;
PyObject* want_write = nullptr;
PyTypeObject* socket_type = nullptr;
// Names of _SSLSocket's.
PyObject* owner_name = nullptr;
PyObject* pending_name = nullptr;
PyObject* version_name = nullptr;

/// While it lives the original believes the socket to have this time-out, and never blocks.
class Disguise {
 public:
  Disguise(PyObject* socket, std::int64_t timeout)
      : head_(layout::socket_head(socket)), fd_(head_.fd), own_(head_.timeout), shown_(timeout) {
    head_.timeout = shown_;
    if (own_ < 0) set_nonblocking(1);
  }
  Disguise(const Disguise&) = delete;
  Disguise& operator=(const Disguise&) = delete;
  ~Disguise() {
    if (head_.fd != fd_ || head_.timeout != shown_) return;  // Closed or set by another thread.
    if (own_ < 0) set_nonblocking(0);
    head_.timeout = own_;
  }

 private:
  void set_nonblocking(int on) { ::ioctl(fd_, FIONBIO, &on); }

  layout::SocketHead& head_;
  int fd_;
  std::int64_t own_;
  std::int64_t shown_;
};

/// The socket that bytes go through, when a wait for it would block the thread.
Ref socket_that_waits(PyObject* connection) {
  if (!py::can_park()) return {};
  Ref owner = Ref::steal(PyObject_GetAttr(connection, owner_name));
  if (!owner) PyErr_Clear();
  const bool is_socket = owner && PyObject_TypeCheck(owner.get(), socket_type) != 0;
  return is_socket && waits(owner.get()) ? std::move(owner) : Ref();
}

/// Takes the error that asks for a wait; 0 when it is another one, or none.
short events_wanted() {
  if (PyErr_Occurred() == nullptr) return 0;
  const bool reading = PyErr_ExceptionMatches(want_read) != 0;
  if (!reading && PyErr_ExceptionMatches(want_write) == 0) return 0;
  PyErr_Clear();
  return reading ? POLLIN : POLLOUT;
}

enum class Waited : unsigned char { ready, timed_out, failed };

Waited wait_for(PyObject* socket, short events, Instant deadline) {
  const int fd = layout::socket_head(socket).fd;
  FdTurns* turns = fd < 0 ? nullptr : fd_turns(fd);
  if (turns == nullptr) {
    if (fd < 0) set_errno(EBADF);
    return Waited::failed;
  }
  Turn turn(*turns, events == POLLIN ? Direction::reading : Direction::writing);
  if (!turn.take(deadline)) return Waited::failed;
  for (;;) {
    const Result<short> ready = io::poll(fd, events, deadline);
    if (ready.ok()) return Waited::ready;
    if (ready.error().code == ETIMEDOUT) return Waited::timed_out;
    if (turn.failed(ready.error(), deadline)) return Waited::failed;
  }
}

PyObject* attempt(const Call& call, PyObject* socket, std::int64_t timeout) {
  const Disguise disguise(socket, timeout);
  return call.pass_on();
}

/// Attempts until there is a result. `events`: what to wait for before the first attempt, if
/// anything. `missed`: has one to wait for bytes, which no attempt could have foreseen?
PyObject* attempt_and_wait(
    const Call& call, PyObject* socket, short events, Instant deadline, bool* missed) {
  const Ref keep = Ref::share(call.self());
  for (;;) {
    if (events != 0) {
      const Waited waited = wait_for(socket, events, deadline);
      if (waited == Waited::failed) return nullptr;
      // With the shortest time-out the original says in its own words that the time is over.
      if (waited == Waited::timed_out) return attempt(call, socket, 1);
    }
    PyObject* result = attempt(call, socket, 0);
    events = result == nullptr ? events_wanted() : short{0};
    if (events == 0) return result;
    *missed |= events == POLLIN;
  }
}

PyObject* hook_write(Call& call) {
  const Ref socket = socket_that_waits(call.self());
  if (!socket) return call.pass_on();
  const Instant deadline = socket_deadline(socket.get());
  bool missed = false;
  const int fd = layout::socket_head(socket.get()).fd;
  if (fd < 0) return attempt_and_wait(call, socket.get(), 0, deadline, &missed);
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr || !spend_turn(fd)) return nullptr;
  // From the first attempt to the last: OpenSSL takes the next one, whoever makes it and with what,
  // for the rest of a record that it could not write.
  Turn turn(*turns, Direction::writing);
  if (!turn.take(deadline)) return nullptr;
  return attempt_and_wait(call, socket.get(), 0, deadline, &missed);
}

// The beginning and the end of a connection, after which a read finds what none found before.
PyObject* hook_change(Call& call) {
  const Ref socket = socket_that_waits(call.self());
  if (socket) forget_expectations(layout::socket_head(socket.get()).fd);
  return hook_write(call);
}

/// Can a read find nothing but what has yet to arrive? OpenSSL reads one record at a time, so it
/// has no bytes but those of the last one; before the handshake is over it may have to write first.
bool needs_arrivals(PyObject* connection) {
  const Ref pending = Ref::steal(PyObject_CallMethodNoArgs(connection, pending_name));
  const Ref version = Ref::steal(PyObject_CallMethodNoArgs(connection, version_name));
  PyErr_Clear();
  return pending && version && version.get() != Py_None && PyLong_AsLong(pending.get()) == 0;
}

// An attempt that fails costs more here than anywhere: OpenSSL's errors and Python's exception.
// A connection whose end was seen is attempted first, for it says so again without any arrivals.
PyObject* hook_read(Call& call) {
  const Ref socket = socket_that_waits(call.self());
  if (!socket) return call.pass_on();
  const int fd = layout::socket_head(socket.get()).fd;
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr || !spend_turn(fd)) return nullptr;
  const bool waits_first = !turns->tls.worth_trying() && needs_arrivals(call.self());
  bool missed = waits_first;
  PyObject* result = attempt_and_wait(call, socket.get(), waits_first ? POLLIN : 0,
                                      socket_deadline(socket.get()), &missed);
  if (result == nullptr || PyObject_IsTrue(result) == 0) {
    turns->tls.forget();
  } else {
    turns->tls.found(!missed);
  }
  return result;
}

// Without OpenSSL there is nothing to hook.
constexpr Target targets[] = {
    target<hook_change, 0>("_ssl", "_SSLSocket", "do_handshake", true),
    target<hook_read>("_ssl", "_SSLSocket", "read", true),
    target<hook_write>("_ssl", "_SSLSocket", "write", true),
    target<hook_change, 1>("_ssl", "_SSLSocket", "shutdown", true),
};

const char* check() {
  const Ref tls = Ref::steal(PyImport_ImportModule("_ssl"));
  PyErr_Clear();
  if (!tls || want_read != nullptr) return nullptr;
  const Ref sockets = Ref::steal(PyImport_ImportModule("_socket"));
  Ref type = sockets ? Ref::steal(PyObject_GetAttrString(sockets.get(), "socket")) : Ref();
  Ref read = Ref::steal(PyObject_GetAttrString(tls.get(), "SSLWantReadError"));
  Ref write = read ? Ref::steal(PyObject_GetAttrString(tls.get(), "SSLWantWriteError")) : Ref();
  owner_name = PyUnicode_InternFromString("owner");
  pending_name = PyUnicode_InternFromString("pending");
  version_name = PyUnicode_InternFromString("version");
  PyErr_Clear();
  if (!type || !write || owner_name == nullptr || pending_name == nullptr ||
      version_name == nullptr)
    return "_ssl does not say what it waits for";
  socket_type = reinterpret_cast<PyTypeObject*>(type.release());
  want_read = read.release();
  want_write = write.release();
  return layout::check_socket();
}

}  // namespace

const Group tls_group = {"tls", targets, check};

}  // namespace greenwsgi::patch
