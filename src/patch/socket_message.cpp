// recvfrom, recvfrom_into, recvmsg, recvmsg_into, sendto, sendmsg: their arguments and results are
// left to the originals, which are called with MSG_DONTWAIT among the flags until they do not say
// "would block"; in between the green waits for readiness.
#include <poll.h>

#include "src/patch/socket_hooks.hpp"
#include "src/patch/socket_io.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

// While it lives the original believes the socket to be blocking, and so does not poll(2) first.
class TimeoutAside {
 public:
  explicit TimeoutAside(PyObject* socket)
      : head_(layout::socket_head(socket)), timeout_(head_.timeout) {
    head_.timeout = layout::kBlockingTimeout;
  }
  TimeoutAside(const TimeoutAside&) = delete;
  TimeoutAside& operator=(const TimeoutAside&) = delete;
  ~TimeoutAside() {
    if (head_.timeout == layout::kBlockingTimeout) head_.timeout = timeout_;
  }

 private:
  layout::SocketHead& head_;
  std::int64_t timeout_;
};

PyObject* attempt(const Call& call, PyObject* arguments) {
  const TimeoutAside aside(call.self());
  return call.original(arguments);
}

bool would_block() {
  if (!PyErr_ExceptionMatches(PyExc_BlockingIOError)) return false;
  PyErr_Clear();
  return true;
}

PyObject* until_ready(const Call& call, const Ref& arguments, Direction direction) {
  PyObject* socket = call.self();
  const int fd = layout::socket_head(socket).fd;
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr || !spend_turn(fd)) return nullptr;
  const Instant deadline = socket_deadline(socket);
  Turn turn(*turns, direction);
  if (!turn.take(deadline)) return nullptr;
  for (;;) {
    PyObject* result = attempt(call, arguments.get());
    if (result != nullptr || !would_block()) return result;
    const Result<short> ready =
        io::poll(fd, direction == Direction::reading ? POLLIN : POLLOUT, deadline);
    if (!ready.ok() && turn.failed(ready.error(), deadline)) return nullptr;
  }
}

// `flags` with MSG_DONTWAIT, or empty without an error when it is no number or needs no waiting.
Ref with_dontwait(PyObject* flags, bool blocking, int never_blocks) {
  const long value = flags == nullptr ? 0 : PyLong_Check(flags) ? PyLong_AsLong(flags) : -1;
  if (value < 0 || value > INT_MAX || (blocking && (value & never_blocks) != 0)) {
    PyErr_Clear();
    return Ref();
  }
  return Ref::steal(PyLong_FromLong(value | MSG_DONTWAIT));
}

// An iterable as a tuple, because it may be asked for twice; empty without an error when it cannot
// be one.
Ref as_tuple(PyObject* iterable) {
  Ref made =
      iterable == nullptr ? Ref::steal(PyTuple_New(0)) : Ref::steal(PySequence_Tuple(iterable));
  if (!made) PyErr_Clear();
  return made;
}

PyObject* or_zero(PyObject* number, const Ref& zero) {
  return number != nullptr ? number : zero.get();
}

// recvfrom(bufsize, flags), recvfrom_into(buffer, nbytes, flags), recvmsg(bufsize, ancbufsize,
// flags), recvmsg_into(buffers, ancbufsize, flags): the first argument, numbers, flags last.
template <std::size_t N>
PyObject* receive_message(Call& call, const char* const (&names)[N], bool buffers) {
  if (!waits(call.self())) return call.pass_on();
  PyObject* given[N] = {};
  if (!call.arrange(names, given) || given[0] == nullptr) return call.pass_on();
  const Ref flags = with_dontwait(given[N - 1], is_blocking(call.self()), kNeverBlocks);
  if (!flags) return call.pass_on();  // Before an iterator is used up.
  const Ref first = buffers ? as_tuple(given[0]) : Ref::share(given[0]);
  if (!first) return call.pass_on();
  const Ref zero = Ref::steal(PyLong_FromLong(0));
  const Ref arguments =
      N == 2 ? Ref::steal(PyTuple_Pack(2, first.get(), flags.get()))
             : Ref::steal(PyTuple_Pack(3, first.get(), or_zero(given[1], zero), flags.get()));
  return arguments ? until_ready(call, arguments, Direction::reading) : nullptr;
}

}  // namespace

PyObject* hook_recvfrom(Call& call) {
  return receive_message(call, {"bufsize", "flags"}, false);
}

PyObject* hook_recvfrom_into(Call& call) {
  return receive_message(call, {"buffer", "nbytes", "flags"}, false);
}

PyObject* hook_recvmsg(Call& call) {
  return receive_message(call, {"bufsize", "ancbufsize", "flags"}, false);
}

PyObject* hook_recvmsg_into(Call& call) {
  return receive_message(call, {"buffers", "ancbufsize", "flags"}, true);
}

// sendto(data, address) or sendto(data, flags, address).
PyObject* hook_sendto(Call& call) {
  if (!waits(call.self()) || call.count() < 2 || call.count() > 3) return call.pass_on();
  PyObject* given_flags = call.count() == 3 ? call.item(1) : nullptr;
  const Ref flags = with_dontwait(given_flags, is_blocking(call.self()), MSG_DONTWAIT);
  if (!flags) return call.pass_on();
  const Ref address =
      resolved_address(layout::socket_head(call.self()).family, call.item(call.count() - 1));
  if (!address) return nullptr;
  const Ref arguments = Ref::steal(PyTuple_Pack(3, call.item(0), flags.get(), address.get()));
  return arguments ? until_ready(call, arguments, Direction::writing) : nullptr;
}

// sendmsg(buffers, ancillary, flags, address), all but the first optional.
PyObject* hook_sendmsg(Call& call) {
  if (!waits(call.self())) return call.pass_on();
  PyObject* given[4] = {};
  if (!call.arrange({"buffers", "ancdata", "flags", "address"}, given) || given[0] == nullptr) {
    return call.pass_on();
  }
  const Ref flags = with_dontwait(given[2], is_blocking(call.self()), MSG_DONTWAIT);
  if (!flags) return call.pass_on();  // Before an iterator is used up.
  const Ref buffers = as_tuple(given[0]);
  const Ref ancillary = as_tuple(given[1]);
  if (!buffers || !ancillary) return call.pass_on();
  const Ref address =
      resolved_address(layout::socket_head(call.self()).family, given[3] ? given[3] : Py_None);
  if (!address) return nullptr;
  const Ref arguments =
      Ref::steal(PyTuple_Pack(4, buffers.get(), ancillary.get(), flags.get(), address.get()));
  return arguments ? until_ready(call, arguments, Direction::writing) : nullptr;
}

}  // namespace greenwsgi::patch
