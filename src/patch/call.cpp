#include "src/patch/call.hpp"

namespace greenwsgi::patch {

bool shape_of(int ml_flags, Shape* shape) {
  switch (ml_flags & ~(METH_CLASS | METH_STATIC | METH_COEXIST)) {
    case METH_O:
      *shape = Shape::one;
      return true;
    case METH_NOARGS:
      *shape = Shape::none;
      return true;
    case METH_VARARGS:
      *shape = Shape::tuple;
      return true;
    case METH_VARARGS | METH_KEYWORDS:
      *shape = Shape::tuple_keywords;
      return true;
    case METH_FASTCALL:
      *shape = Shape::fast;
      return true;
    case METH_FASTCALL | METH_KEYWORDS:
      *shape = Shape::fast_keywords;
      return true;
    case METH_METHOD | METH_FASTCALL | METH_KEYWORDS:
      *shape = Shape::method_keywords;
      return true;
    default:
      return false;
  }
}

bool Call::arrange_keywords(const char* const* names, PyObject** values, std::size_t count) const {
  const auto place = [&](PyObject* name, PyObject* value) {
    for (std::size_t i = 0; i < count; i++) {
      if (PyUnicode_CompareWithASCIIString(name, names[i]) != 0) continue;
      if (values[i] != nullptr && static_cast<Py_ssize_t>(i) < count_) return false;  // Twice.
      values[i] = value;
      return true;
    }
    return false;
  };
  if (PyTuple_Check(keywords_)) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keywords_); i++) {
      if (!place(PyTuple_GET_ITEM(keywords_, i), items_[count_ + i])) return false;
    }
    return true;
  }
  PyObject *name, *value;
  for (Py_ssize_t at = 0; PyDict_Next(keywords_, &at, &name, &value);) {
    if (!PyUnicode_Check(name) || !place(name, value)) return false;
  }
  return true;
}

OwnedCall::OwnedCall(const Call& call)
    : call_(call),
      self_(py::Ref::share(call.self_)),
      keywords_(py::Ref::share(call.keywords_)),
      class_(py::Ref::share(reinterpret_cast<PyObject*>(call.class_))) {
  if (call.tuple_ != nullptr) {
    items_ = py::Ref::share(call.tuple_);
  } else {
    const bool named = call.keywords_ != nullptr && PyTuple_Check(call.keywords_);
    const Py_ssize_t all = call.count_ + (named ? PyTuple_GET_SIZE(call.keywords_) : 0);
    items_ = py::Ref::steal(PyTuple_New(all));
    if (!items_) return;
    for (Py_ssize_t i = 0; i < all; i++) {
      PyTuple_SET_ITEM(items_.get(), i, Py_NewRef(call.items_[i]));
    }
  }
  call_.items_ = &PyTuple_GET_ITEM(items_.get(), 0);
}

}  // namespace greenwsgi::patch
