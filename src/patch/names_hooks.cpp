// getaddrinfo, gethostbyname, gethostbyname_ex, gethostbyaddr, getnameinfo: the original, on a
// native thread, so that answers and errors are libc's own. What nobody has to be asked for (a
// literal address, a name in /etc/hosts) the original answers at once.
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <climits>
#include <cstring>
#include <optional>
#include <string_view>

#include "src/patch/hooks.hpp"
#include "src/patch/hosts_file.hpp"
#include "src/patch/native_call.hpp"
#include "src/patch/socket_hooks.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

using py::Ref;

// A text that no resolver has to be asked for: an address, nothing, or everybody.
bool is_literal(const char* text, Py_ssize_t bytes) {
  char name[INET6_ADDRSTRLEN + 32];
  if (bytes == 0) return true;
  if (bytes < 0 || bytes >= static_cast<Py_ssize_t>(sizeof name)) return false;
  std::memcpy(name, text, static_cast<std::size_t>(bytes));
  name[bytes] = '\0';
  if (std::strcmp(name, "<broadcast>") == 0) return true;
  unsigned char address[sizeof(in6_addr)];
  if (inet_pton(AF_INET, name, address) == 1) return true;
  if (char* scope = std::strchr(name, '%')) *scope = '\0';
  return inet_pton(AF_INET6, name, address) == 1;
}

// Nothing for what is no host at all: the original says so without waiting.
std::optional<std::string_view> text_of(PyObject* host) {
  if (host == nullptr || host == Py_None) return std::nullopt;
  if (PyUnicode_Check(host)) {
    Py_ssize_t bytes = 0;
    const char* text = PyUnicode_AsUTF8AndSize(host, &bytes);
    if (text == nullptr) return PyErr_Clear(), std::nullopt;
    return std::string_view(text, static_cast<std::size_t>(bytes));
  }
  if (PyBytes_Check(host))
    return std::string_view(PyBytes_AS_STRING(host),
                            static_cast<std::size_t>(PyBytes_GET_SIZE(host)));
  if (PyByteArray_Check(host))
    return std::string_view(PyByteArray_AS_STRING(host),
                            static_cast<std::size_t>(PyByteArray_GET_SIZE(host)));
  return std::nullopt;
}

bool needs_no_lookup(PyObject* host) {
  const auto text = text_of(host);
  return !text || is_literal(text->data(), static_cast<Py_ssize_t>(text->size()));
}

// `fallback` when there is none. Nothing: it is no int, or no C int.
std::optional<int> number_of(PyObject* argument, int fallback) {
  if (argument == nullptr) return fallback;
  if (!PyLong_Check(argument)) return std::nullopt;
  int overflow = 0;
  const long number = PyLong_AsLongAndOverflow(argument, &overflow);
  if (overflow != 0 || number < INT_MIN || number > INT_MAX) return std::nullopt;
  return static_cast<int>(number);
}

// Would getaddrinfo() find it in /etc/hosts? With other flags it may ask others, too.
bool is_in_hosts_file(PyObject* host, PyObject* family, PyObject* flags) {
  constexpr int kHarmless = AI_PASSIVE | AI_NUMERICSERV;
  const auto name = text_of(host);
  const auto wanted = number_of(family, AF_UNSPEC);
  const auto asked = number_of(flags, 0);
  return name && wanted && asked && (*asked & ~kHarmless) == 0 &&
         hosts_file_answers(*name, *wanted);
}

PyObject* look_up(Call& call) {
  return call_natively(call, NativeWork::lookup, "a name look-up");
}

PyObject* hook_getaddrinfo(Call& call) {
  if (!py::can_park()) return call.pass_on();
  PyObject* given[6] = {};
  if (!call.arrange({"host", "port", "family", "type", "proto", "flags"}, given) ||
      needs_no_lookup(given[0]) || is_in_hosts_file(given[0], given[2], given[5])) {
    return call.pass_on();
  }
  return look_up(call);
}

