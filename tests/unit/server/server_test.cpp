// The server as a whole: its way down, how many it takes in, what it counts.
#include "greenwsgi/server/server.hpp"

#include "tests/support/log_capture.hpp"
#include "tests/unit/server/sim_server.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

/// Answers after `time`.
std::function<void(Exchange&)> works_for(Duration time) {
  return [time](Exchange& exchange) {
    CHECK(io::sleep_until(Scheduler::current()->now() + time).ok());
    echo(exchange);
  };
}

}  // namespace

TEST_CASE("stop: idle connections close at once, and run returns") {
  SimServer world(echo);
  SimPeer& client = world.ask(kGet);
  world.pass(1s);

  world.server.stop(30s);
  world.pass(10ms);

  CHECK(client.saw_end());
  CHECK(world.ended);
  CHECK(world.server.stopping());
  CHECK(world.scheduler.timers() == 0);
}

TEST_CASE("stop: calls in flight finish, with Connection: close, and the pipelined ones are left") {
  SimServer world(works_for(5s));
  SimPeer& client = world.ask(std::string(kGet) + std::string(kGet));
  world.pass(1s);

  world.server.stop(30s);
  world.pass(3s);
  CHECK_FALSE(world.ended);
  world.pass(2s);

  const HttpResponses got = world.responses(client);
  CHECK(got.statuses() == "200");
  CHECK(got.all.at(0).has("Connection: close"));
  CHECK(client.saw_end());
  world.pass(3s);  // What it asked for twice is not read any more: lingering.
  CHECK(world.ended);
}

TEST_CASE("stop: a request that is half there is read to its end and answered") {
  SimServer world(echo);
  SimPeer& client = world.ask("GET /a HT");
  client.sends("TP/1.1\r\nHost: h\r\n\r\n", world.hub.in(3s));
  world.pass(1s);

  world.server.stop(30s);
  world.pass(5s);

  CHECK(world.responses(client).statuses() == "200");
  CHECK(world.ended);
}

TEST_CASE("stop: connections still in the backlog are served") {
  SimServer world(echo);
  world.pass(1s);
  std::vector<SimPeer*> clients;
  for (int i = 0; i < 10; i++) {
    SimPeer& client = world.connect();
    client.sends(kGet, world.hub.in(500ms));
    clients.push_back(&client);
  }
  world.hub.at(world.hub.in(0s), [&] { world.server.stop(30s); });

  world.pass(5s);

  for (SimPeer* client : clients) CHECK(world.responses(*client).statuses() == "200");
  CHECK(world.ended);
}

TEST_CASE("stop: a fresh connection that says nothing is not waited for") {
  SimServer world(echo);
  SimPeer& silent = world.connect();
  world.pass(10ms);

  world.server.stop(30s);
  world.pass(1100ms);

  CHECK(silent.saw_end());
  CHECK(world.ended);
}

TEST_CASE("stop: bytes that have come by then are a request, not an idle connection") {
  SimServer world(echo);
  SimPeer& client = world.ask(kGet);
  world.pass(1s);
  world.hub.at(world.hub.in(1s), [&] {
    client.sends(kGet);
    world.server.stop(30s);
  });

  world.pass(2s);

  CHECK(world.responses(client).statuses() == "200 200");
  CHECK(world.ended);
}

TEST_CASE("stop: when the grace is over, what is in flight is cut, and run returns") {
  int error = 0;
  SimServer world([&](Exchange& exchange) { read_body(exchange, &error); });
  SimPeer& client = world.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
  world.pass(1s);

  world.server.stop(5s);
  world.pass(4900ms);
  CHECK_FALSE(world.ended);
  world.pass(200ms);

  CHECK(world.ended);
  CHECK(client.saw_end());
  CHECK(error == ECONNRESET);
}

TEST_CASE("stop: a handler that outlives the grace keeps what it stands on") {
  bool finished = false;
  SimServer world([&](Exchange& exchange) {
    CHECK(io::sleep_until(Scheduler::current()->now() + 60s).ok());
    CHECK(exchange.client_gone());
    CHECK_FALSE(respond(exchange, "too late"));
    finished = true;
  });
  world.ask(kGet);
  world.pass(1s);

  world.server.stop(5s);
  world.pass(6s);
  CHECK(world.ended);
  CHECK_FALSE(finished);
  world.pass(60s);

  CHECK(finished);
}

TEST_CASE("stop: a second call can shorten the grace, not lengthen it") {
  SimServer world(works_for(60s));
  world.ask(kGet);
  world.pass(1s);

  world.server.stop(30s);
  world.server.stop(50s);
  world.server.stop(2s);
  world.pass(1900ms);
  CHECK_FALSE(world.ended);
  world.pass(200ms);

  CHECK(world.ended);
}

