// date_test.cpp - the Date field against libc's own reading of it.
#include <doctest/doctest.h>

#include <clocale>
#include <ctime>
#include <string>

#include "greenwsgi/http/response_head.hpp"

namespace greenwsgi::http {
namespace {

TEST_CASE("http_date: now, as an IMF-fixdate") {
  const std::time_t before = std::time(nullptr);
  const std::string date(http_date());
  const std::time_t after = std::time(nullptr);

  std::tm tm{};
  const char* end = strptime(date.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &tm);

  REQUIRE(date.size() == 29);
  REQUIRE(end != nullptr);
  CHECK(*end == '\0');
  // The coarse clock may lag by a tick.
  CHECK(timegm(&tm) >= before - 1);
  CHECK(timegm(&tm) <= after);
  char again[64];
  std::strftime(again, sizeof again, "%a, %d %b %Y %H:%M:%S GMT", &tm);
  CHECK(date == again);
}

TEST_CASE("http_date: the same second gives the same bytes, at the same place") {
  std::string_view first = http_date();
  std::string_view second = http_date();

  CHECK(first.data() == second.data());
}

}  // namespace
}  // namespace greenwsgi::http
