// A handler's side of a request: whatever it does wrong, no client is ever given bytes that it
// could take for something else.
#include "greenwsgi/server/exchange.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/unit/server/sim_server.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr std::string_view kTwo =
    "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n";

/// A file without a name, with `text` in it.
struct TemporaryFile {
  explicit TemporaryFile(std::string_view text) {
    char path[] = "/tmp/exchange_test.XXXXXX";
    fd = ::mkstemp(path);
    REQUIRE(fd >= 0);
    ::unlink(path);
    REQUIRE(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  ~TemporaryFile() { ::close(fd); }
  int fd;
};

/// Statuses of what a client got who sent two requests at once to a server with this handler.
HttpResponses ask_twice(std::function<void(Exchange&)> what, bool* ended) {
  SimServer world(std::move(what));
  SimPeer& client = world.ask(kTwo);
  world.pass(3s);
  *ended = client.saw_end();
  return world.responses(client);
}

}  // namespace

TEST_CASE("a handler that sends no head: 500, and the connection can be used again") {
  bool ended = false;
  const HttpResponses got = ask_twice([](Exchange&) {}, &ended);

  CHECK(got.statuses() == "500 500");
  CHECK_FALSE(ended);
}

TEST_CASE("a handler that does not finish: the connection ends") {
  bool ended = false;
  const HttpResponses got = ask_twice(
      [](Exchange& exchange) {
        exchange.response().begin("200 OK");
        CHECK(exchange.send_head(-1, bytes_of("abc")).ok());
      },
      &ended);

  CHECK(got.all.empty());
  CHECK(got.rest.ends_with("3\r\nabc\r\n"));
  CHECK(ended);
}

TEST_CASE("a body shorter than announced: ENODATA, and the connection ends") {
  bool ended = false;
  const HttpResponses got = ask_twice(
      [](Exchange& exchange) {
        exchange.response().begin("200 OK");
        CHECK(exchange.send_head(10, bytes_of("abc")).ok());
        CHECK(exchange.body_bytes_left() == 7);
        CHECK(exchange.finish().error() == Errno{ENODATA});
      },
      &ended);

  CHECK(got.all.empty());
  CHECK(got.rest.ends_with("\r\n\r\nabc"));
  CHECK(ended);
}

TEST_CASE("a body longer than announced: EMSGSIZE, what was announced is sent, and the end") {
  bool ended = false;
  const HttpResponses got = ask_twice(
      [](Exchange& exchange) {
        exchange.response().begin("200 OK");
        exchange.response().add("Content-Length", "4");
        CHECK(exchange.send_head(-1, bytes_of("abc")).ok());
        CHECK(exchange.write(bytes_of("def")).error() == Errno{EMSGSIZE});
        CHECK(exchange.write(bytes_of("ghi")).error() == Errno{EMSGSIZE});
        CHECK(exchange.finish().ok());
      },
      &ended);

  CHECK(got.statuses() == "200");
  CHECK(got.all.at(0).body == "abcd");
  CHECK(got.rest.empty());
  CHECK(ended);
}

TEST_CASE("a first piece longer than announced: likewise") {
  bool ended = false;
  const HttpResponses got = ask_twice(
      [](Exchange& exchange) {
        exchange.response().begin("200 OK");
        CHECK(exchange.send_head(2, bytes_of("abc")).error() == Errno{EMSGSIZE});
        CHECK(exchange.finish().ok());
      },
      &ended);

  CHECK(got.statuses() == "200");
  CHECK(got.all.at(0).body == "ab");
  CHECK(ended);
}

TEST_CASE("a body of unknown length is chunked for HTTP/1.1 and ends with the connection for 1.0") {
  SimServer world([](Exchange& exchange) {
    exchange.response().begin("200 OK");
    CHECK(exchange.send_head(-1, {}).ok());
    CHECK(exchange.body_bytes_left() == -1);
    for (const char* piece : {"abc", "", "de"}) CHECK(exchange.write(bytes_of(piece)).ok());
    CHECK(exchange.finish().ok());
  });
  SimPeer& modern = world.ask(kTwo);
  SimPeer& old = world.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");

  world.pass(1s);

  CHECK(world.responses(modern).statuses() == "200 200");
  CHECK(world.responses(modern).all.at(0).body == "abcde");
  CHECK_FALSE(modern.saw_end());
  CHECK(world.responses(old).all.at(0).body == "abcde");
  CHECK(world.responses(old).all.at(0).has("Connection: close"));
  CHECK(old.saw_end());
}

TEST_CASE("HEAD, 204 and 304 have no body, whatever the handler writes") {
  SimServer world([](Exchange& exchange) {
    const std::string status(exchange.head().query);
    exchange.response().begin(status + " S");
    CHECK(exchange.send_head(-1, bytes_of("abc")).ok());
    CHECK(exchange.body_bytes_left() == 0);
    CHECK(exchange.write(bytes_of("def")).ok());
    CHECK(exchange.finish().ok());
  });
  const auto ask = [&](std::string method, std::string status) -> SimPeer& {
    const std::string one = method + " /?" + status + " HTTP/1.1\r\nHost: h\r\n\r\n";
    return world.ask(one + one);
  };
  SimPeer& head = ask("HEAD", "200");
  SimPeer& empty = ask("GET", "204");
  SimPeer& unchanged = ask("GET", "304");

  world.pass(1s);

  CHECK(world.responses(head, true).statuses() == "200 200");
  CHECK(world.responses(empty).statuses() == "204 204");
  CHECK(world.responses(unchanged).statuses() == "304 304");
  for (SimPeer* client : {&head, &empty, &unchanged}) {
    CHECK(world.responses(*client, client == &head).rest.empty());
    CHECK_FALSE(client->saw_end());
  }
}

TEST_CASE("an interim status from a handler ends the connection: no final one would follow") {
  bool ended = false;
  const HttpResponses got = ask_twice(
      [](Exchange& exchange) {
        exchange.response().begin("102 Processing");
        CHECK(exchange.send_head(-1, {}).ok());
        CHECK(exchange.finish().ok());
      },
      &ended);

  CHECK(got.statuses() == "102");
  CHECK(ended);
}

TEST_CASE("a large response to a client that reads slowly arrives whole") {
  const std::string large(3'000'000, 'x');
  SimServer world([&](Exchange& exchange) { CHECK(respond(exchange, large)); });
  SimPeer& client = world.ask(kGet);
  for (int i = 0; i < 100; i++) {
    client.stops_reading(world.hub.in(1s * i));
    client.reads_again(world.hub.in(1s * i + 900ms));
  }

  world.pass(200s);

  CHECK(world.responses(client).all.at(0).body == large);
}

TEST_CASE("write time: a peer that takes nothing is cut, and every further write fails at once") {
  std::vector<int> errors;
  std::vector<Instant> times;
  server::Options options;
  options.write_timeout = 10s;
  const std::string piece(1'000'000, 'x');
  SimServer world(
      [&](Exchange& exchange) {
        exchange.response().begin("200 OK");
        CHECK(exchange.send_head(-1, {}).ok());
        for (int i = 0; i < 3; i++) {
          const Status sent = exchange.write(bytes_of(piece));
          errors.push_back(sent.ok() ? 0 : sent.error().code);
          times.push_back(Scheduler::current()->now());
        }
        CHECK(exchange.client_gone());
        CHECK_FALSE(exchange.finish().ok());
      },
      options);
  const Instant began = world.hub.in(0s);
  SimPeer& client = world.connect();
  client.stops_reading(world.hub.in(0s));
  client.sends(kGet, world.hub.in(1s));

  world.pass(20s);

  CHECK(errors == std::vector<int>{ETIMEDOUT, EPIPE, EPIPE});
  CHECK(times.at(0) == began + 11s);
  CHECK(times.at(2) == began + 11s);
  CHECK(world.server.statistics().connections_open == 0);
}

TEST_CASE("an interrupt amid a write ends the response: nothing after it can be trusted") {
  Fiber* writer = nullptr;
  int error = 0;
  const std::string piece(1'000'000, 'x');
  SimServer world([&](Exchange& exchange) {
    writer = Scheduler::current()->running();
    exchange.response().begin("200 OK");
    CHECK(exchange.send_head(-1, {}).ok());
    error = exchange.write(bytes_of(piece)).error().code;
    CHECK(Scheduler::current()->take_interrupt());
    CHECK(exchange.write(bytes_of("more")).error() == Errno{EPIPE});
  });
  SimPeer& client = world.connect();
  client.stops_reading(world.hub.in(0s));
  client.reads_again(world.hub.in(5s));
  client.sends(kGet, world.hub.in(1ms));

  world.pass(2s);
  world.scheduler.interrupt(*writer);
  world.pass(5s);

  CHECK(error == ECANCELED);
  CHECK(client.saw_end());
  CHECK(client.received().find("more") == std::string::npos);
}

TEST_CASE("an interrupt that comes when the handler ends does not hit the next request") {
  SimServer world([](Exchange& exchange) {
    echo(exchange);
    Scheduler& scheduler = *Scheduler::current();
    scheduler.interrupt(*scheduler.running());
  });
  SimPeer& client =
      world.ask(std::string(kGet) + "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
  client.sends("body", world.hub.in(1s));

  world.pass(2s);

  CHECK(world.responses(client).statuses() == "200 200");
}

TEST_CASE("a client that goes amid the response: the handler learns it from its next write") {
  int error = 0;
  SimServer world([&](Exchange& exchange) {
    exchange.response().begin("200 OK");
    CHECK(exchange.send_head(-1, bytes_of("abc")).ok());
    CHECK(io::sleep_until(Scheduler::current()->now() + 2s).ok());
    const Status sent = exchange.write(bytes_of("def"));
    if (!sent.ok()) error = sent.error().code;
  });
  SimPeer& client = world.ask(kGet);
  client.closes(world.hub.in(1s));

  world.pass(5s);

  CHECK(error == EPIPE);
  CHECK(world.server.statistics().connections_open == 0);
}

TEST_CASE("send_file: a file's part, sized, chunked or to the end of the connection") {
  const TemporaryFile file("0123456789");
  SimServer world([&](Exchange& exchange) {
    exchange.response().begin("200 OK");
    CHECK(exchange.send_head(exchange.head().target == "/sized" ? 7 : -1, bytes_of("<")).ok());
    CHECK(exchange.send_file(file.fd, 2, 5).ok());
    CHECK(exchange.write(bytes_of(">")).ok());
    CHECK(exchange.finish().ok());
  });
  SimPeer& sized = world.ask("GET /sized HTTP/1.1\r\nHost: h\r\n\r\n");
  SimPeer& chunked = world.ask(kTwo);
  SimPeer& old = world.ask("GET / HTTP/1.0\r\n\r\n");

  world.pass(1s);

  CHECK(world.responses(sized).all.at(0).body == "<23456>");
  CHECK(world.responses(chunked).statuses() == "200 200");
  CHECK(world.responses(chunked).all.at(1).body == "<23456>");
  CHECK(world.responses(old).all.at(0).body == "<23456>");
}

TEST_CASE("send_file never sends more than was announced") {
  const TemporaryFile file("0123456789");
  bool ended = false;
  const HttpResponses got = ask_twice(
      [&](Exchange& exchange) {
        exchange.response().begin("200 OK");
        CHECK(exchange.send_head(3, {}).ok());
        CHECK(exchange.send_file(file.fd, 0, 10).ok());
        CHECK(exchange.finish().ok());
      },
      &ended);

  CHECK(got.statuses() == "200 200");
  CHECK(got.all.at(0).body == "012");
}

TEST_CASE("send_file: a file that ends early is ENODATA, and the connection ends") {
  const TemporaryFile file("0123456789");
  bool ended = false;
  const HttpResponses got = ask_twice(
      [&](Exchange& exchange) {
        exchange.response().begin("200 OK");
        CHECK(exchange.send_head(20, {}).ok());
        CHECK(exchange.send_file(file.fd, 0, 20).error() == Errno{ENODATA});
      },
      &ended);

  CHECK(got.all.empty());
  CHECK(got.rest.ends_with("0123456789"));
  CHECK(ended);
}

TEST_CASE("send_file: what cannot be sent so is EINVAL, and nothing has been sent of it") {
  int pair[2];
  REQUIRE(::pipe(pair) == 0);
  for (const std::int64_t length : {std::int64_t{4}, std::int64_t{-1}}) {
    bool ended = false;
    const HttpResponses got = ask_twice(
        [&](Exchange& exchange) {
          exchange.response().begin("200 OK");
          CHECK(exchange.send_head(length, {}).ok());
          CHECK(exchange.send_file(pair[0], 0, 4).error() == Errno{EINVAL});
          CHECK(exchange.write(bytes_of("abcd")).ok());
          CHECK(exchange.finish().ok());
        },
        &ended);
    CHECK(got.statuses() == "200 200");
    CHECK(got.all.at(0).body == "abcd");
  }
  ::close(pair[0]);
  ::close(pair[1]);
}
