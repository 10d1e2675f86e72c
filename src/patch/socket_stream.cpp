// recv, recv_into, send, sendall: the hot four. Their arguments are read here, by CPython's own
// format strings; whatever these refuse goes to the original, which says what is wrong.
#include "src/patch/receive_room.hpp"
#include "src/patch/socket_hooks.hpp"
#include "src/patch/socket_io.hpp"

namespace greenwsgi::patch {

namespace {

class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { PyBuffer_Release(&view_); }

  /// False, without an error, when the object offers no such buffer.
  bool take(PyObject* object, int flags) {
    if (PyObject_GetBuffer(object, &view_, flags) == 0) return true;
    view_.obj = nullptr;
    PyErr_Clear();
    return false;
  }
  io::Bytes bytes() const {
    return {static_cast<std::byte*>(view_.buf), static_cast<std::size_t>(view_.len)};
  }

 private:
  Py_buffer view_{};
};

// As "i" of PyArg_Parse takes it, or false without an error.
bool as_flags(PyObject* number, int* flags) {
  Py_ssize_t value = 0;
  if (number == nullptr) return true;
  if (!as_size(number, &value) || value < INT_MIN || value > INT_MAX) return false;
  *flags = static_cast<int>(value);
  return true;
}

bool leave_to_original(PyObject* socket, int flags) {
  return is_blocking(socket) && (flags & kNeverBlocks) != 0;
}

bool looks_at_all(PyObject* socket, int flags) {
  constexpr int kBoth = MSG_PEEK | MSG_WAITALL;
  return (flags & kBoth) == kBoth && is_blocking_stream(socket);
}

// The arguments (data[, flags]) of a call that is to wait here; false: the original's affair.
bool take_data(Call& call, Buffer& buffer, int* flags) {
  if (!waits(call.self()) || call.count() < 1 || call.count() > 2) return false;
  if (!as_flags(call.count() > 1 ? call.item(1) : nullptr, flags)) return false;
  if (!buffer.take(call.item(0), PyBUF_SIMPLE)) return false;
  return !is_blocking(call.self()) || (*flags & MSG_DONTWAIT) == 0;
}

// The usual recv(): more is asked for than comes.
PyObject* receive_in_room(PyObject* socket, std::size_t size, int flags) {
  const ReceiveRoom room(size);
  if (room.bytes().empty()) return PyErr_NoMemory();
  const auto got = receive(socket, room.bytes(), flags);
  if (!got) return nullptr;
  return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(room.bytes().data()),
                                   static_cast<Py_ssize_t>(*got));
}

}  // namespace

PyObject* hook_recv(Call& call) {
  if (!waits(call.self())) return call.pass_on();
  Py_ssize_t size = 0;
  int flags = 0;
  if (call.count() < 1 || call.count() > 2 || !as_size(call.item(0), &size) || size <= 0 ||
      !as_flags(call.count() > 1 ? call.item(1) : nullptr, &flags) ||
      leave_to_original(call.self(), flags)) {
    return call.pass_on();
  }
  if (looks_at_all(call.self(), flags)) return receive_natively(call);
  // MSG_TRUNC tells of more bytes than there is room for.
  if (ReceiveRoom::fits(static_cast<std::size_t>(size)) && (flags & MSG_TRUNC) == 0)
    return receive_in_room(call.self(), static_cast<std::size_t>(size), flags);
  PyObject* bytes = PyBytes_FromStringAndSize(nullptr, size);
  if (bytes == nullptr) return nullptr;
  auto* room = reinterpret_cast<std::byte*>(PyBytes_AS_STRING(bytes));
  const auto got = receive(call.self(), {room, static_cast<std::size_t>(size)}, flags);
  if (!got) {
    Py_DECREF(bytes);
    return nullptr;
  }
  if (*got != static_cast<std::size_t>(size)) {
    _PyBytes_Resize(&bytes, static_cast<Py_ssize_t>(*got));
  }
  return bytes;
}

PyObject* hook_recv_into(Call& call) {
  if (!waits(call.self())) return call.pass_on();
  PyObject* arguments[3] = {};
  Py_ssize_t size = 0;
  int flags = 0;
  Buffer buffer;
  if (!call.arrange({"buffer", "nbytes", "flags"}, arguments) || arguments[0] == nullptr ||
      (arguments[1] != nullptr && !as_size(arguments[1], &size)) ||
      !as_flags(arguments[2], &flags) || leave_to_original(call.self(), flags) ||
      !buffer.take(arguments[0], PyBUF_WRITABLE)) {
    return call.pass_on();
  }
  io::Bytes into = buffer.bytes();
  if (size < 0 || static_cast<std::size_t>(size) > into.size()) return call.pass_on();
  if (size > 0) into = into.first(static_cast<std::size_t>(size));
  if (into.empty()) return call.pass_on();
  if (looks_at_all(call.self(), flags)) return receive_natively(call);
  const auto got = receive(call.self(), into, flags);
  return got ? PyLong_FromSize_t(*got) : nullptr;
}

PyObject* hook_send(Call& call) {
  int flags = 0;
  Buffer buffer;
  if (!take_data(call, buffer, &flags)) return call.pass_on();
  const auto sent = send_once(call.self(), buffer.bytes(), flags);
  return sent ? PyLong_FromSize_t(*sent) : nullptr;
}

PyObject* hook_sendall(Call& call) {
  int flags = 0;
  Buffer buffer;
  if (!take_data(call, buffer, &flags)) return call.pass_on();
  if (!send_everything(call.self(), buffer.bytes(), flags)) return nullptr;
  Py_RETURN_NONE;
}

}  // namespace greenwsgi::patch
