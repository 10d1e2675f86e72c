// recvfrom, recvfrom_into, recvmsg, recvmsg_into, sendto, sendmsg: their arguments and results are
// left to the originals, which are called with MSG_DONTWAIT among the flags until they do not say
// "would block"; in between the green waits for readiness. What a blocking stream did not take of
// a message at once is sent after it, without the message's other parts, as the kernel does it.
#include <poll.h>

#include "src/patch/poll_any.hpp"
#include "src/patch/socket_hooks.hpp"
#include "src/patch/socket_io.hpp"
#include "src/patch/vector_io.hpp"

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

std::size_t sum_of_bytes(PyObject* buffers) {
  std::size_t sum = 0;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(buffers); i++) {
    Py_buffer view;
    if (PyObject_GetBuffer(PyTuple_GET_ITEM(buffers, i), &view, PyBUF_SIMPLE) != 0) continue;
    sum += static_cast<std::size_t>(view.len);
    PyBuffer_Release(&view);
  }
  return sum;
}

// The rest of a message to a blocking stream that has taken `sent` of its bytes. `flags`: with
// MSG_DONTWAIT.
PyObject* with_rest(PyObject* socket, const Turn& turn, PyObject* buffers, int flags, Ref sent) {
  const std::size_t total = PyLong_AsSize_t(sent.get());
  if (total >= sum_of_bytes(buffers)) return sent.release();
  const Ref whole = joined(buffers);
  if (!whole) {
    PyErr_Clear();  // No memory: a part has been sent, which is told.
    return sent.release();
  }
  const io::ConstBytes bytes{reinterpret_cast<const std::byte*>(PyBytes_AS_STRING(whole.get())),
                             static_cast<std::size_t>(PyBytes_GET_SIZE(whole.get()))};
  const auto all = send_rest(socket, turn, bytes, total, flags & ~(MSG_DONTWAIT | MSG_FASTOPEN));
  return all ? PyLong_FromSize_t(*all) : nullptr;
}

// A datagram socket that was shut down says "would block", and is ready: only without MSG_DONTWAIT
// it says at once that this is the end.
PyObject* receive_the_end(const Call& call, PyObject* arguments) {
  const Py_ssize_t count = PyTuple_GET_SIZE(arguments);
  const long flags = PyLong_AsLong(PyTuple_GET_ITEM(arguments, count - 1)) & ~MSG_DONTWAIT;
  const Ref again = Ref::steal(PyTuple_New(count));
  PyObject* last = again ? PyLong_FromLong(flags) : nullptr;
  if (last == nullptr) return nullptr;
  for (Py_ssize_t i = 0; i < count - 1; i++)
    PyTuple_SET_ITEM(again.get(), i, Py_NewRef(PyTuple_GET_ITEM(arguments, i)));
  PyTuple_SET_ITEM(again.get(), count - 1, last);
  return call.original(again.get());
}

// `buffers`, `flags`: of a message to be sent.
PyObject* until_ready(const Call& call,
                      const Ref& arguments,
                      Direction direction,
                      PyObject* buffers = nullptr,
                      int flags = 0) {
  PyObject* socket = call.self();
  const int fd = layout::socket_head(socket).fd;
  FdTurns* turns = fd_turns(fd);
  if (turns == nullptr || !spend_turn(fd)) return nullptr;
  const Instant deadline = socket_deadline(socket);
  Turn turn(*turns, direction);
  if (!turn.take(deadline)) return nullptr;
  const short events = direction == Direction::reading ? POLLIN | POLLRDHUP : POLLOUT;
  short seen = 0;
  for (Duration rest = kShortestPause;;) {
    Ref result = Ref::steal(attempt(call, arguments.get()));
    if (result && buffers != nullptr && is_blocking_stream(socket))
      return with_rest(socket, turn, buffers, flags, std::move(result));
    if (result || !would_block()) return result.release();
    if ((seen & POLLRDHUP) != 0 && is_blocking(socket))
      return receive_the_end(call, arguments.get());
    if (seen != 0) {  // And is not ready: a Unix socket whose peer's queue is full.
      if (!pause(rest, deadline)) return nullptr;
      const bool over = deadline != kNever && py::scheduler_or_null()->now() >= deadline;
      if (turn.was_closed()) {
        set_errno(EBADF);
        return nullptr;
      }
      if (over) {
        set_timed_out();
        return nullptr;
      }
    }
    const Result<short> ready = io::poll(fd, events, deadline);
    if (!ready.ok() && turn.failed(ready.error(), deadline)) return nullptr;
    seen = ready.ok() ? *ready : short{0};
  }
}

