// call.cpp - the life of a call: its start, its errors, its end. The response's body is in
// respond.cpp.
#include "src/wsgi/call.hpp"

#include <cerrno>

#include "greenwsgi/base/log.hpp"
#include "greenwsgi/base/prefetch.hpp"
#include "src/py/green_object.hpp"
#include "src/py/parking_lot.hpp"
#include "src/py/runtime.hpp"
#include "src/py/runtime_state.hpp"
#include "src/wsgi/application.hpp"
#include "src/wsgi/input.hpp"
#include "src/wsgi/start_response.hpp"

namespace greenwsgi::wsgi {

using py::Ref;

namespace {
// Of what a dictionary of environ's size keeps its entries in.
constexpr std::size_t kEnvironPrefetch = 512;
}  // namespace

Call::Hold::Hold(Call& call, bool& busy, const char* what)
    : call_(call), busy_(busy), held_(false) {
  if (!py::can_switch() || py::scheduler_or_null() != call.scheduler_) {
    PyErr_Format(PyExc_RuntimeError, "%s belongs to the thread of its call's green", what);
  } else if (busy) {
    PyErr_Format(PyExc_RuntimeError, "another green is inside %s", what);
  } else {
    held_ = busy = true;
    py::drop_stale_interrupt();
  }
}

Call::Hold::~Hold() {
  if (!held_) return;
  busy_ = false;
  if (call_.ending_) py::unpark_one(&call_);
}

Call::Call(Application& application, server::Exchange& exchange)
    : application_(application), exchange_(exchange), scheduler_(py::scheduler_or_null()) {
  GW_ASSERT(scheduler_ != nullptr);
}

Call::~Call() {
  wait_for_others();
  if (input_) detach_input(input_.get());
  if (start_response_) detach_start_response(start_response_.get());
}

void Call::wait_for_others() {
  while (reading_ || writing_) {
    ending_ = true;
    const py::Woken woken = py::park_on(this, kNever, false, "a green inside the request");
    // Whatever was thrown at this green wants it to end, which it is about to.
    if (woken == py::Woken::interrupted && py::raise_if_interrupted()) PyErr_Clear();
  }
}

void Call::run() {
  Ref result = invoke();
  end_if_forked();
  if (!result || !respond(result.get())) fail();
  if (result) close(result.get());
  application_.log().end_line();
}

Ref Call::invoke() {
  const Types& types = application_.types();
  input_ = make_input(as_type(types.input), *this);
  start_response_ = make_start_response(as_type(types.start_response), *this);
  if (!input_ || !start_response_) return {};
  EnvironMaker::Made made =
      application_.environs().make(exchange_.head(), exchange_.endpoints(), input_.get());
  method_ = std::move(made.method);
  target_ = std::move(made.target);
  if (!made.environ) return {};
  exchange_.release_head();
  environ_keys_ = reinterpret_cast<PyDictObject*>(made.environ.get())->ma_keys;
  PyObject* arguments[] = {nullptr, made.environ.get(), start_response_.get()};
  return Ref::steal(PyObject_Vectorcall(application_.callable(), arguments + 1,
                                        2 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
}

void Call::close(PyObject* result) {
  if (PyList_CheckExact(result) || PyTuple_CheckExact(result)) return;
  Ref method = Ref::steal(PyObject_GetAttr(result, application_.types().close_name.get()));
  if (!method && PyErr_ExceptionMatches(PyExc_AttributeError)) {
    PyErr_Clear();
    return;
  }
  if (method && Ref::steal(PyObject_CallNoArgs(method.get()))) return;
  judge(py::take_exception().get());
}

std::string Call::title(const char* event) const {
  const auto text = [](const Ref& string) {
    if (!string) return std::string("-");
    return printable({reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(string.get())),
                      static_cast<std::size_t>(PyUnicode_GET_LENGTH(string.get()))});
  };
  return std::string(event) + " in " + text(method_) + " " + text(target_);
}

/// In the child of a fork the response is the parent's; whoever leaves the call there has come to
/// the end of the child.
void Call::end_if_forked() const {
  if (py::scheduler_or_null() != scheduler_) py::end_forked_child();
}

/// A Python error is set.
void Call::fail() {
  end_if_forked();
  // The exception, with all that its frames hold, is gone before the page waits for the client.
  const int status = judge(py::take_exception().get());
  peer_lost_ = Ref();
  if (!exchange_.head_sent() && !writing_) send_error_page(status);
}

/// say(), and what to do when there is no memory for it.
int Call::judge(PyObject* exception) {
  try {
    return say(exception);
  } catch (const std::bad_alloc&) {
    log(LogLevel::error, "a call failed, and there is no memory to say how");
    return 500;
  }
}

/// Says in the log what must be said of `exception`; the status that the client gets if there is
/// still a chance. std::bad_alloc.
int Call::say(PyObject* exception) {
  if (exception == peer_lost_.get()) {
    log(LogLevel::debug, "%s", title("the client has gone").c_str());
    return 400;  // One that has only ended its half too early may read it.
  }
  if (PyErr_GivenExceptionMatches(exception, application_.types().body_error.get())) {
    Ref status = Ref::steal(PyObject_GetAttrString(exception, "status"));
    const long code = status ? PyLong_AsLong(status.get()) : -1;
    PyErr_Clear();
    log(LogLevel::info, "%s", title("unreadable body").c_str());
    return code >= 400 && code <= 599 ? static_cast<int>(code) : 500;
  }
  if (py::names.green_exit != nullptr &&
      PyErr_GivenExceptionMatches(exception, py::names.green_exit)) {
    log(LogLevel::info, "%s", title("killed").c_str());
    return 500;
  }
  if (PyErr_GivenExceptionMatches(exception, PyExc_KeyboardInterrupt)) {
    // Ctrl-C arrives in whatever green happens to run; it was meant for the program.
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception)), exception);
    py::report_exception("a WSGI call", application_.callable());
    application_.log().report(title("interrupted"), exception);
    return 500;
  }
  application_.log().report(title("error"), exception);
  return 500;
}

