// result.hpp - the value of an operation that the operating system may refuse.
//
// Operating errors (reset by peer, timed out, out of descriptors) are expected: they travel as an
// Errno inside a Result and cannot be dropped silently. C++ exceptions are not used below the
// Python rooms: a throw must not cross a stack switch, and awaiting inside a catch block would mix
// two fibers' exception stacks.
#pragma once

#include <utility>

#include "greenwsgi/base/assert.hpp"

namespace greenwsgi {

struct Errno {
  int code;  // Positive, as in <cerrno>. The kernel's negative form stays inside the hub.
  friend bool operator==(Errno, Errno) = default;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Errno error) : error_(error) { GW_ASSERT(error.code > 0); }

  bool ok() const { return error_.code == 0; }
  /// Only when !ok().
  Errno error() const {
    GW_ASSERT(!ok());
    return error_;
  }
  T& operator*() {
    GW_ASSERT(ok());
    return value_;
  }
  const T& operator*() const {
    GW_ASSERT(ok());
    return value_;
  }

 private:
  T value_{};
  Errno error_{0};
};

/// The result of an operation that returns nothing but success.
struct Done {};
using Status = Result<Done>;

}  // namespace greenwsgi
