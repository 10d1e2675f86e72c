// fuzz_request.cpp - any bytes, as one connection's, into RequestParser. What must hold:
//
//   1. the events do not depend on how the bytes arrive;
//   2. what is accepted is what reference.hpp reads, request by request, to the same last byte;
//   3. what is accepted, written again canonically, is accepted as the same request.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "reference.hpp"
#include "tests/unit/http/read_requests.hpp"

namespace {

using greenwsgi::fuzz::read_reference;
using greenwsgi::fuzz::ReferenceRequest;
using greenwsgi::http::Reading;
using greenwsgi::http::ReadRequest;
using greenwsgi::http::RequestLimits;

// Small ones, so that short inputs reach them; underscores are kept, for the reference's sake.
const RequestLimits kLimits{.request_line_bytes = 200,
                            .header_count = 12,
                            .header_bytes = 600,
                            .body_bytes = 5000,
                            .drop_underscore_names = false};

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz_request: %s\n", what);
  std::abort();
}

void check_splits(const std::string& bytes, const Reading& whole) {
  require(read_byte_by_byte(bytes, kLimits) == whole, "byte by byte reads differently");
  std::size_t cut = bytes.size();
  for (const char c : bytes) cut = cut * 31 + static_cast<unsigned char>(c);
  cut %= bytes.size() + 1;
  require(read_in_two(bytes, cut, kLimits) == whole, "in two pieces reads differently");
}

void check_reference(const std::string& bytes, const Reading& reading) {
  std::size_t at = 0;
  for (const ReadRequest& request : reading.requests) {
    if (!request.ended) break;
    const auto reference = read_reference(bytes, at);
    require(reference.has_value(), "accepted what the reference cannot read");
    require(reference->method == request.method, "another method");
    require(reference->target == request.target, "another target");
    require((reference->version == "HTTP/1.1") == (request.version_minor == 1), "another version");
    require(reference->fields == request.fields, "other fields");
    require(reference->body == request.body, "another body");
    at = reference->end;
  }
  const bool all_ended = reading.requests.empty() || reading.requests.back().ended;
  if (reading.status == 0) require(!all_ended || at <= reading.consumed, "another end");
}

std::string canonical(const ReadRequest& request) {
  std::string bytes = request.method + " " + request.target + " HTTP/1.";
  bytes += request.version_minor == 1 ? "1\r\n" : "0\r\n";
  for (const auto& [name, value] : request.fields) bytes += name + ": " + value + "\r\n";
  bytes += "\r\n";
  if (!request.chunked) return bytes + request.body;
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", request.body.size());
  if (!request.body.empty()) bytes += size + request.body + "\r\n";
  return bytes + "0\r\n\r\n";
}

void check_again(const ReadRequest& request) {
  // Spaces that were not sent count now.
  RequestLimits limits = kLimits;
  limits.header_bytes *= 2;
  const std::string bytes = canonical(request);
  const Reading again = read_whole(bytes, limits);
  require(again.status == 0, "refused when written canonically");
  require(again.requests.size() == 1, "not one request when written canonically");
  require(again.requests[0] == request, "another request when written canonically");
  require(again.consumed == bytes.size(), "another end when written canonically");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const Reading whole = read_whole(bytes, kLimits);
  check_splits(bytes, whole);
  check_reference(bytes, whole);
  for (const ReadRequest& request : whole.requests) {
    if (request.ended) check_again(request);
  }
  return 0;
}
