// application.cpp - see application.hpp.
#include "src/wsgi/application.hpp"

#include <cerrno>

#include "src/py/runtime.hpp"
#include "src/wsgi/call.hpp"

namespace greenwsgi::wsgi {

using py::Ref;

namespace {

/// Runs a call in a copy of a context.
class ContextScope {
 public:
  explicit ContextScope(PyObject* context) {
    if (context == nullptr) return;
    copy_ = Ref::steal(PyContext_Copy(context));
    if (copy_ && PyContext_Enter(copy_.get()) == 0) return;
    py::report_exception("a WSGI call's context", context);
    copy_ = Ref();
  }
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;
  ~ContextScope() {
    if (copy_ && PyContext_Exit(copy_.get()) < 0) {
      py::report_exception("a WSGI call's context", copy_.get());
    }
  }

 private:
  Ref copy_;
};

}  // namespace

bool Application::prepare(PyObject* callable,
                          PyObject* module,
                          int error_log_fd,
                          ServerFacts facts) {
  if (!types_.find(module)) return false;
  callable_ = Ref::share(callable);
  log_ = std::make_shared<ErrorLog>(error_log_fd);
  error_stream_ = make_error_stream(as_type(types_.error_stream), log_);
  if (!error_stream_) return false;
  facts.errors = error_stream_.get();
  facts.file_wrapper = types_.file_wrapper.get();
  return environs_.prepare(facts);
}

void Application::handle(server::Exchange& exchange) noexcept {
  py::GreenScope green(nullptr);
  ContextScope context(context_.get());
  Call call(*this, exchange);
  call.run();
}

bool Application::set_body_error(int status, const char* message) const {
  const Ref& type = status == 408 ? types_.body_timeout : types_.body_error;
  const int code = status == 408 ? ETIMEDOUT : status == 413 ? EFBIG : EBADMSG;
  Ref error = Ref::steal(PyObject_CallFunction(type.get(), "is", code, message));
  Ref number = Ref::steal(PyLong_FromLong(status));
  if (!error || !number) return false;
  if (PyObject_SetAttrString(error.get(), "status", number.get()) < 0) return false;
  PyErr_SetObject(type.get(), error.get());
  return false;
}

int Application::visit(visitproc visit, void* arg) const {
  Py_VISIT(callable_.get());
  Py_VISIT(context_.get());
  return 0;
}

}  // namespace greenwsgi::wsgi
