// server_options.cpp - see server_options.hpp.
//
// Each keyword is one line of a table: its name, and the function that checks and stores it.
#include "src/wsgi/server_options.hpp"

#include <sys/socket.h>

#include <cmath>
#include <cstring>

namespace greenwsgi::wsgi {

using py::Ref;

namespace {

constexpr double kSecondsMax = 100.0 * 365 * 24 * 3600;

bool wrong(const char* name, const char* wanted, PyObject* value) {
  if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) return false;
  PyErr_Clear();
  PyErr_Format(PyExc_ValueError, "%s must be %s, not %R", name, wanted, value);
  return false;
}

template <class Number>
bool to_count(const char* name, PyObject* value, Number& number) {
  const long long given = PyLong_Check(value) ? PyLong_AsLongLong(value) : -1;
  if (given < 0) return wrong(name, "a whole number, not negative", value);
  number = static_cast<Number>(given);
  return true;
}

bool to_duration(const char* name, PyObject* value, Duration& duration) {
  const double seconds = PyFloat_AsDouble(value);
  if ((seconds == -1 && PyErr_Occurred()) || !(seconds >= 0)) {
    return wrong(name, "a number of seconds, not negative", value);
  }
  duration = seconds >= kSecondsMax
                 ? Duration::max()
                 : std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  return true;
}

bool to_fd(const char* name, PyObject* value, int& fd) {
  const long given = PyLong_Check(value) ? PyLong_AsLong(value) : -1;
  if (given < 0 || given > 0x7fffffff) return wrong(name, "a file descriptor", value);
  fd = static_cast<int>(given);
  return true;
}

/// Text that can stand in a header.
bool to_text(const char* name, PyObject* value, std::string& text) {
  if (!PyUnicode_Check(value) || !PyUnicode_IS_ASCII(value)) {
    return wrong(name, "a text of ASCII", value);
  }
  text = reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(value));
  const bool short_of_some = text.size() != static_cast<std::size_t>(PyUnicode_GET_LENGTH(value));
  if (short_of_some || !http::is_field_value(text)) {
    return wrong(name, "a text without control characters", value);
  }
  return true;
}

bool to_access_format(PyObject* value, std::optional<server::AccessFormat>& format) {
  using Format = server::AccessFormat;
  constexpr std::pair<const char*, Format> kFormats[] = {
      {"common", Format::common}, {"combined", Format::combined}, {"json", Format::json}};
  format.reset();
  if (value == Py_None) return true;
  for (const auto& [name, its_format] : kFormats) {
    if (!PyUnicode_Check(value) || PyUnicode_CompareWithASCIIString(value, name) != 0) continue;
    format = its_format;
    return true;
  }
  return wrong("access_log", "None, 'common', 'combined' or 'json'", value);
}

bool to_bool(PyObject* value, bool& flag) {
  const int truth = PyObject_IsTrue(value);
  flag = truth > 0;
  return truth >= 0;
}

struct Keyword {
  const char* name;
  bool (*store)(const char* name, PyObject* value, ServerOptions& options);
};

#define GW_KEYWORD(name, convert, target)                          \
  {                                                                \
    name, [](const char* key, PyObject* value, ServerOptions& o) { \
      return convert(key, value, target);                          \
    }                                                              \
  }

constexpr Keyword kKeywords[] = {
    GW_KEYWORD("request_line_bytes", to_count, o.server.limits.request_line_bytes),
    GW_KEYWORD("header_count", to_count, o.server.limits.header_count),
    GW_KEYWORD("header_bytes", to_count, o.server.limits.header_bytes),
    GW_KEYWORD("body_bytes", to_count, o.server.limits.body_bytes),
    GW_KEYWORD("header_timeout", to_duration, o.server.header_timeout),
    GW_KEYWORD("body_timeout", to_duration, o.server.body_timeout),
    GW_KEYWORD("keep_alive_timeout", to_duration, o.server.keep_alive_timeout),
    GW_KEYWORD("write_timeout", to_duration, o.server.write_timeout),
    GW_KEYWORD("connections_max", to_count, o.server.connections_max),
    GW_KEYWORD("requests_per_connection", to_count, o.server.requests_per_connection),
    GW_KEYWORD("server_header", to_text, o.server.server_header),
    GW_KEYWORD("access_log_fd", to_fd, o.access_log_fd),
    GW_KEYWORD("error_log_fd", to_fd, o.error_log_fd),
    GW_KEYWORD("url_scheme", to_text, o.url_scheme),
    GW_KEYWORD("stack_bytes", to_count, o.stack_bytes),
    {"access_log",
     [](const char*, PyObject* value, ServerOptions& o) {
       return to_access_format(value, o.access_log);
     }},
    {"multiprocess",
     [](const char*, PyObject* value, ServerOptions& o) { return to_bool(value, o.multiprocess); }},
};

#undef GW_KEYWORD

bool store_keyword(PyObject* name, PyObject* value, ServerOptions& options) {
  for (const Keyword& keyword : kKeywords) {
    if (PyUnicode_CompareWithASCIIString(name, keyword.name) != 0) continue;
    // Without a log, its descriptor says nothing.
    if (std::strcmp(keyword.name, "access_log_fd") == 0 && PyLong_Check(value) &&
        PyLong_AsLong(value) == -1) {
      return true;
    }
    return keyword.store(keyword.name, value, options);
  }
  PyErr_Format(PyExc_TypeError, "Server() has no keyword argument %R", name);
  return false;
}

bool is_listening(int fd) {
  int type = 0;
  int listening = 0;
  socklen_t bytes = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) != 0 || type != SOCK_STREAM) return false;
  bytes = sizeof listening;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes) == 0 && listening != 0;
}

bool store_listeners(PyObject* given, std::vector<int>& listeners) {
  Ref sequence = Ref::steal(PySequence_Fast(given, "listeners must be a list of descriptors"));
  if (!sequence) return false;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence.get()); ++i) {
    PyObject* listener = PySequence_Fast_GET_ITEM(sequence.get(), i);
    int fd;
    if (!to_fd("a listener", listener, fd)) return false;
    if (!is_listening(fd)) return wrong("a listener", "a listening stream socket", listener);
    listeners.push_back(fd);
  }
  if (!listeners.empty()) return true;
  PyErr_SetString(PyExc_ValueError, "listeners must name at least one listening socket");
  return false;
}

}  // namespace

bool parse_options(PyObject* arguments, PyObject* keywords, ServerOptions& options) {
  PyObject *app, *listeners;
  if (!PyArg_ParseTuple(arguments, "OO:Server", &app, &listeners)) return false;
  if (!PyCallable_Check(app)) return wrong("app", "a WSGI application, thus callable", app);
  options.app = Ref::share(app);
  PyObject *name, *value;
  Py_ssize_t position = 0;
  while (keywords != nullptr && PyDict_Next(keywords, &position, &name, &value)) {
    if (!store_keyword(name, value, options)) return false;
  }
  return store_listeners(listeners, options.listeners);
}

}  // namespace greenwsgi::wsgi
