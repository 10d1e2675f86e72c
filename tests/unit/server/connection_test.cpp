// A connection's life: keep-alive, pipelining, its clock and its ends.
#include "src/server/connection.hpp"

#include "tests/unit/server/sim_server.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

std::string get(int number) {
  return "GET /" + std::to_string(number) + " HTTP/1.1\r\nHost: h\r\n\r\n";
}

std::string twenty_requests() {
  std::string all;
  for (int i = 0; i < 20; i++) {
    const std::string body(static_cast<std::size_t>(i), 'x');
    all += i % 3 == 0 ? get(i)
                      : "POST /" + std::to_string(i) +
                            " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(i) +
                            "\r\n\r\n" + body;
  }
  return all;
}

bool answers_twenty(const HttpResponses& got) {
  if (got.all.size() != 20 || got.broken || !got.rest.empty()) return false;
  for (int i = 0; i < 20; i++) {
    const std::string body(i % 3 == 0 ? 0 : static_cast<std::size_t>(i), 'x');
    const std::string expected = (i % 3 == 0 ? "GET /" : "POST /") + std::to_string(i) + " " + body;
    if (got.all[static_cast<std::size_t>(i)].body != expected) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("keep-alive: one connection serves request after request") {
  SimServer world(echo);
  SimPeer& client = world.connect();
  for (int i = 0; i < 5; i++) client.sends(get(i), world.hub.in(1s * (i + 1)));

  world.pass(6s);

  CHECK(world.responses(client).statuses() == "200 200 200 200 200");
  CHECK(world.responses(client).all[4].body == "GET /4 ");
  CHECK_FALSE(client.saw_end());
  CHECK(world.server.statistics().connections_accepted == 1);
}

TEST_CASE("pipelining: twenty requests in one segment get twenty answers, in order") {
  SimServer world(echo);
  SimPeer& client = world.ask(twenty_requests());

  world.pass(1s);

  CHECK(answers_twenty(world.responses(client)));
}

TEST_CASE("pipelining: it does not matter where the bytes are split") {
  const std::string all = twenty_requests();
  SimServer world(echo);
  std::vector<SimPeer*> clients;
  for (std::size_t split = 1; split < all.size(); split++) {
    SimPeer& client = world.connect();
    client.sends(all.substr(0, split), world.hub.in(1ms));
    client.sends(all.substr(split), world.hub.in(5ms));
    clients.push_back(&client);
  }

  world.pass(1s);

  std::size_t right = 0;
  for (SimPeer* client : clients) right += answers_twenty(world.responses(*client)) ? 1 : 0;
  CHECK(right == clients.size());
}

TEST_CASE("pipelining: a client that never stops asking does not hold up the others") {
  SimServer world(echo);
  std::string all;
  for (int i = 0; i < 1000; i++) all += get(i);
  std::string seen_by_other;
  world.handler.what = [&](Exchange& exchange) {
    if (exchange.head().target == "/other")
      seen_by_other = std::to_string(world.server.statistics().requests);
    echo(exchange);
  };
  SimPeer& greedy = world.connect();
  SimPeer& other = world.connect();
  greedy.sends(all, world.hub.in(1ms));
  other.sends("GET /other HTTP/1.1\r\nHost: h\r\n\r\n", world.hub.in(1ms));

  world.pass(1s);

  CHECK(std::stoi(seen_by_other) < 100);
  CHECK(world.responses(greedy).all.size() == 1000);
  CHECK(world.responses(other).statuses() == "200");
}

TEST_CASE("HTTP/1.0: the connection ends with the response, unless both want it to stay") {
  SimServer world(echo);
  SimPeer& plain = world.ask("GET / HTTP/1.0\r\n\r\n");
  SimPeer& keeps = world.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");

  world.pass(1s);

  CHECK(plain.saw_end());
  CHECK(world.responses(plain).all.at(0).has("Connection: close"));
  CHECK_FALSE(keeps.saw_end());
  CHECK(world.responses(keeps).all.at(0).has("Connection: keep-alive"));
}

TEST_CASE("Connection: close is obeyed") {
  SimServer world(echo);
  SimPeer& client = world.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");

  world.pass(100ms);

  CHECK(client.saw_end());
  CHECK(world.responses(client).all.at(0).has("Connection: close"));
}

TEST_CASE("an idle connection is closed after the keep-alive time, without a word") {
  server::Options options;
  options.keep_alive_timeout = 10s;
  SimServer world(echo, options);
  SimPeer& client = world.ask(kGet);

  world.pass(9s);
  CHECK_FALSE(client.saw_end());
  world.pass(2s);

  CHECK(client.saw_end());
  CHECK(world.responses(client).statuses() == "200");
}

TEST_CASE("keep-alive time: each request moves it") {
  server::Options options;
  options.keep_alive_timeout = 10s;
  SimServer world(echo, options);
  SimPeer& client = world.connect();
  for (int i = 0; i < 5; i++) client.sends(kGet, world.hub.in(8s * (i + 1)));

  world.pass(49s);
  CHECK_FALSE(client.saw_end());
  world.pass(2s);

  CHECK(client.saw_end());
  CHECK(world.responses(client).all.size() == 5);
}

TEST_CASE("keep-alive time zero: the connection ends with the response") {
  server::Options options;
  options.keep_alive_timeout = 0s;
  SimServer world(echo, options);
  SimPeer& client = world.ask(kGet);

  world.pass(1s);

  CHECK(client.saw_end());
  CHECK(world.responses(client).all.at(0).has("Connection: close"));
}

TEST_CASE("header time: a head that takes too long is answered 408, however often bytes come") {
  server::Options options;
  options.header_timeout = 5s;
  SimServer world(echo, options);
  SimPeer& client = world.connect();
  client.sends("GET / HTTP/1.1\r\n", world.hub.in(1s));
  for (int i = 0; i < 20; i++) client.sends("X-A: b\r\n", world.hub.in(1s + 500ms * i));

  world.pass(5900ms);
  CHECK(client.received().empty());
  world.pass(200ms);

  CHECK(world.responses(client).statuses() == "408");
  CHECK(world.responses(client).all.at(0).has("Connection: close"));
  CHECK(client.saw_end());
}

TEST_CASE("header time: a client that says nothing at all is closed without a word") {
  server::Options options;
  options.header_timeout = 5s;
  SimServer world(echo, options);
  SimPeer& client = world.connect();

  world.pass(6s);

  CHECK(client.saw_end());
  CHECK(client.received().empty());
}

TEST_CASE("header time: empty lines do not extend it, and too many of them are refused") {
  server::Options options;
  options.header_timeout = 5s;
  SimServer world(echo, options);
  SimPeer& few = world.connect();
  SimPeer& many = world.connect();
  few.sends("\r\n\r\n", world.hub.in(4s));
  many.sends("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", world.hub.in(1s));

  world.pass(6s);

  CHECK(few.saw_end());
  CHECK(few.received().empty());
  CHECK(world.responses(many).statuses() == "400");
}

TEST_CASE("header time: it holds for the second request too, and not while a handler works") {
  server::Options options;
  options.header_timeout = 5s;
  options.body_timeout = 5s;
  SimServer world(
      [&](Exchange& exchange) {
        CHECK(io::sleep_until(Scheduler::current()->now() + 60s).ok());
        echo(exchange);
      },
      options);
  SimPeer& client = world.connect();
  client.sends(std::string(kGet) + "GET /half", world.hub.in(1ms));

  world.pass(61s);
  CHECK(world.responses(client).statuses() == "200");
  CHECK_FALSE(client.saw_end());
  world.pass(6s);

  CHECK(world.responses(client).statuses() == "200 408");
}

TEST_CASE("requests_per_connection: the last one says so, and the connection ends") {
  server::Options options;
  options.requests_per_connection = 3;
  SimServer world(echo, options);
  SimPeer& client = world.ask(get(1) + get(2) + get(3) + get(4));

  world.pass(5s);

  const HttpResponses got = world.responses(client);
  CHECK(got.statuses() == "200 200 200");
  CHECK_FALSE(got.all.at(1).has("Connection"));
  CHECK(got.all.at(2).has("Connection: close"));
  CHECK(client.saw_end());
}

TEST_CASE("a client that goes between two requests, or inside one, leaves nothing behind") {
  SimServer world(echo);
  SimPeer& between = world.ask(kGet);
  SimPeer& inside = world.ask("GET / HT");
  between.closes(world.hub.in(1s));
  inside.closes(world.hub.in(1s));

  world.pass(2s);

  CHECK(world.server.statistics().connections_open == 0);
  CHECK(world.hub.in_flight() == 1);  // The listener's.
  CHECK(world.scheduler.fibers_alive() == 1);
}

TEST_CASE("an idle connection has no fiber, and is a few hundred bytes") {
  SimServer world(echo);
  world.ask(kGet);

  world.pass(1s);

  CHECK(world.server.statistics().connections_open == 1);
  CHECK(world.scheduler.fibers_alive() == 1);  // The server's.
  CHECK(sizeof(server::Connection) <= 480);
}

TEST_CASE("a half-closed client still gets its response, and then the connection ends") {
  SimServer world([&](Exchange& exchange) {
    CHECK(io::sleep_until(Scheduler::current()->now() + 2s).ok());
    CHECK_FALSE(exchange.client_gone());
    echo(exchange);
  });
  SimPeer& client = world.ask(get(1) + get(2));
  client.shuts_down(world.hub.in(10ms));

  world.pass(5s);

  CHECK(world.responses(client).statuses() == "200 200");
  CHECK(client.saw_end());
}

TEST_CASE("lingering: the refusal arrives although the client still sends") {
  SimServer world(echo);
  SimPeer& client = world.ask("NONSENSE\r\n\r\n");
  for (int i = 0; i < 50; i++)
    client.sends(std::string(100'000, 'x'), world.hub.in(2ms + 10ms * i));

  world.pass(5s);

  CHECK(world.responses(client).statuses() == "400");
  CHECK(client.saw_end());
}

TEST_CASE("lingering ends: after its time, and at once when the client has heard") {
  SimServer world(echo);
  world.ask("NONSENSE\r\n\r\n");
  SimPeer& polite = world.ask("NONSENSE\r\n\r\n");
  polite.closes(world.hub.in(100ms));

  world.pass(1s);
  CHECK(world.server.statistics().connections_open == 1);
  world.pass(2s);

  CHECK(world.server.statistics().connections_open == 0);
}
