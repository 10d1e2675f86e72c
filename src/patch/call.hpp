// call.hpp - one call of a hooked C function, whatever CPython's calling convention for it.
//
// A hook is one function, PyObject* hook(Call&). Hooked<hook> wraps it in an entry point for each
// convention that ml_flags can name, so that the same hook serves a function whose convention
// differs between CPython versions. The original is called with the arguments as they came
// (pass_on) or with others of the hook's own (original). Borrows everything: a Call lives as long
// as the C call it describes; OwnedCall keeps one beyond that.
#pragma once

#include <cstring>

#include "src/py/ref.hpp"

namespace greenwsgi::patch {

enum class Shape : unsigned char {
  one,              // METH_O
  none,             // METH_NOARGS
  tuple,            // METH_VARARGS
  tuple_keywords,   // METH_VARARGS | METH_KEYWORDS
  fast,             // METH_FASTCALL
  fast_keywords,    // METH_FASTCALL | METH_KEYWORDS
  method_keywords,  // METH_METHOD | METH_FASTCALL | METH_KEYWORDS
};

/// False when the flags are of no shape above.
bool shape_of(int ml_flags, Shape* shape);

class Call {
 public:
  Call(Shape shape, PyCFunction original, PyObject* self)
      : self_(self), original_(original), shape_(shape) {}

  PyObject* self() const { return self_; }
  PyTypeObject* defining_class() const { return class_; }  // Only method_keywords has one.
  Py_ssize_t count() const { return count_; }              // Positional arguments.
  PyObject* item(Py_ssize_t index) const { return items_[index]; }
  PyObject* keywords() const { return keywords_; }  // A dict, a tuple of names, or nullptr.
  bool without_arguments() const { return count_ == 0 && keywords_ == nullptr; }

  /// The original with the arguments of this call. A new reference.
  PyObject* pass_on() const { return invoke(items_, count_, keywords_, tuple_); }
  /// The original with other arguments, all positional. A new reference.
  PyObject* original(PyObject* arguments) const {
    return invoke(&PyTuple_GET_ITEM(arguments, 0), PyTuple_GET_SIZE(arguments), nullptr, arguments);
  }

  /// Puts the arguments that are given at their places in `values`, by position or by name, and
  /// leaves the others alone. False when there are others than these: the original will say so.
  template <std::size_t N>
  bool arrange(const char* const (&names)[N], PyObject* (&values)[N]) const {
    if (count_ > Py_ssize_t(N)) return false;
    for (Py_ssize_t i = 0; i < count_; i++) values[i] = items_[i];
    return keywords_ == nullptr || arrange_keywords(names, values, N);
  }

 private:
  template <PyObject* (*Hook)(Call&), int Alias>
  friend struct Hooked;
  friend class OwnedCall;

  PyObject* invoke(PyObject* const* items,
                   Py_ssize_t count,
                   PyObject* keywords,
                   PyObject* tuple) const;
  bool arrange_keywords(const char* const* names, PyObject** values, std::size_t count) const;

  PyObject* self_;
  PyObject* const* items_ = nullptr;
  Py_ssize_t count_ = 0;
  PyObject* keywords_ = nullptr;
  PyObject* tuple_ = nullptr;  // The items as CPython passed them, where that is a tuple.
  PyTypeObject* class_ = nullptr;
  PyCFunction original_;
  Shape shape_;
};

/// A call that may be made later, and on another thread.
class OwnedCall {
 public:
  /// Empty (and a Python error) when there is no memory.
  explicit OwnedCall(const Call& call);
  explicit operator bool() const { return static_cast<bool>(items_); }
  PyObject* run() const { return call_.pass_on(); }

 private:
  Call call_;
  py::Ref self_, items_, keywords_, class_;
};

// CPython's types for what ml_meth points to when it is not a PyCFunction.
using FastFunction = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t);
using FastKeywordsFunction = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*);
using MethodFunction =
    PyObject* (*)(PyObject*, PyTypeObject*, PyObject* const*, std::size_t, PyObject*);

