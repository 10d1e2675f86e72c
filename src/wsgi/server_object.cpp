// server_object.cpp - _core.Server: a WSGI application on listening sockets.
//
// run() belongs to one thread, whose scheduler everything runs on; stop() may come from any thread
// and from a signal handler. Requests that outlive the grace keep what they stand on: then the
// server's inside is never freed.
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <mutex>
#include <new>

#include "greenwsgi/base/log.hpp"
#include "src/py/runtime.hpp"
#include "src/wsgi/application.hpp"
#include "src/wsgi/server_options.hpp"

namespace greenwsgi::wsgi {

using py::Ref;

namespace {

struct Serving {
  ServerOptions options;
  Application application;
  std::unique_ptr<server::AccessLog> access_log;
  std::unique_ptr<server::Server> server;  // From run() on.
  Scheduler* scheduler = nullptr;          // From run() on.
  std::optional<Duration> stop_asked;      // Before run().
  bool running = false;
  bool ended = false;
};

struct ServerObject {
  PyObject_HEAD Serving* serving;  // Owned.
};

/// stop() for the server's own thread.
struct StopMessage : Message {
  Ref server_object;
  Duration grace;
};

Serving* serving_of(PyObject* self) {
  return reinterpret_cast<ServerObject*>(self)->serving;
}

// The runtime's own lines go to the error log of the server that runs; from any thread.
std::mutex sink_mutex;
LineWriter* sink_lines = nullptr;

void write_to_sink(LogLevel level, std::string_view line) {
  const std::lock_guard guard(sink_mutex);
  if (sink_lines == nullptr) return;
  try {
    std::string text = "greenwsgi: ";
    text.append(name_of(level)).append(": ").append(line);
    sink_lines->write(text);
  } catch (const std::bad_alloc&) {
    sink_lines->drop();
  }
}

void send_log_to(LineWriter* lines) {
  // In the child of a fork another thread may have held the mutex for ever.
  static const int registered = pthread_atfork(nullptr, nullptr, [] { set_log_sink(nullptr); });
  static_cast<void>(registered);
  {
    const std::lock_guard guard(sink_mutex);
    sink_lines = lines;
  }
  set_log_sink(lines != nullptr ? write_to_sink : nullptr);
}

bool prepare(PyTypeObject* type, PyObject* arguments, PyObject* keywords, Serving& serving) {
  ServerOptions& options = serving.options;
  if (!parse_options(arguments, keywords, options)) return false;
  PyObject* module = PyType_GetModule(type);
  if (module == nullptr) return false;
  ServerFacts facts{};
  facts.url_scheme = options.url_scheme;
  // No ?: here: it would make a string that ends with the statement.
  facts.software = options.server.server_header;
  if (facts.software.empty()) facts.software = "greenwsgi";
  facts.multiprocess = options.multiprocess;
  if (!serving.application.prepare(options.app.get(), module, options.error_log_fd, facts)) {
    return false;
  }
  if (options.access_log) {
    serving.access_log =
        std::make_unique<server::AccessLog>(*options.access_log, options.access_log_fd);
  }
  if (options.stack_bytes != 0) py::set_stack_bytes(options.stack_bytes);
  return true;
}

PyObject* server_new(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
  auto serving = std::make_unique<Serving>();
  if (!prepare(type, arguments, keywords, *serving)) {
    serving->options.listeners.clear();  // Still the caller's.
    return nullptr;
  }
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  reinterpret_cast<ServerObject*>(self)->serving = serving.release();
  return self;
}

int server_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (serving_of(self) == nullptr) return 0;
  Py_VISIT(serving_of(self)->options.app.get());
  return serving_of(self)->application.visit(visit, arg);
}

void server_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  Serving* serving = std::exchange(reinterpret_cast<ServerObject*>(self)->serving, nullptr);
  const bool in_use = serving->server && serving->server->statistics().connections_open > 0;
  if (!in_use) {
    if (!serving->server) {
      for (const int fd : serving->options.listeners) close(fd);
    }
    delete serving;
  }
  type->tp_free(self);
  Py_DECREF(type);
}

