// Accepting: what goes wrong with one connection concerns no other, and what goes wrong with
// accepting itself passes.
#include "src/server/listener.hpp"

#include "tests/support/log_capture.hpp"
#include "tests/unit/server/sim_server.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

}  // namespace

TEST_CASE("out of descriptors or memory: accepting pauses, says so once, and recovers") {
  for (const int error : {EMFILE, ENFILE, ENOMEM, ENOBUFS}) {
    CAPTURE(error);
    const LogCapture capture;
    SimServer world(echo);
    SimPeer& early = world.ask(kGet);
    world.pass(1s);
    // For a second, every attempt fails.
    for (int i = 0; i < 20; i++)
      world.hub.at(world.hub.in(50ms * i), [&] {
        world.hub.fails_next(world.listener, Op::Kind::accept_multishot, error);
      });
    SimPeer& late = world.connect();
    late.sends(kGet, world.hub.in(10ms));
    early.sends(kGet, world.hub.in(300ms));

    world.pass(500ms);
    CHECK(world.responses(late).statuses() == "");
    CHECK(world.responses(early).statuses() == "200 200");  // The others are served meanwhile.
    world.pass(1500ms);

    CHECK(world.responses(late).statuses() == "200");
    REQUIRE(LogCapture::lines.size() == 1);
    CHECK(LogCapture::lines[0].starts_with("cannot accept connections: "));
  }
}

TEST_CASE("a connection that failed before it was accepted stops nothing") {
  const LogCapture capture;
  SimServer world(echo);
  for (const int error : {ECONNABORTED, EPROTO, EPERM, EHOSTUNREACH})
    world.hub.fails_next(world.listener, Op::Kind::accept_multishot, error);
  SimPeer& client = world.ask(kGet);

  world.pass(20ms);

  CHECK(world.responses(client).statuses() == "200");
  CHECK(LogCapture::lines.empty());
}

TEST_CASE("a stop while accepting pauses takes in those who wait") {
  const LogCapture capture;
  SimServer world(echo);
  world.hub.fails_next(world.listener, Op::Kind::accept_multishot, EMFILE);
  world.pass(10ms);
  SimPeer& client = world.ask(kGet);
  world.pass(5ms);

  world.server.stop(10s);
  world.pass(2s);

  CHECK(world.responses(client).statuses() == "200");
  CHECK(world.ended);
}

TEST_CASE("a Unix socket's requests name no addresses, and as their port the scheme's") {
  std::string named;
  SimServer world([&](Exchange& exchange) {
    const server::Endpoints& ends = exchange.endpoints();
    named = std::string(ends.remote_address) + "|" + std::string(ends.remote_port) + "|" +
            std::string(ends.server_name) + "|" + std::string(ends.server_port);
    echo(exchange);
  });
  world.ask(kGet);

  world.pass(1s);

  CHECK(named == "||localhost|80");
}
