// The log: one sink, a level, and a bound on the length of a line.
#include "greenwsgi/base/log.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace greenwsgi;

namespace {

std::vector<std::string> seen;

struct Captured {
  Captured() {
    seen.clear();
    set_log_sink([](LogLevel level, std::string_view line) {
      seen.push_back(std::string(name_of(level)) + ": " + std::string(line));
    });
  }
  ~Captured() {
    set_log_sink(nullptr);
    set_log_level(LogLevel::info);
  }
};

}  // namespace

TEST_CASE("log: a line reaches the sink formatted, with its level") {
  const Captured captured;

  log(LogLevel::warning, "%d of %s", 3, "four");

  CHECK(seen == std::vector<std::string>{"warning: 3 of four"});
}

TEST_CASE("log: lines below the level are dropped") {
  const Captured captured;

  log(LogLevel::debug, "unseen");
  set_log_level(LogLevel::error);
  log(LogLevel::warning, "unseen");
  log(LogLevel::error, "seen");

  CHECK(seen == std::vector<std::string>{"error: seen"});
}

TEST_CASE("log: a line that is too long is cut") {
  const Captured captured;
  const std::string text(5000, 'x');

  log(LogLevel::info, "%s", text.c_str());

  REQUIRE(seen.size() == 1);
  CHECK(seen[0].size() > 2000);
  CHECK(seen[0].size() < 2100);
}
