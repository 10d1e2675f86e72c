// access_log_test.cpp - the lines of the access log, and that no client can forge one.
#include "src/server/access_log.hpp"

#include <unistd.h>

#include <cstdlib>

#include "doctest/doctest.h"

using namespace greenwsgi;
using server::AccessFormat;
using server::AccessRecord;
using server::format_access;

namespace {

constexpr std::time_t kAt = 971'211'336;  // 2000-10-10 20:55:36 UTC

void use_utc() {
  setenv("TZ", "UTC0", 1);
  tzset();
}

AccessRecord record() {
  AccessRecord made{};
  made.remote_address = "127.0.0.1";
  made.method = "GET";
  made.target = "/apache_pb.gif";
  made.referer = "http://example.com/start";
  made.user_agent = "Mozilla/4.08 [en]";
  made.version_minor = 0;
  made.status = 200;
  made.body_bytes = 2326;
  made.duration = std::chrono::microseconds(1234);
  return made;
}

}  // namespace

TEST_CASE("access log: common is what NCSA defined") {
  use_utc();

  CHECK(format_access(AccessFormat::common, record(), kAt) ==
        "127.0.0.1 - - [10/Oct/2000:20:55:36 +0000] \"GET /apache_pb.gif HTTP/1.0\" 200 2326");
}

TEST_CASE("access log: combined adds referer and user agent, a dash where there is none") {
  use_utc();
  AccessRecord without = record();
  without.referer = "";

  const std::string line = format_access(AccessFormat::combined, without, kAt);

  CHECK(line.ends_with(" 200 2326 \"-\" \"Mozilla/4.08 [en]\""));
}

TEST_CASE("access log: json has every field under a name") {
  use_utc();

  CHECK(format_access(AccessFormat::json, record(), kAt) ==
        "{\"time\":\"2000-10-10T20:55:36+0000\",\"remote_address\":\"127.0.0.1\","
        "\"method\":\"GET\",\"target\":\"/apache_pb.gif\",\"protocol\":\"HTTP/1.0\","
        "\"status\":200,\"body_bytes\":2326,\"duration_us\":1234,"
        "\"referer\":\"http://example.com/start\",\"user_agent\":\"Mozilla/4.08 [en]\"}");
}

TEST_CASE("access log: a quote, a newline and an escape sequence stay inside their field") {
  AccessRecord hostile = record();
  hostile.user_agent = "x\" 200 0\n\x1b[2J\\\xff";

  const std::string text = format_access(AccessFormat::combined, hostile, kAt);
  const std::string json = format_access(AccessFormat::json, hostile, kAt);

  CHECK(text.ends_with("\"x\\\" 200 0\\x0a\\x1b[2J\\\\\\xff\""));
  CHECK(json.ends_with("\"user_agent\":\"x\\\" 200 0\\u000a\\u001b[2J\\\\\\u00ff\"}"));
}

TEST_CASE("access log: a client of a Unix socket has no address") {
  AccessRecord local = record();
  local.remote_address = "";

  CHECK(format_access(AccessFormat::common, local, kAt).starts_with("- - - ["));
}

TEST_CASE("access log: write() puts one line into the descriptor") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);

  {
    server::AccessLog log(AccessFormat::common, ends[1]);
    server::AccessLog::write(record(), &log);
  }
  close(ends[1]);

  char text[256];
  const ssize_t bytes = read(ends[0], text, sizeof text);
  close(ends[0]);
  REQUIRE(bytes > 0);
  CHECK(std::string_view(text, std::size_t(bytes)).ends_with(" 200 2326\n"));
}
