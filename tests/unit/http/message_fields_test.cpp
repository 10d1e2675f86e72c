// message_fields_test.cpp - what the fields about the message itself say, alone and together.
#include "src/http/message_fields.hpp"

#include <doctest/doctest.h>

#include <initializer_list>

namespace greenwsgi::http {
namespace {

struct Judged {
  int status;
  RequestHead head;
};

/// Gives the fields to a MessageFields; the first refusal, or what the head then says.
Judged judge(std::initializer_list<Header> fields,
             int version_minor = 1,
             const RequestLimits& limits = {}) {
  MessageFields message;
  Judged judged{};
  judged.head.version_minor = static_cast<std::uint8_t>(version_minor);
  for (const Header& field : fields) {
    judged.status = message.take(field).status;
    if (judged.status != 0) return judged;
  }
  judged.status = message.finish(limits, judged.head).status;
  return judged;
}

constexpr Header kHost{"Host", "a"};

TEST_CASE("fields: without any about a body there is none, and HTTP/1.1 stays open") {
  const Judged judged = judge({kHost, {"X-Other", "chunked"}});

  CHECK(judged.status == 0);
  CHECK(judged.head.content_length == -1);
  CHECK_FALSE(judged.head.chunked);
  CHECK(judged.head.keep_alive);
  CHECK_FALSE(judged.head.expect_continue);
}

TEST_CASE("fields: their names are read in any case") {
  const Judged judged = judge({{"HOST", "a"}, {"content-LENGTH", "5"}, {"eXPECT", "100-Continue"}});

  CHECK(judged.status == 0);
  CHECK(judged.head.content_length == 5);
  CHECK(judged.head.expect_continue);
}

TEST_CASE("fields: HTTP/1.1 needs one Host, HTTP/1.0 none, nobody two") {
  CHECK(judge({}).status == 400);
  CHECK(judge({}, 0).status == 0);
  CHECK(judge({kHost, kHost}, 0).status == 400);
  CHECK(judge({{"Host", ""}}).status == 0);
  CHECK(judge({{"Host", "a b"}}).status == 400);
}

TEST_CASE("fields: the length of the body is said once and by one field") {
  CHECK(judge({kHost, {"Content-Length", "5"}, {"Content-Length", "5"}}).status == 400);
  CHECK(judge({kHost, {"Content-Length", "5, 5"}}).status == 400);
  CHECK(judge({kHost, {"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}}).status == 400);
  CHECK(judge({kHost, {"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}}).status ==
        400);
}

TEST_CASE("fields: chunked is the one transfer coding, and not for HTTP/1.0") {
  CHECK(judge({kHost, {"Transfer-Encoding", "Chunked"}}).head.chunked);
  CHECK(judge({kHost, {"Transfer-Encoding", "chunked"}}, 0).status == 400);
  CHECK(judge({kHost, {"Transfer-Encoding", "gzip, chunked"}}).status == 501);
  for (const char* value : {"", "gzip", "chunked, gzip", "chunked, chunked", "x y"})
    CHECK(judge({kHost, {"Transfer-Encoding", value}}).status == 400);
}

TEST_CASE("fields: close wins over keep-alive, which HTTP/1.0 has to ask for") {
  CHECK_FALSE(judge({kHost, {"Connection", "Close"}}).head.keep_alive);
  CHECK_FALSE(judge({kHost, {"Connection", "keep-alive , close"}}).head.keep_alive);
  CHECK_FALSE(judge({}, 0).head.keep_alive);
  CHECK(judge({{"Connection", "x, Keep-Alive"}}, 0).head.keep_alive);
  CHECK_FALSE(judge({{"Connection", "keep-alive"}, {"Connection", "close"}}, 0).head.keep_alive);
}

TEST_CASE("fields: 100-continue is an expectation only of a body, and the only one") {
  const Header expect{"Expect", "100-continue"};
  CHECK_FALSE(judge({kHost, expect}).head.expect_continue);
  CHECK_FALSE(judge({kHost, expect, {"Content-Length", "0"}}).head.expect_continue);
  CHECK_FALSE(judge({expect, {"Content-Length", "1"}}, 0).head.expect_continue);
  CHECK(judge({kHost, expect, {"Transfer-Encoding", "chunked"}}).head.expect_continue);
  CHECK(judge({kHost, {"Expect", "200-ok"}}).status == 417);
}

TEST_CASE("fields: a body that is announced longer than the limit is refused") {
  const RequestLimits ten{.body_bytes = 10};
  CHECK(judge({kHost, {"Content-Length", "10"}}, 1, ten).status == 0);
  CHECK(judge({kHost, {"Content-Length", "11"}}, 1, ten).status == 413);
  CHECK(judge({kHost, {"Content-Length", "9223372036854775807"}}, 1, {.body_bytes = 0}).status ==
        0);
}

}  // namespace
}  // namespace greenwsgi::http