template <class Function>
Function function_cast(PyCFunction function) {
  return reinterpret_cast<Function>(reinterpret_cast<void (*)()>(function));
}
template <class Function>
PyCFunction as_c_function(Function function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

inline PyObject* Call::invoke(PyObject* const* items,
                              Py_ssize_t count,
                              PyObject* keywords,
                              PyObject* tuple) const {
  switch (shape_) {
    case Shape::one:
      return original_(self_, items[0]);
    case Shape::none:
      return original_(self_, nullptr);
    case Shape::tuple:
      return original_(self_, tuple);
    case Shape::tuple_keywords:
      return function_cast<PyCFunctionWithKeywords>(original_)(self_, tuple, keywords);
    case Shape::fast:
      return function_cast<FastFunction>(original_)(self_, items, count);
    case Shape::fast_keywords:
      return function_cast<FastKeywordsFunction>(original_)(self_, items, count, keywords);
    case Shape::method_keywords:
      return function_cast<MethodFunction>(original_)(self_, class_, items,
                                                      static_cast<std::size_t>(count), keywords);
  }
  Py_UNREACHABLE();
}

/// The entry points of a hook. `Alias` tells apart methods that share a hook but not an original.
template <PyObject* (*Hook)(Call&), int Alias = 0>
struct Hooked {
  static inline PyCFunction original = nullptr;

  static PyObject* one(PyObject* self, PyObject* argument) {
    Call call(Shape::one, original, self);
    call.items_ = &argument;
    call.count_ = 1;
    return Hook(call);
  }
  static PyObject* none(PyObject* self, PyObject*) {
    Call call(Shape::none, original, self);
    return Hook(call);
  }
  static PyObject* tuple(PyObject* self, PyObject* arguments) {
    Call call(Shape::tuple, original, self);
    take(call, arguments);
    return Hook(call);
  }
  static PyObject* tuple_keywords(PyObject* self, PyObject* arguments, PyObject* keywords) {
    Call call(Shape::tuple_keywords, original, self);
    take(call, arguments);
    call.keywords_ = keywords;
    return Hook(call);
  }
  static PyObject* fast(PyObject* self, PyObject* const* items, Py_ssize_t count) {
    Call call(Shape::fast, original, self);
    call.items_ = items;
    call.count_ = count;
    return Hook(call);
  }
  static PyObject* fast_keywords(PyObject* self,
                                 PyObject* const* items,
                                 Py_ssize_t count,
                                 PyObject* names) {
    Call call(Shape::fast_keywords, original, self);
    call.items_ = items;
    call.count_ = count;
    call.keywords_ = names;
    return Hook(call);
  }
  static PyObject* method_keywords(PyObject* self,
                                   PyTypeObject* defining_class,
                                   PyObject* const* items,
                                   std::size_t count,
                                   PyObject* names) {
    Call call(Shape::method_keywords, original, self);
    call.items_ = items;
    call.count_ = PyVectorcall_NARGS(count);
    call.keywords_ = names;
    call.class_ = defining_class;
    return Hook(call);
  }

  static PyCFunction entry(Shape shape) {
    switch (shape) {
      case Shape::one:
        return one;
      case Shape::none:
        return none;
      case Shape::tuple:
        return tuple;
      case Shape::tuple_keywords:
        return as_c_function(tuple_keywords);
      case Shape::fast:
        return as_c_function(fast);
      case Shape::fast_keywords:
        return as_c_function(fast_keywords);
      case Shape::method_keywords:
        return as_c_function(method_keywords);
    }
    Py_UNREACHABLE();
  }

 private:
  static void take(Call& call, PyObject* arguments) {
    call.tuple_ = arguments;
    call.items_ = &PyTuple_GET_ITEM(arguments, 0);
    call.count_ = PyTuple_GET_SIZE(arguments);
  }
};

}  // namespace greenwsgi::patch