PyObject* hook_gethostbyname(Call& call) {
  if (!py::can_park() || call.count() != 1 || needs_no_lookup(call.item(0))) return call.pass_on();
  const auto name = text_of(call.item(0));
  return name && hosts_file_answers(*name, AF_INET) ? call.pass_on() : look_up(call);
}

// gethostbyaddr and gethostbyname_ex ask the resolver for literals as well.
PyObject* hook_always(Call& call) {
  return py::can_park() ? look_up(call) : call.pass_on();
}

PyObject* hook_getnameinfo(Call& call) {
  if (!py::can_park()) return call.pass_on();
  const bool numeric = call.count() == 2 && PyLong_Check(call.item(1)) &&
                       (PyLong_AsLong(call.item(1)) & NI_NUMERICHOST) != 0;
  PyErr_Clear();
  return numeric ? call.pass_on() : look_up(call);
}

/// As the methods of sockets take a host: what is ASCII as it is, else by IDNA. Empty, without an
/// error: they refuse it.
Ref bytes_of_host(PyObject* host) {
  Ref bytes;
  if (PyUnicode_Check(host)) {
    bytes = Ref::steal(PyUnicode_IS_ASCII(host) ? PyUnicode_AsASCIIString(host)
                                                : PyUnicode_AsEncodedString(host, "idna", nullptr));
  } else if (PyBytes_Check(host)) {
    bytes = Ref::share(host);
  } else if (PyByteArray_Check(host)) {
    bytes = Ref::steal(
        PyBytes_FromStringAndSize(PyByteArray_AS_STRING(host), PyByteArray_GET_SIZE(host)));
  }
  if (!bytes) {
    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_Exception)) PyErr_Clear();
    return Ref();
  }
  const auto length = static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.get()));
  return std::strlen(PyBytes_AS_STRING(bytes.get())) == length ? std::move(bytes) : Ref();
}

constexpr Target targets[] = {
    target<hook_getaddrinfo>("_socket", nullptr, "getaddrinfo"),
    target<hook_gethostbyname>("_socket", nullptr, "gethostbyname"),
    target<hook_always, 0>("_socket", nullptr, "gethostbyname_ex"),
    target<hook_always, 1>("_socket", nullptr, "gethostbyaddr"),
    target<hook_getnameinfo>("_socket", nullptr, "getnameinfo"),
};

}  // namespace

const Group names_group = {"names", targets, nullptr};

Ref resolved_address(int family, PyObject* address) {
  const bool internet = family == AF_INET || family == AF_INET6;
  if (!internet || !PyTuple_Check(address) || PyTuple_GET_SIZE(address) < 2 ||
      needs_no_lookup(PyTuple_GET_ITEM(address, 0))) {
    return Ref::share(address);
  }
  const Ref host_bytes = bytes_of_host(PyTuple_GET_ITEM(address, 0));
  if (!host_bytes) return PyErr_Occurred() ? Ref() : Ref::share(address);
  const Ref module = Ref::steal(PyImport_ImportModule("_socket"));
  if (!module) return Ref();
  const Ref answers = Ref::steal(
      PyObject_CallMethod(module.get(), "getaddrinfo", "OOi", host_bytes.get(), Py_None, family));
  if (!answers) return Ref();
  // [(family, type, protocol, canonical name, (address, ...)), ...]; the first, as libc's callers
  // do.
  const Ref first = Ref::steal(PySequence_GetItem(answers.get(), 0));
  const Ref found = first ? Ref::steal(PySequence_GetItem(first.get(), 4)) : Ref();
  Ref host = found ? Ref::steal(PySequence_GetItem(found.get(), 0)) : Ref();
  Ref made = host ? Ref::steal(PyTuple_New(PyTuple_GET_SIZE(address))) : Ref();
  if (!made) return Ref();
  PyTuple_SET_ITEM(made.get(), 0, host.release());
  for (Py_ssize_t i = 1; i < PyTuple_GET_SIZE(address); i++) {
    PyTuple_SET_ITEM(made.get(), i, Py_NewRef(PyTuple_GET_ITEM(address, i)));
  }
  return made;
}

}  // namespace greenwsgi::patch
