// environ.cpp - see environ.hpp.
#include "src/wsgi/environ.hpp"

#include <cstring>
#include <string>

namespace greenwsgi::wsgi {

using py::Ref;

namespace {

int hex_digit(char letter) {
  if (letter >= '0' && letter <= '9') return letter - '0';
  const char small = static_cast<char>(letter | 32);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

bool intern(Ref& into, const char* text) {
  into = Ref::steal(PyUnicode_InternFromString(text));
  return bool(into);
}

bool set(PyObject* dict, PyObject* key, Ref value) {
  return value && PyDict_SetItem(dict, key, value.get()) == 0;
}

bool set(PyObject* dict, const char* key, Ref value) {
  Ref name;
  return intern(name, key) && set(dict, name.get(), std::move(value));
}

Ref path_text(std::string_view path) {
  if (path == "*") path = "";  // OPTIONS *: PEP 3333 wants a path, or nothing.
  if (std::memchr(path.data(), '%', path.size()) == nullptr) return latin1(path);
  char small[512];
  if (path.size() <= sizeof small) return latin1(percent_decode(path, small));
  std::string large(path.size(), '\0');
  return latin1(percent_decode(path, large.data()));
}

/// A repeated field: its values in order, as one (RFC 9110, 5.3; RFC 6265 for cookies).
bool append_value(PyObject* environ, HeaderKeys::Entry& entry, PyObject* earlier, PyObject* later) {
  const char* format = entry.kind == HeaderKeys::Kind::cookie ? "%U; %U" : "%U,%U";
  return set(environ, entry.key.get(), Ref::steal(PyUnicode_FromFormat(format, earlier, later)));
}

}  // namespace

std::string_view percent_decode(std::string_view path, char* room) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%' && i + 2 < path.size()) {
      const int high = hex_digit(path[i + 1]);
      const int low = hex_digit(path[i + 2]);
      if (high >= 0 && low >= 0) {
        room[bytes++] = static_cast<char>(high * 16 + low);
        i += 2;
        continue;
      }
    }
    room[bytes++] = path[i];
  }
  return {room, bytes};
}

bool EnvironMaker::prepare_keys() {
  return intern(keys_.request_method, "REQUEST_METHOD") && intern(keys_.path_info, "PATH_INFO") &&
         intern(keys_.query_string, "QUERY_STRING") && intern(keys_.request_uri, "REQUEST_URI") &&
         intern(keys_.raw_uri, "RAW_URI") && intern(keys_.server_protocol, "SERVER_PROTOCOL") &&
         intern(keys_.server_name, "SERVER_NAME") && intern(keys_.server_port, "SERVER_PORT") &&
         intern(keys_.remote_addr, "REMOTE_ADDR") && intern(keys_.remote_port, "REMOTE_PORT") &&
         intern(keys_.input, "wsgi.input") && intern(keys_.http_host, "HTTP_HOST") &&
         intern(empty_, "") && intern(http_1_0_, "HTTP/1.0") && intern(http_1_1_, "HTTP/1.1");
}

bool EnvironMaker::prepare(const ServerFacts& facts) {
  if (!prepare_keys() || !header_keys_.prepare()) return false;
  template_ = Ref::steal(PyDict_New());
  if (!template_) return false;
  PyObject* dict = template_.get();
  for (PyObject* key : {keys_.request_method.get(), keys_.path_info.get(), keys_.query_string.get(),
                        keys_.request_uri.get(), keys_.raw_uri.get(), keys_.server_protocol.get(),
                        keys_.server_name.get(), keys_.server_port.get(), keys_.remote_addr.get(),
                        keys_.remote_port.get(), keys_.input.get()}) {
    if (PyDict_SetItem(dict, key, empty_.get()) < 0) return false;
  }
  return set(dict, "SCRIPT_NAME", Ref::share(empty_.get())) &&
         set(dict, "GATEWAY_INTERFACE", latin1("CGI/1.1")) &&
         set(dict, "SERVER_SOFTWARE", latin1(facts.software)) &&
         set(dict, "wsgi.version", Ref::steal(Py_BuildValue("(ii)", 1, 0))) &&
         set(dict, "wsgi.url_scheme", latin1(facts.url_scheme)) &&
         set(dict, "wsgi.errors", Ref::share(facts.errors)) &&
         set(dict, "wsgi.file_wrapper", Ref::share(facts.file_wrapper)) &&
         set(dict, "wsgi.multithread", Ref::share(Py_True)) &&
         set(dict, "wsgi.multiprocess", Ref::share(facts.multiprocess ? Py_True : Py_False)) &&
         set(dict, "wsgi.run_once", Ref::share(Py_False)) &&
         set(dict, "wsgi.input_terminated", Ref::share(Py_True));
}

