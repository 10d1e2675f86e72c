// texts.cpp - see texts.hpp.
//
// Only names of a fixed list are interned: an interned string of a stranger's making would be
// immortal on some versions of CPython.
#include "src/wsgi/texts.hpp"

#include <cstring>

namespace greenwsgi::wsgi {

using py::Ref;

namespace {

constexpr std::size_t kCachedTextMax = 64;
constexpr std::size_t kCachedValueMax = 128;

constexpr const char* kKnownNames[] = {
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "HTTP_ACCEPT",
    "HTTP_ACCEPT_CHARSET",
    "HTTP_ACCEPT_ENCODING",
    "HTTP_ACCEPT_LANGUAGE",
    "HTTP_AUTHORIZATION",
    "HTTP_CACHE_CONTROL",
    "HTTP_CONNECTION",
    "HTTP_COOKIE",
    "HTTP_DNT",
    "HTTP_EXPECT",
    "HTTP_FORWARDED",
    "HTTP_HOST",
    "HTTP_IF_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_RANGE",
    "HTTP_IF_UNMODIFIED_SINCE",
    "HTTP_KEEP_ALIVE",
    "HTTP_ORIGIN",
    "HTTP_PRAGMA",
    "HTTP_PRIORITY",
    "HTTP_RANGE",
    "HTTP_REFERER",
    "HTTP_SEC_CH_UA",
    "HTTP_SEC_CH_UA_MOBILE",
    "HTTP_SEC_CH_UA_PLATFORM",
    "HTTP_SEC_FETCH_DEST",
    "HTTP_SEC_FETCH_MODE",
    "HTTP_SEC_FETCH_SITE",
    "HTTP_SEC_FETCH_USER",
    "HTTP_TE",
    "HTTP_TRACEPARENT",
    "HTTP_TRACESTATE",
    "HTTP_TRANSFER_ENCODING",
    "HTTP_UPGRADE",
    "HTTP_UPGRADE_INSECURE_REQUESTS",
    "HTTP_USER_AGENT",
    "HTTP_VIA",
    "HTTP_X_CSRFTOKEN",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
    "HTTP_X_REQUESTED_WITH",
    "HTTP_X_REQUEST_ID",
};

// Ends and length, eight bytes each: enough to spread names; equality is checked anyway.
std::uint32_t hash_of(std::string_view text) {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  const std::size_t bytes = text.size() < 8 ? text.size() : 8;
  std::memcpy(&first, text.data(), bytes);
  std::memcpy(&last, text.data() + text.size() - bytes, bytes);
  std::uint64_t mixed = (first ^ (last << 23) ^ (last >> 41) ^ text.size()) * 0x9E3779B97F4A7C15u;
  return static_cast<std::uint32_t>(mixed >> 40);
}

bool is_text(PyObject* string, std::string_view text) {
  return static_cast<std::size_t>(PyUnicode_GET_LENGTH(string)) == text.size() &&
         std::memcmp(PyUnicode_1BYTE_DATA(string), text.data(), text.size()) == 0;
}

char cgi_letter(char letter) {
  if (letter == '-') return '_';
  return letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 32) : letter;
}

}  // namespace

PyObject* TextCache::get(std::string_view text) {
  if (text.empty() || text.size() > kCachedTextMax) {
    uncached_ = latin1(text);
    return uncached_.get();
  }
  Ref& slot = slots_[hash_of(text) % kSlots].text;
  if (slot && is_text(slot.get(), text)) return slot.get();
  slot = latin1(text);
  return slot.get();
}

bool HeaderKeys::prepare() {
  known_ = Ref::steal(PyDict_New());
  if (!known_) return false;
  for (const char* name : kKnownNames) {
    Ref key = Ref::steal(PyUnicode_InternFromString(name));
    if (!key || PyDict_SetItem(known_.get(), key.get(), key.get()) < 0) return false;
  }
  return true;
}

HeaderKeys::Entry* HeaderKeys::find(std::string_view name) {
  const bool cached = !name.empty() && name.size() <= Entry::kNameMax;
  Entry& entry = cached ? slots_[hash_of(name) % kSlots] : uncached_;
  if (cached && entry.key && entry.name_bytes == name.size() &&
      std::memcmp(entry.name, name.data(), name.size()) == 0) {
    return &entry;
  }
  return fill(entry, name) ? &entry : nullptr;
}

bool HeaderKeys::fill(Entry& entry, std::string_view name) {
  std::string cgi = "HTTP_";
  for (char letter : name) cgi += cgi_letter(letter);
  std::string_view text = cgi;
  if (text == "HTTP_CONTENT_TYPE" || text == "HTTP_CONTENT_LENGTH") text.remove_prefix(5);
  Ref key = latin1(text);
  if (!key) return false;
  PyObject* known = PyDict_GetItemWithError(known_.get(), key.get());
  if (known == nullptr && PyErr_Occurred()) return false;
  entry.key = known != nullptr ? Ref::share(known) : std::move(key);
  entry.value = Ref();
  entry.secret = text == "HTTP_COOKIE" || text == "HTTP_AUTHORIZATION";
  entry.kind = text == "HTTP_COOKIE"      ? Kind::cookie
               : text == "CONTENT_LENGTH" ? Kind::content_length
               : text == "HTTP_HOST"      ? Kind::host
               // HTTP_PROXY would be taken for the environment variable of HTTP clients
               // (CVE-2016-5385 and its kin).
               : text == "HTTP_PROXY" ? Kind::refused
                                      : Kind::plain;
  entry.name_bytes = 0;
  if (name.size() <= Entry::kNameMax) {
    entry.name_bytes = static_cast<std::uint8_t>(name.size());
    std::memcpy(entry.name, name.data(), name.size());
  }
  return true;
}

Ref HeaderKeys::value_of(Entry& entry, std::string_view value) {
  if (entry.value && is_text(entry.value.get(), value)) return Ref::share(entry.value.get());
  Ref text = latin1(value);
  if (text && !entry.secret && value.size() <= kCachedValueMax) {
    entry.value = Ref::share(text.get());
  }
  return text;
}

}  // namespace greenwsgi::wsgi