// `flags` with MSG_DONTWAIT, or empty without an error when it is no number or needs no waiting.
Ref with_dontwait(PyObject* flags, bool blocking, int never_blocks) {
  int value = 0;
  if (flags != nullptr && !as_int(flags, &value)) return Ref();
  if (blocking && (value & never_blocks) != 0) return Ref();
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

bool is_count(PyObject* number) {
  Py_ssize_t count = 0;
  return as_size(number, &count) && count >= 0;
}

bool has_room(PyObject* buffer, PyObject* bytes) {
  Py_buffer view;
  if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) != 0) {
    PyErr_Clear();
    return false;
  }
  Py_ssize_t wanted = 0;
  const bool enough = as_size(bytes, &wanted) && wanted <= view.len;
  PyBuffer_Release(&view);
  return enough;
}

PyObject* or_zero(PyObject* number, const Ref& zero) {
  return number != nullptr ? number : zero.get();
}

// recvfrom(bufsize, flags), recvfrom_into(buffer, nbytes, flags), recvmsg(bufsize, ancbufsize,
// flags), recvmsg_into(buffers, ancbufsize, flags): the first argument, numbers, flags last.
// `is_sane`: of what was given, or else the original refuses it without waiting in line.
template <std::size_t N>
PyObject* receive_message(Call& call,
                          const char* const (&names)[N],
                          bool buffers,
                          bool (*is_sane)(PyObject* const* given)) {
  if (!waits(call.self())) return call.pass_on();
  PyObject* given[N] = {};
  if (!call.arrange(names, given) || given[0] == nullptr || !is_sane(given)) return call.pass_on();
  const Ref flags = with_dontwait(given[N - 1], is_blocking(call.self()), kNeverBlocks);
  if (!flags) return call.pass_on();  // Before an iterator is used up.
  if (is_blocking_stream(call.self()) && (PyLong_AsLong(flags.get()) & MSG_WAITALL) != 0)
    return receive_natively(call);
  const Ref first = buffers ? as_tuple(given[0]) : Ref::share(given[0]);
  if (!first) return call.pass_on();
  const Ref zero = Ref::steal(PyLong_FromLong(0));
  const Ref arguments =
      N == 2 ? Ref::steal(PyTuple_Pack(2, first.get(), flags.get()))
             : Ref::steal(PyTuple_Pack(3, first.get(), or_zero(given[1], zero), flags.get()));
  return arguments ? until_ready(call, arguments, Direction::reading) : nullptr;
}

PyObject* send_message(const Call& call,
                       const Ref& arguments,
                       const Ref& buffers,
                       const Ref& flags) {
  const int number = static_cast<int>(PyLong_AsLong(flags.get()));
  return until_ready(call, arguments, Direction::writing, buffers.get(), number);
}

}  // namespace

PyObject* hook_recvfrom(Call& call) {
  return receive_message(call, {"bufsize", "flags"}, false,
                         [](PyObject* const* given) { return is_count(given[0]); });
}

PyObject* hook_recvfrom_into(Call& call) {
  return receive_message(call, {"buffer", "nbytes", "flags"}, false, [](PyObject* const* given) {
    return given[1] == nullptr || (is_count(given[1]) && has_room(given[0], given[1]));
  });
}

PyObject* hook_recvmsg(Call& call) {
  return receive_message(call, {"bufsize", "ancbufsize", "flags"}, false,
                         [](PyObject* const* given) {
                           return is_count(given[0]) && (given[1] == nullptr || is_count(given[1]));
                         });
}

PyObject* hook_recvmsg_into(Call& call) {
  return receive_message(
      call, {"buffers", "ancbufsize", "flags"}, true,
      [](PyObject* const* given) { return given[1] == nullptr || is_count(given[1]); });
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
  const Ref buffers = Ref::steal(PyTuple_Pack(1, call.item(0)));
  const Ref arguments = Ref::steal(PyTuple_Pack(3, call.item(0), flags.get(), address.get()));
  return buffers && arguments ? send_message(call, arguments, buffers, flags) : nullptr;
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
  return arguments ? send_message(call, arguments, buffers, flags) : nullptr;
}

}  // namespace greenwsgi::patch
