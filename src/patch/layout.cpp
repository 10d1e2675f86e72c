#include "src/patch/layout.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <vector>

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

// --- Files

Ref open_file(const Ref& type, int fd, const char* mode) {
  return Ref::steal(PyObject_CallFunction(type.get(), "isi", fd, mode, 0));
}

const char* probe_file(PyObject* file, int fd, bool readable) {
  const FileHead& head = file_head(file);
  if (head.fd != fd) return "the descriptor of a file is not where it was expected";
  if (head.readable == head.writable || (head.readable != 0) != readable)
    return "the mode of a file is not where it was expected";
  if (head.created != 0 || head.appending != 0 || head.close_fd != 0)
    return "the flags of a file are not where they were expected";
  const Ref closed = Ref::steal(PyObject_CallMethod(file, "close", nullptr));
  return closed && head.fd == -1 ? nullptr : "a closed file has a descriptor";
}

// A raw file that looks, while a buffer reads from it, for this thread's identity in the buffer.
PyObject* buffered_probed = nullptr;
std::vector<std::size_t> places_of_ident;

std::vector<std::size_t> find_ident(PyObject* object) {
  const unsigned long self = PyThread_get_thread_ident();
  const auto size = static_cast<std::size_t>(Py_TYPE(object)->tp_basicsize);
  std::vector<std::size_t> places;
  for (std::size_t at = sizeof(PyObject); at + sizeof(long) <= size; at += sizeof(long)) {
    if (*reinterpret_cast<unsigned long*>(reinterpret_cast<char*>(object) + at) == self)
      places.push_back(at);
  }
  return places;
}

PyObject* probe_readinto(PyObject*, PyObject*) {
  places_of_ident = find_ident(buffered_probed);
  return PyLong_FromLong(0);
}

PyObject* probe_true(PyObject*, PyObject*) {
  Py_RETURN_TRUE;
}

PyMethodDef probe_methods[] = {{"readinto", probe_readinto, METH_O, nullptr},
                               {"readable", probe_true, METH_NOARGS, nullptr},
                               {nullptr, nullptr, 0, nullptr}};
PyType_Slot probe_slots[] = {{Py_tp_methods, probe_methods}, {0, nullptr}};
PyType_Spec probe_spec = {"green._core.Probe", 0, 0, Py_TPFLAGS_DEFAULT, probe_slots};

const char* probe_buffered(PyObject* buffered) {
  buffered_probed = buffered;
  places_of_ident.clear();
  const Ref read = Ref::steal(PyObject_CallMethod(buffered, "read", "i", 1));
  if (!read || places_of_ident.size() != 1) return "the owner of a buffered file was not found";
  buffered_owner_offset = places_of_ident[0];
  return buffered_owner(buffered) == 0 ? nullptr : "a free buffered file has an owner";
}

// --- Poll objects

const char* probe_poll(PyObject* object, int fd) {
  const PollHead& head = poll_head(object);
  const Ref set = Ref::steal(PyObject_CallMethod(object, "register", "ii", fd, POLLIN));
  if (!set || head.is_up_to_date != 0) return "a poll object's state is not where it was expected";
  const Ref none = Ref::steal(PyObject_CallMethod(object, "poll", "i", 0));
  if (!none || head.is_up_to_date != 1 || head.count != 1)
    return "a poll object's size is not where it was expected";
  if (head.wanted[0].fd != fd || head.wanted[0].events != POLLIN)
    return "a poll object's descriptors are not where they were expected";
  poll_head(object).running = 1;
  const Ref refused = Ref::steal(PyObject_CallMethod(object, "poll", "i", 0));
  poll_head(object).running = 0;
  if (refused || PyErr_ExceptionMatches(PyExc_RuntimeError) == 0)
    return "a poll object does not know that it is in use";
  PyErr_Clear();
  const Ref again = Ref::steal(PyObject_CallMethod(object, "poll", "i", 0));
  return again ? nullptr : "a poll object that was in use stays so";
}

