// text.hpp - what bytes may stand where in an HTTP head, and the few ways to read such text.
//
// One table answers for all of them, so that a character's right to stand somewhere is written once
// (text.cpp). A bit is set where a byte is *not* allowed: a text is checked by or-ing its bytes'
// entries, without a branch for each. Knows nothing of messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace greenwsgi::http {

/// Why a message is refused: the status to answer with, and the sentence for the log.
struct Refusal {
  int status = 0;
  const char* reason = "";
  explicit operator bool() const { return status != 0; }
};

enum ByteClass : std::uint8_t {
  kNotToken = 1,    // RFC 9110, 5.6.2.
  kNotTarget = 2,   // Visible ASCII; no '#': a request target has no fragment (RFC 9112, 3.2).
  kNotRegName = 4,  // RFC 3986, 3.2.2; '%' is allowed here and checked apart.
  kUnderscore = 8,
};
struct ByteClasses {
  std::uint8_t of[256];
};
extern const ByteClasses kByteClasses;

inline unsigned byte_class(char c) {
  return kByteClasses.of[static_cast<unsigned char>(c)];
}

inline unsigned classes_of(std::string_view text) {
  unsigned all = 0;
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left >= 4; left -= 4, at += 4) {
    all |= byte_class(at[0]) | byte_class(at[1]) | byte_class(at[2]) | byte_class(at[3]);
  }
  for (; left != 0; --left, ++at) all |= byte_class(*at);
  return all;
}

inline bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
inline bool is_space(char c) {
  return c == ' ' || c == '\t';
}

/// The first control character (HTAB is one) at or after `begin`, or `end`.
inline const char* find_control(const char* begin, const char* end) {
#if defined(__SSE2__)
  const __m128i last_control = _mm_set1_epi8(0x1f);
  const __m128i del = _mm_set1_epi8(0x7f);
  for (; end - begin >= 16; begin += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(begin));
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes);
    const int found = _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(bytes, del)));
    if (found != 0) return begin + __builtin_ctz(static_cast<unsigned>(found));
  }
#endif
  while (begin != end && !is_control(*begin)) ++begin;
  return begin;
}

/// Is `text` the word `lower`, made of lower-case letters, digits and '-'? Of what `|0x20` maps
/// onto those, only their upper-case forms can stand in a text without control characters.
inline bool equals_lower(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (std::size_t i = 0; i < lower.size(); ++i) {
    if ((text[i] | 0x20) != lower[i]) return false;
  }
  return true;
}

inline std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

/// 1*DIGIT that fits 63 bits; else -1.
std::int64_t parse_decimal(std::string_view digits);

}  // namespace greenwsgi::http