/// Makes the server on this thread's scheduler. False: a Python error is set.
bool start(Serving& serving) {
  if (serving.running || serving.ended) {
    PyErr_SetString(PyExc_RuntimeError,
                    serving.running ? "the server runs already" : "the server has been stopped");
    return false;
  }
  Scheduler* scheduler = py::ensure_scheduler();
  if (scheduler == nullptr) return false;
  if (!py::can_park()) {
    PyErr_SetString(PyExc_RuntimeError, "Server.run() must be called where a green may wait");
    return false;
  }
  Ref context = py::copy_context();
  if (!context && PyErr_Occurred()) return false;
  serving.application.set_context(std::move(context));
  serving.scheduler = scheduler;
  serving.server =
      std::make_unique<server::Server>(*scheduler, serving.application, serving.options.server);
  for (const int fd : serving.options.listeners) serving.server->add_listener(fd);
  if (serving.access_log) {
    serving.server->set_access_log(server::AccessLog::write, serving.access_log.get());
  }
  serving.running = true;
  if (serving.stop_asked) serving.server->stop(*serving.stop_asked);
  return true;
}

/// Serves until it is stopped; an exception (KeyboardInterrupt, a kill) cuts what is in flight.
Status serve(server::Server& server) {
  Status status = server.run();
  while (!status.ok() && status.error() == Errno{ECANCELED}) {
    if (py::raise_if_interrupted()) break;
    status = server.run();
  }
  if (!PyErr_Occurred()) return status;
  const py::SavedError error;
  server.stop(Duration::zero());
  status = server.run();
  while (!status.ok() && status.error() == Errno{ECANCELED}) {
    // One exception is on its way already, and everything is being cut.
    if (py::raise_if_interrupted()) PyErr_Clear();
    status = server.run();
  }
  return status;
}

PyObject* server_run(PyObject* self, PyObject*) {
  Serving& serving = *serving_of(self);
  if (!start(serving)) return nullptr;
  send_log_to(&serving.application.log().lines());
  const Status status = serve(*serving.server);
  serving.running = false;
  serving.ended = true;
  serving.application.log().lines().flush();
  send_log_to(nullptr);
  if (PyErr_Occurred()) return nullptr;
  if (!status.ok()) return py::set_os_error(status.error());
  Py_RETURN_NONE;
}

void run_stop(Message& message) noexcept {
  const std::unique_ptr<StopMessage> stop(static_cast<StopMessage*>(&message));
  Serving& serving = *serving_of(stop->server_object.get());
  if (!serving.ended) serving.server->stop(stop->grace);
}

PyObject* server_stop(PyObject* self, PyObject* argument) {
  const double seconds = PyFloat_AsDouble(argument);
  if (seconds == -1 && PyErr_Occurred()) return nullptr;
  if (!(seconds >= 0)) return PyErr_Format(PyExc_ValueError, "grace must be 0 or more seconds");
  const Duration grace =
      seconds > 1e9 ? Duration::max()
                    : std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  Serving& serving = *serving_of(self);
  if (serving.ended) Py_RETURN_NONE;
  if (!serving.server) {
    serving.stop_asked = grace;
  } else if (py::scheduler_or_null() == serving.scheduler) {
    serving.server->stop(grace);
  } else {
    auto* message = new (std::nothrow) StopMessage{{run_stop, nullptr}, Ref::share(self), grace};
    if (message == nullptr) return PyErr_NoMemory();
    serving.scheduler->post(*message);
  }
  Py_RETURN_NONE;
}

PyObject* server_statistics(PyObject* self, PyObject*) {
  const Serving& serving = *serving_of(self);
  const server::Statistics now =
      serving.server ? serving.server->statistics() : server::Statistics{};
  return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K}", "connections_accepted",
                       static_cast<unsigned long long>(now.connections_accepted),
                       "connections_open", static_cast<unsigned long long>(now.connections_open),
                       "requests_in_flight",
                       static_cast<unsigned long long>(now.requests_in_flight), "requests",
                       static_cast<unsigned long long>(now.requests), "requests_refused",
                       static_cast<unsigned long long>(now.requests_refused));
}

PyMethodDef methods[] = {
    {"run", server_run, METH_NOARGS,
     "Serve until stop() has done its work; runs Python's signal handlers promptly."},
    {"stop", server_stop, METH_O,
     "Stop accepting, let calls in flight finish for `grace` seconds. From any thread."},
    {"statistics", server_statistics, METH_NOARGS, "Counts, as a dict."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_doc,
     const_cast<char*>("Serves `app` on listening sockets, whose descriptors it takes over. Times "
                       "in seconds.")},
    {Py_tp_new, reinterpret_cast<void*>(server_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(server_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(server_traverse)},
    {Py_tp_methods, methods},
    {0, nullptr},
};

PyType_Spec spec = {
    "green._core.Server", sizeof(ServerObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots,
};

}  // namespace

int add_server(PyObject* module) {
  return add_type(module, spec, "Server");
}

}  // namespace greenwsgi::wsgi