// --- Locks of multiprocessing

const char* probe_semlock(PyObject* lock) {
  const Ref taken = Ref::steal(PyObject_CallMethod(lock, "acquire", nullptr));
  const std::vector<std::size_t> places = find_ident(lock);
  if (!taken || places.size() != 1) return "the owner of a SemLock was not found";
  semlock_owner_offset = places[0];
  const unsigned long self = semlock_owner(lock);
  semlock_owner(lock) = self + 1;
  const Ref foreign = Ref::steal(PyObject_CallMethod(lock, "_is_mine", nullptr));
  semlock_owner(lock) = self;
  const Ref own = Ref::steal(PyObject_CallMethod(lock, "_is_mine", nullptr));
  if (foreign.get() != Py_False || own.get() != Py_True) return "a SemLock's owner is elsewhere";
  const Ref released = Ref::steal(PyObject_CallMethod(lock, "release", nullptr));
  return released ? nullptr : "a SemLock could not be released";
}

}  // namespace

std::size_t rlock_owner_offset = 0;
std::size_t semlock_owner_offset = 0;
std::size_t buffered_owner_offset = 0;

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

const char* check_file() {
  const Ref type = attribute_of_module("_io", "FileIO");
  int ends[2];
  if (!type || ::pipe2(ends, O_CLOEXEC) != 0) return "no file could be made";
  const char* wrong = "no file could be made";
  const auto size = reinterpret_cast<PyTypeObject*>(type.get())->tp_basicsize;
  for (const bool readable : {true, false}) {
    const int fd = ends[readable ? 0 : 1];
    const Ref file = open_file(type, fd, readable ? "rb" : "wb");
    if (!file) break;
    wrong = size < static_cast<Py_ssize_t>(sizeof(FileHead)) ? "the file object is too small"
                                                             : probe_file(file.get(), fd, readable);
    if (wrong != nullptr) break;
  }
  ::close(ends[0]);
  ::close(ends[1]);
  PyErr_Clear();
  return wrong;
}

const char* check_buffered() {
  const Ref type = attribute_of_module("_io", "BufferedReader");
  const Ref base = attribute_of_module("_io", "_RawIOBase");
  const Ref probe = base ? Ref::steal(PyType_FromSpecWithBases(&probe_spec, base.get())) : Ref();
  const Ref raw = probe ? Ref::steal(PyObject_CallNoArgs(probe.get())) : Ref();
  const Ref buffered = raw && type ? Ref::steal(PyObject_CallOneArg(type.get(), raw.get())) : Ref();
  const char* wrong = buffered ? probe_buffered(buffered.get()) : "no buffered file could be made";
  PyErr_Clear();
  return wrong;
}

const char* check_poll() {
  const Ref make = attribute_of_module("select", "poll");
  const Ref object = make ? Ref::steal(PyObject_CallNoArgs(make.get())) : Ref();
  int ends[2];
  if (!object || ::pipe2(ends, O_CLOEXEC) != 0) return "no poll object could be made";
  const auto size = Py_TYPE(object.get())->tp_basicsize;
  const char* wrong = size != static_cast<Py_ssize_t>(sizeof(PollHead))
                          ? "a poll object has another size"
                          : probe_poll(object.get(), ends[0]);
  ::close(ends[0]);
  ::close(ends[1]);
  PyErr_Clear();
  return wrong;
}

const char* check_semlock() {
  const Ref type = attribute_of_module("_multiprocessing", "SemLock");
  PyErr_Clear();
  if (!type) return nullptr;
  // A recursive one, whose name goes at once.
  char name[64];
  PyOS_snprintf(name, sizeof name, "/greenwsgi-%ld", static_cast<long>(::getpid()));
  const Ref lock = Ref::steal(PyObject_CallFunction(type.get(), "iiisi", 0, 1, 1, name, 1));
  const char* wrong = lock ? probe_semlock(lock.get()) : "this system has no POSIX semaphores";
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