EnvironMaker::Made EnvironMaker::make(const http::RequestHead& head,
                                      const server::Endpoints& ends,
                                      PyObject* input) {
  Made made;
  try {
    fill(made, head, ends, input);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  }
  return made;
}

void EnvironMaker::fill(Made& made,
                        const http::RequestHead& head,
                        const server::Endpoints& ends,
                        PyObject* input) {
  Ref environ = Ref::steal(PyDict_Copy(template_.get()));
  if (!environ) return;
  PyObject* dict = environ.get();
  if (!set_request(dict, head, made)) return;
  if (!set_ends(dict, ends)) return;
  if (PyDict_SetItem(dict, keys_.input.get(), input) < 0) return;
  if (!set_headers(dict, head)) return;
  made.environ = std::move(environ);
}

bool EnvironMaker::set_request(PyObject* environ, const http::RequestHead& head, Made& made) {
  made.method = Ref::share(texts_.get(head.method));
  made.target = latin1(head.target);
  if (!made.method || !made.target) return false;
  // Most targets are a path and nothing else: then one string serves three keys.
  const bool plain = head.path.size() == head.target.size() && head.path != "*" &&
                     std::memchr(head.path.data(), '%', head.path.size()) == nullptr;
  Ref path = plain ? Ref::share(made.target.get()) : path_text(head.path);
  PyObject* version = head.version_minor == 0 ? http_1_0_.get() : http_1_1_.get();
  return set(environ, keys_.path_info.get(), std::move(path)) &&
         (head.query.empty() || set(environ, keys_.query_string.get(), latin1(head.query))) &&
         PyDict_SetItem(environ, keys_.request_method.get(), made.method.get()) == 0 &&
         PyDict_SetItem(environ, keys_.request_uri.get(), made.target.get()) == 0 &&
         PyDict_SetItem(environ, keys_.raw_uri.get(), made.target.get()) == 0 &&
         PyDict_SetItem(environ, keys_.server_protocol.get(), version) == 0;
}

bool EnvironMaker::set_ends(PyObject* environ, const server::Endpoints& ends) {
  const auto put = [&](const Ref& key, std::string_view text) {
    PyObject* value = texts_.get(text);
    return value != nullptr && PyDict_SetItem(environ, key.get(), value) == 0;
  };
  return put(keys_.server_name, ends.server_name) && put(keys_.server_port, ends.server_port) &&
         put(keys_.remote_addr, ends.remote_address) &&
         // Every client has another: they would only drive the rest from the cache.
         set(environ, keys_.remote_port.get(), latin1(ends.remote_port));
}

bool EnvironMaker::set_headers(PyObject* environ, const http::RequestHead& head) {
  for (const http::Header& header : head.headers) {
    HeaderKeys::Entry* entry = header_keys_.find(header.name);
    if (entry == nullptr) return false;
    if (entry->kind == HeaderKeys::Kind::refused) continue;
    if (entry->kind == HeaderKeys::Kind::content_length && head.chunked) continue;
    // The host of an absolute target counts, not the field (RFC 9112, 3.2.2).
    if (entry->kind == HeaderKeys::Kind::host && !head.authority.empty()) continue;
    Ref value = HeaderKeys::value_of(*entry, header.value);
    if (!value) return false;
    const Py_ssize_t before = PyDict_GET_SIZE(environ);
    PyObject* there = PyDict_SetDefault(environ, entry->key.get(), value.get());
    if (there == nullptr) return false;
    if (PyDict_GET_SIZE(environ) != before) continue;
    if (!append_value(environ, *entry, there, value.get())) return false;
  }
  return head.authority.empty() || set(environ, keys_.http_host.get(), latin1(head.authority));
}

}  // namespace greenwsgi::wsgi