void Call::send_error_page(int status) {
  finished_ = true;  // Whatever the application still says of it.
  const Status sent = exchange_.send_error_page(status);
  // The error itself has been said; that its page did not arrive is the client's loss.
  if (!sent.ok()) log(LogLevel::debug, "an error page was lost: %s", strerror(sent.error().code));
}

bool Call::start_response(PyObject* status, PyObject* headers, PyObject* exc_info) {
  // The call may have waited for long, and will soon be over.
  prefetch(environ_keys_, kEnvironPrefetch);
  exchange_.prefetch();
  if (exc_info != nullptr && exc_info != Py_None) {
    if (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3) {
      PyErr_SetString(PyExc_TypeError, "exc_info must be a tuple as of sys.exc_info()");
      return false;
    }
    if (exchange_.head_sent()) return raise_again(exc_info);
  } else if (finished_) {
    PyErr_SetString(PyExc_RuntimeError, "the response is complete");
    return false;
  } else if (started_) {
    PyErr_SetString(PyExc_AssertionError,
                    "start_response() was called before; a second call needs exc_info");
    return false;
  }
  try {
    started_ = fill_head(exchange_.response(), status, headers);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
    started_ = false;
  }
  if (!started_) exchange_.response().clear();
  return started_;
}

void Call::consume_body(std::size_t bytes) {
  if (!put_back_) return exchange_.consume_body(bytes);
  put_back_taken_ += bytes;
  if (put_back_taken_ == bytes_of(put_back_.get()).size()) put_back_ = Ref();
}

void Call::put_back(Ref bytes) {
  if (!bytes || PyBytes_GET_SIZE(bytes.get()) == 0) return PyErr_Clear();
  GW_ASSERT(!put_back_);
  put_back_ = std::move(bytes);
  put_back_taken_ = 0;
}

bool Call::lose_peer(Errno why) {
  py::set_os_error(why);
  peer_lost_ = py::take_exception();
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(peer_lost_.get())), peer_lost_.get());
  return false;
}

bool Call::give_way() {
  // Not on other threads, in blocking scopes and in children of forks.
  if (!py::turn_is_late() || !py::can_park() || py::scheduler_or_null() != scheduler_) return true;
  scheduler_->yield();
  return !py::raise_if_interrupted();
}

bool Call::write(PyObject* piece) {
  if (finished_) {
    PyErr_SetString(PyExc_RuntimeError, "the response is complete");
    return false;
  }
  if (!must_have_started() || !must_be_bytes(piece)) return false;
  const std::span<const char> bytes(PyBytes_AS_STRING(piece),
                                    static_cast<std::size_t>(PyBytes_GET_SIZE(piece)));
  return (bytes.empty() || send(std::as_bytes(bytes), -1)) && give_way();
}

bool Call::peek_body(io::ConstBytes& arrived) {
  if (put_back_) {
    arrived = bytes_of(put_back_.get()).subspan(put_back_taken_);
    return true;
  }
  for (;;) {
    Result<io::ConstBytes> result = exchange_.peek_body();
    if (result.ok()) {
      arrived = *result;
      return true;
    }
    const int code = result.error().code;
    if (code != ECANCELED) body_status_ = server::status_of_body_error(code);
    switch (code) {
      case ECANCELED:
        if (py::raise_if_interrupted()) return false;
        continue;
      case EBADMSG:
        return application_.set_body_error(body_status_, "the request's body is malformed");
      case E2BIG:
        return application_.set_body_error(body_status_, "the request has too many trailer fields");
      case EFBIG:
        return application_.set_body_error(body_status_, "the request's body is too large");
      case ETIMEDOUT:
        return application_.set_body_error(body_status_, "the request's body did not come in time");
      default:
        return lose_peer(result.error());
    }
  }
}

}  // namespace greenwsgi::wsgi
