// texts.hpp - bytes of a request as Python strings, without making the same string again and again.
//
// Two direct-mapped caches of fixed size: a newcomer takes the place of whoever was there, so a
// stranger who invents names can slow himself down, but neither grow nor poison them. Everything is
// Latin-1 ("bytes in str's clothing", PEP 3333). They know nothing of what the texts mean, but that
// header names become CGI variables.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "src/py/ref.hpp"

namespace greenwsgi::wsgi {

inline py::Ref latin1(std::string_view bytes) {
  return py::Ref::steal(
      PyUnicode_DecodeLatin1(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), nullptr));
}

/// Short texts that come again: methods, addresses, ports.
class TextCache {
 public:
  /// Borrowed, valid until the next call. nullptr: a Python error is set.
  PyObject* get(std::string_view text);

 private:
  static constexpr std::size_t kSlots = 1024;
  struct Slot {
    py::Ref text;
  };
  std::array<Slot, kSlots> slots_;
  py::Ref uncached_;
};

/// Header names as environ keys ("Accept-Encoding" as "HTTP_ACCEPT_ENCODING"), and the value that
/// each came with last.
class HeaderKeys {
 public:
  enum class Kind : std::uint8_t { plain, cookie, content_length, host, refused };

  struct Entry {
    static constexpr std::size_t kNameMax = 45;
    py::Ref key;
    py::Ref value;  // The last one, if it was short and no secret.
    Kind kind = Kind::plain;
    bool secret = false;
    std::uint8_t name_bytes = 0;
    char name[kNameMax];  // As sent.
  };

  /// False: a Python error is set.
  bool prepare();
  /// Valid until the next call. nullptr: a Python error is set.
  Entry* find(std::string_view name);
  /// `value` as a string, taken from `entry` when it is the same as the last time.
  static py::Ref value_of(Entry& entry, std::string_view value);

 private:
  static constexpr std::size_t kSlots = 512;
  bool fill(Entry& entry, std::string_view name);

  std::array<Entry, kSlots> slots_;
  Entry uncached_;
  py::Ref known_;  // dict: keys of the well-known names, interned, to themselves.
};

}  // namespace greenwsgi::wsgi
