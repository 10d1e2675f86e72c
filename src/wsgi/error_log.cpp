// error_log.cpp - see error_log.hpp; and the Python type of wsgi.errors.
#include "src/wsgi/error_log.hpp"

#include <pthread.h>

#include <new>

#include "src/py/runtime.hpp"
#include "src/wsgi/types.hpp"

namespace greenwsgi::wsgi {

using py::Ref;

namespace {

/// Of the running green; native threads have even numbers of their own, greens odd ones.
std::uint64_t writer_number() {
  Scheduler* scheduler = py::scheduler_or_null();
  if (scheduler != nullptr && scheduler->running() != nullptr) {
    return scheduler->running()->number() * 2 + 1;
  }
  return static_cast<std::uint64_t>(pthread_self()) * 2;
}

struct ErrorStream {
  PyObject_HEAD std::shared_ptr<ErrorLog> log;
};

ErrorLog& log_of(PyObject* self) {
  return *reinterpret_cast<ErrorStream*>(self)->log;
}

bool write_text(ErrorLog& log, PyObject* text) {
  if (!PyUnicode_Check(text)) {
    PyErr_Format(PyExc_TypeError, "wsgi.errors takes str, not %.100s", Py_TYPE(text)->tp_name);
    return false;
  }
  // A lone surrogate has no UTF-8, but must not be a reason to lose a message.
  Ref bytes = Ref::steal(PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace"));
  if (!bytes) return false;
  try {
    log.write(
        {PyBytes_AS_STRING(bytes.get()), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.get()))});
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
    return false;
  }
  return true;
}

PyObject* stream_write(PyObject* self, PyObject* text) {
  if (!write_text(log_of(self), text)) return nullptr;
  return PyLong_FromSsize_t(PyUnicode_GET_LENGTH(text));
}

PyObject* stream_writelines(PyObject* self, PyObject* lines) {
  Ref iterator = Ref::steal(PyObject_GetIter(lines));
  if (!iterator) return nullptr;
  while (Ref line = Ref::steal(PyIter_Next(iterator.get()))) {
    if (!write_text(log_of(self), line.get())) return nullptr;
  }
  if (PyErr_Occurred()) return nullptr;
  Py_RETURN_NONE;
}

PyObject* stream_flush(PyObject* self, PyObject*) {
  log_of(self).end_line();
  Py_RETURN_NONE;
}

void stream_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  reinterpret_cast<ErrorStream*>(self)->log.~shared_ptr();
  PyObject_Free(self);
  Py_DECREF(type);
}

PyMethodDef stream_methods[] = {
    {"write", stream_write, METH_O, "Write text to the server's error log."},
    {"writelines", stream_writelines, METH_O, "Write each of some texts."},
    {"flush", stream_flush, METH_NOARGS, "Pass an unfinished line on. Never waits."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot stream_slots[] = {
    {Py_tp_doc, const_cast<char*>("wsgi.errors: the server's error log, line by line.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(stream_dealloc)},
    {Py_tp_methods, stream_methods},
    {0, nullptr},
};

PyType_Spec stream_spec = {
    "green._core.ErrorStream",
    sizeof(ErrorStream),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    stream_slots,
};

/// The text of a traceback, as `traceback` formats it; what that fails with is said instead.
std::string format_exception(PyObject* exception) {
  Ref module = Ref::steal(PyImport_ImportModule("traceback"));
  Ref lines;
  if (module) {
    lines = Ref::steal(PyObject_CallMethod(module.get(), "format_exception", "(O)", exception));
  }
  Ref empty = Ref::steal(PyUnicode_FromString(""));
  Ref text = lines && empty ? Ref::steal(PyUnicode_Join(empty.get(), lines.get())) : Ref();
  Ref bytes =
      text ? Ref::steal(PyUnicode_AsEncodedString(text.get(), "utf-8", "backslashreplace")) : Ref();
  if (!bytes) {
    PyErr_Clear();
    return std::string(Py_TYPE(exception)->tp_name) + " (its traceback cannot be formatted)";
  }
  std::string result(PyBytes_AS_STRING(bytes.get()),
                     static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.get())));
  while (!result.empty() && result.back() == '\n') result.pop_back();
  return result;
}

}  // namespace

void ErrorLog::write(std::string_view text) {
  const std::size_t end = text.rfind('\n');
  if (end == std::string_view::npos) {
    if (unfinished_.size() == kWritersMax) end_all_lines();
    std::string& line = unfinished_[writer_number()];
    line.append(text);
    if (line.size() > kLineMax) end_line();
    return;
  }
  auto mine = unfinished_.find(writer_number());
  if (mine == unfinished_.end()) {
    lines_.write(text.substr(0, end));
  } else {
    mine->second.append(text.substr(0, end));
    end_line();
  }
  if (end + 1 < text.size()) write(text.substr(end + 1));
}

void ErrorLog::end_line() {
  if (unfinished_.empty()) return;
  auto mine = unfinished_.find(writer_number());
  if (mine == unfinished_.end()) return;
  lines_.write(mine->second);
  unfinished_.erase(mine);
}

// Of greens that ended in the middle of theirs, most likely: only a call's own is sure to be ended.
void ErrorLog::end_all_lines() {
  for (const auto& [writer, line] : unfinished_) lines_.write(line);
  unfinished_.clear();
}

void ErrorLog::report(const std::string& title, PyObject* exception) {
  end_line();
  lines_.write(title + ":\n" + format_exception(exception));
}

Ref make_error_stream(PyTypeObject* type, std::shared_ptr<ErrorLog> log) {
  auto* stream = reinterpret_cast<ErrorStream*>(PyType_GenericAlloc(type, 0));
  if (stream == nullptr) return {};
  new (&stream->log) std::shared_ptr<ErrorLog>(std::move(log));
  return Ref::steal(reinterpret_cast<PyObject*>(stream));
}

std::string printable(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size());
  for (const char letter : bytes) {
    const auto code = static_cast<unsigned char>(letter);
    if (code >= 32 && code < 127) {
      text += letter;
    } else {
      text += {'\\', 'x', kDigits[code >> 4], kDigits[code & 15]};
    }
  }
  return text;
}

int add_error_stream(PyObject* module) {
  return add_type(module, stream_spec, "ErrorStream");
}

}  // namespace greenwsgi::wsgi
