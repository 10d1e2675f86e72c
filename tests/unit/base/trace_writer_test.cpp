#include "greenwsgi/base/trace_writer.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

using namespace greenwsgi;
using std::chrono_literals::operator""ns;

namespace {

struct File {
  File() : fd(::mkstemp(path)) { REQUIRE(fd >= 0); }
  ~File() {
    ::unlink(path);
    ::close(fd);
  }
  std::string text() const {
    std::string all(std::size_t(::lseek(fd, 0, SEEK_END)), '\0');
    REQUIRE(::pread(fd, all.data(), all.size(), 0) == ssize_t(all.size()));
    return all;
  }
  char path[32] = "/tmp/trace_writer_XXXXXX";
  int fd;
};

}  // namespace

TEST_CASE("trace writer: a complete file is an array, an event a line") {
  File file;
  {
    TraceWriter trace(::dup(file.fd), 7, "shop");
    trace.name_track(3, "green-3");
    trace.slice(3, "recv", Instant(1'002'003ns), Instant(1'004'003ns), 9);
  }
  CHECK(file.text() ==
        "[{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":7,\"args\":{\"name\":\"shop\"}}\n"
        ",{\"pid\":7,\"tid\":3,\"name\":\"thread_name\",\"ph\":\"M\",\"args\":{\"name\":\"green-"
        "3\"}}\n"
        ",{\"pid\":7,\"tid\":3,\"ph\":\"X\",\"name\":\"recv\",\"ts\":1002.003,\"dur\":2.000,"
        "\"args\":{\"descriptor\":9}}\n"
        "]\n");
}

TEST_CASE("trace writer: names are escaped") {
  File file;
  { TraceWriter trace(::dup(file.fd), 7, "a\"b\\c\nd"); }
  CHECK(file.text().find("a\\\"b\\\\c\\u000ad") != std::string::npos);
}

TEST_CASE("trace writer: chunks leave before the end, each of whole lines") {
  File file;
  TraceWriter trace(::dup(file.fd), 7, "shop");
  trace.slice(1, "sleep", Instant(1ns), Instant(2ns));
  const Instant now = Clock::now();
  trace.flush_if_due(now);
  while (file.text().empty()) ::usleep(100);

  const std::string text = file.text();
  CHECK(text.front() == '[');
  CHECK(text.back() == '\n');
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);

  trace.slice(1, "sleep", Instant(3ns), Instant(4ns));
  trace.flush_if_due(now);
  CHECK(file.text() == text);
}