TEST_CASE("stop before run: those who have connected are served, then run returns") {
  SimHub hub;
  Scheduler scheduler(hub);
  CallsHandler handler;
  handler.what = echo;
  const server::Options options;
  server::Server server(scheduler, handler, options);
  const int listener = hub.listener();
  server.add_listener(listener);
  SimPeer& client = hub.connects(listener, hub.in(0s));
  client.sends(kGet, hub.in(0s));
  CHECK(io::sleep_until(hub.in(1ms)).ok());

  server.stop(10s);
  CHECK(server.run().ok());

  CHECK(read_responses(client.received(), client.saw_end()).statuses() == "200");
}

TEST_CASE("run: an interrupt ends the wait, not the serving") {
  SimHub hub;
  Scheduler scheduler(hub);
  CallsHandler handler;
  handler.what = echo;
  const server::Options options;
  server::Server server(scheduler, handler, options);
  const int listener = hub.listener();
  server.add_listener(listener);
  Status first = Done{};
  Status second = Errno{EIO};
  const Result<Fiber*> runner = scheduler.spawn([&] {
    first = server.run();
    scheduler.take_interrupt();
    second = server.run();
  });
  REQUIRE(runner.ok());
  CHECK(io::sleep_until(hub.in(1s)).ok());

  scheduler.interrupt(**runner);
  SimPeer& client = hub.connects(listener, hub.in(1s));
  client.sends(kGet, hub.in(1s));
  CHECK(io::sleep_until(hub.in(2s)).ok());
  server.stop(1s);
  scheduler.run();

  CHECK(first.error() == Errno{ECANCELED});
  CHECK(second.ok());
  CHECK(read_responses(client.received(), true).statuses() == "200");
}

TEST_CASE("connections_max: those above it get 503, and room that is left again is used") {
  server::Options options;
  options.connections_max = 3;
  SimServer world(echo, options);
  std::vector<SimPeer*> first;
  for (int i = 0; i < 3; i++) first.push_back(&world.ask(kGet));
  world.pass(1s);

  SimPeer& fourth = world.ask(kGet);
  world.pass(3s);
  first[0]->closes(world.hub.in(0s));
  world.pass(1s);
  SimPeer& fifth = world.ask(kGet);
  world.pass(1s);

  CHECK(world.responses(fourth).statuses() == "503");
  CHECK(fourth.saw_end());
  CHECK(world.responses(fifth).statuses() == "200");
  CHECK(world.server.statistics().requests_refused == 1);
}

TEST_CASE("connections_max: those that were refused take nobody's room while they linger") {
  server::Options options;
  options.connections_max = 2;
  SimServer world(echo, options);
  SimPeer* first[] = {&world.ask(kGet), &world.ask(kGet)};
  world.pass(100ms);
  for (int i = 0; i < 5; i++) world.ask(kGet);
  world.pass(100ms);
  for (SimPeer* peer : first) peer->closes(world.hub.in(0s));
  world.pass(100ms);

  SimPeer& later = world.ask(kGet);
  world.pass(100ms);

  CHECK(world.responses(later).statuses() == "200");
  CHECK(world.server.statistics().requests_refused == 5);
}

TEST_CASE("connections_max: that it is reached is said, and not again for ten seconds") {
  server::Options options;
  options.connections_max = 1;
  SimServer world(echo, options);
  world.ask(kGet);
  world.pass(1s);
  const LogCapture log;

  for (int i = 0; i < 5; i++) world.ask(kGet);
  world.pass(5s);
  CHECK(log.lines.size() == 1);
  CHECK(log.lines.at(0).find("(connections_max)") != std::string::npos);

  world.pass(6s);
  world.ask(kGet);
  world.pass(1s);
  CHECK(log.lines.size() == 2);
}

TEST_CASE("statistics: what is open and in flight now, and what has been") {
  SimServer world(works_for(1s));
  world.ask(std::string(kGet) + std::string(kGet));
  world.ask(kGet).closes(world.hub.in(5s));
  world.connect();

  world.pass(500ms);
  const server::Statistics& now = world.server.statistics();
  CHECK(now.connections_accepted == 3);
  CHECK(now.connections_open == 3);
  CHECK(now.requests_in_flight == 2);
  CHECK(now.requests == 2);
  world.pass(5s);

  CHECK(now.connections_open == 2);
  CHECK(now.requests_in_flight == 0);
  CHECK(now.requests == 3);
  CHECK(now.requests_refused == 0);
}

TEST_CASE("stacks that a burst has needed are given back after a while") {
  SimServer world(works_for(1s));
  std::vector<SimPeer*> clients;
  for (int i = 0; i < 200; i++) clients.push_back(&world.ask(kGet));
  world.pass(2s);
  CHECK(world.scheduler.stacks().in_use() < 10);

  world.pass(10s);

  CHECK(world.scheduler.stacks().trim(1000) == 0);  // Nothing is left to be trimmed.
}
