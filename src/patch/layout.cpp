#include "src/patch/layout.hpp"

namespace greenwsgi::patch::layout {

namespace {

using py::Ref;

Ref attribute_of_module(const char* module, const char* name) {
  const Ref imported = Ref::steal(PyImport_ImportModule(module));
  if (!imported) return Ref();
  return Ref::steal(PyObject_GetAttrString(imported.get(), name));
}

bool equals(const Ref& number, double expected) {
  return number && PyFloat_AsDouble(number.get()) == expected;
}

const char* probe_socket(PyObject* socket) {
  SocketHead& head = socket_head(socket);
  const Ref number = Ref::steal(PyObject_CallMethod(socket, "fileno", nullptr));
  if (!equals(number, head.fd)) return "the descriptor is not where it was expected";
  const Ref family = Ref::steal(PyObject_GetAttrString(socket, "family"));
  if (!equals(family, head.family)) return "the family is not where it was expected";
  if (head.timeout >= 0) return "a blocking socket's time-out is not negative";
  const Ref set = Ref::steal(PyObject_CallMethod(socket, "settimeout", "d", 0.007654321));
  if (!set || head.timeout != 7'654'321) return "the time-out is not where it was expected";
  head.timeout = 2'500'000'000;
  const Ref read = Ref::steal(PyObject_CallMethod(socket, "gettimeout", nullptr));
  if (!equals(read, 2.5)) return "a time-out written is not the time-out read";
  return nullptr;
}

const char* probe_rlock(PyObject* lock) {
  const unsigned long self = PyThread_get_thread_ident();
  const auto size = static_cast<std::size_t>(Py_TYPE(lock)->tp_basicsize);
  int found = 0;
  for (std::size_t at = sizeof(PyObject); at + sizeof(long) <= size; at += sizeof(long)) {
    if (*reinterpret_cast<unsigned long*>(reinterpret_cast<char*>(lock) + at) != self) continue;
    rlock_owner_offset = at;
    found += 1;
  }
  if (found != 1) return "the owner of an RLock was not found";
  rlock_owner(lock) = self + 1;
  const Ref foreign = Ref::steal(PyObject_CallMethod(lock, "_is_owned", nullptr));
  rlock_owner(lock) = self;
  const Ref own = Ref::steal(PyObject_CallMethod(lock, "_is_owned", nullptr));
  if (foreign.get() != Py_False || own.get() != Py_True) return "an RLock's owner is elsewhere";
  const Ref released = Ref::steal(PyObject_CallMethod(lock, "release", nullptr));
  if (!released || rlock_owner(lock) != 0) return "a free RLock's owner is not 0";
  return nullptr;
}

}  // namespace

std::size_t rlock_owner_offset = 0;

const char* check_socket() {
  const Ref type = attribute_of_module("_socket", "socket");
  const Ref socket = type ? Ref::steal(PyObject_CallNoArgs(type.get())) : Ref();
  const char* wrong = "no socket could be made";
  if (socket) {
    const auto size = reinterpret_cast<PyTypeObject*>(type.get())->tp_basicsize;
    wrong = size < static_cast<Py_ssize_t>(sizeof(SocketHead)) ? "the socket object is too small"
                                                               : probe_socket(socket.get());
    Py_XDECREF(PyObject_CallMethod(socket.get(), "close", nullptr));
  }
  PyErr_Clear();
  return wrong;
}

const char* check_rlock() {
  const Ref type = attribute_of_module("_thread", "RLock");
  const Ref lock = type ? Ref::steal(PyObject_CallNoArgs(type.get())) : Ref();
  const Ref taken = lock ? Ref::steal(PyObject_CallMethod(lock.get(), "acquire", nullptr)) : Ref();
  const char* wrong = taken ? probe_rlock(lock.get()) : "no RLock could be made";
  PyErr_Clear();
  return wrong;
}

bool is_released_by_thread_end([[maybe_unused]] PyObject* lock) {
#if PY_VERSION_HEX < 0x030D0000
  PyThreadState* thread = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
  for (; thread != nullptr; thread = PyThreadState_Next(thread)) {
    auto* reference = static_cast<PyObject*>(thread->on_delete_data);
    if (thread->on_delete == nullptr || reference == nullptr) continue;
    if (PyWeakref_Check(reference) && PyWeakref_GetObject(reference) == lock) return true;
  }
#endif
  return false;
}

}  // namespace greenwsgi::patch::layout
