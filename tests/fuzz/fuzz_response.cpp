// fuzz_response.cpp - any status, fields and lengths into ResponseHead. What must hold: the head
// that comes out is one head, read naively; it has the fields that were taken, in order; and its
// framing is what it says. Input: a byte of flags, a byte of body length, then texts that 0xff
// separates: the status, and names and values in turn.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "greenwsgi/http/response_head.hpp"
#include "reference.hpp"

namespace {

using greenwsgi::fuzz::Fields;
using greenwsgi::fuzz::lower;
using greenwsgi::fuzz::values_of;
using greenwsgi::http::Framing;
using greenwsgi::http::ResponseHead;
using greenwsgi::http::ResponseTo;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz_response: %s\n", what);
  std::abort();
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('\xff', at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

void check_framing(const Framing& framing,
                   const ResponseTo& request,
                   const std::string& status,
                   const Fields& fields) {
  const auto lengths = values_of(fields, "content-length");
  const auto codings = values_of(fields, "transfer-encoding");
  const auto connection = values_of(fields, "connection");
  require(lengths.size() <= 1, "two Content-Lengths");
  require(lengths.empty() || codings.empty(), "Content-Length and Transfer-Encoding");
  const bool bodyless = request.head || status[0] == '1' || status == "204" || status == "304";
  require(bodyless == (framing.body == Framing::Body::none), "a body where none may be");
  if (framing.body == Framing::Body::sized) {
    require(lengths.size() == 1 && lengths[0] == std::to_string(framing.bytes), "another length");
  }
  const bool chunked = framing.body == Framing::Body::chunked;
  require(chunked == (codings == std::vector<std::string>{"chunked"}), "another coding");
  require(!chunked || request.version_minor == 1, "chunks to HTTP/1.0");
  if (framing.body == Framing::Body::to_close) require(!framing.keep_alive, "kept without an end");
  require(!framing.keep_alive || request.keep_alive, "kept against the request");
  require(framing.keep_alive == (connection != std::vector<std::string>{"close"}), "close unsaid");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const ResponseTo request{.head = (data[0] & 1) != 0,
                           .version_minor = static_cast<std::uint8_t>((data[0] >> 1) & 1),
                           .keep_alive = (data[0] & 4) != 0};
  const std::int64_t body_bytes = (data[0] & 8) != 0 ? data[1] : -1;
  const auto texts = split(std::string(reinterpret_cast<const char*>(data) + 2, size - 2));

  ResponseHead head;
  if (!head.begin(texts[0])) return 0;
  Fields taken;
  for (std::size_t i = 1; i + 1 < texts.size(); i += 2) {
    if (head.add(texts[i], texts[i + 1]) != ResponseHead::Added::ok) continue;
    if (lower(texts[i]) == "content-length") continue;
    // Read back without the white space around it.
    const auto field = greenwsgi::fuzz::split_field(texts[i] + ":" + texts[i + 1]);
    require(field.has_value(), "took a field that cannot be read");
    taken.push_back(*field);
  }
  const Framing framing = head.end(request, body_bytes, "s");

  std::size_t at = 0;
  const auto line = greenwsgi::fuzz::take_line(head.bytes(), at);
  require(line.has_value() && *line == "HTTP/1.1 " + texts[0], "another status line");
  const auto fields = greenwsgi::fuzz::take_fields(head.bytes(), at);
  require(fields.has_value(), "fields that cannot be read");
  require(at == head.bytes().size(), "more than one head");
  require(fields->size() >= taken.size(), "lost a field");
  for (std::size_t i = 0; i < taken.size(); ++i) require((*fields)[i] == taken[i], "other fields");
  check_framing(framing, request, texts[0].substr(0, 3), *fields);
  return 0;
}
