// status_test.cpp - a status without a phrase of its own gets the standard's.
#include <doctest/doctest.h>

#include "greenwsgi/http/response_head.hpp"

namespace greenwsgi::http {
namespace {

TEST_CASE("reason_phrase: the first, the last and common codes have their names") {
  CHECK(reason_phrase(100) == "Continue");
  CHECK(reason_phrase(200) == "OK");
  CHECK(reason_phrase(304) == "Not Modified");
  CHECK(reason_phrase(413) == "Content Too Large");
  CHECK(reason_phrase(511) == "Network Authentication Required");
}

TEST_CASE(
    "reason_phrase: a code that nobody has registered is unknown, at either end and between") {
  for (const int code : {-1, 0, 99, 104, 306, 499, 512, 999})
    CHECK(reason_phrase(code) == "Unknown");
}

}  // namespace
}  // namespace greenwsgi::http
