// Bodies: every framing in every split, 100 Continue, pauses, and clients that stop half-way.
#include "tests/unit/server/sim_server.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

constexpr std::string_view kSized =
    "POST /s HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello world";
constexpr std::string_view kChunked =
    "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5\r\nhello\r\n1;a=b\r\n \r\n005\r\nworld\r\n0\r\nX-Trailer: t\r\n\r\n";
constexpr std::string_view kGet = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr std::string_view kExpect =
    "POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";

std::string announce(std::size_t bytes) {
  return "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n";
}

}  // namespace

TEST_CASE("a body, sized or chunked, is read whole wherever its bytes are split") {
  SimServer world(echo);
  std::vector<SimPeer*> clients;
  for (const std::string_view request : {kSized, kChunked}) {
    for (std::size_t split = 1; split < request.size(); split++) {
      SimPeer& client = world.connect();
      client.sends(request.substr(0, split), world.hub.in(1ms));
      client.sends(std::string(request.substr(split)) + std::string(kGet), world.hub.in(5ms));
      clients.push_back(&client);
    }
  }

  world.pass(1s);

  std::size_t right = 0;
  for (SimPeer* client : clients) {
    const HttpResponses got = world.responses(*client);
    if (got.statuses() != "200 200" || got.broken) continue;
    right += got.all[0].body.ends_with("hello world") && got.all[1].body == "GET /next " ? 1 : 0;
  }
  CHECK(right == clients.size());
}

TEST_CASE("a body that comes byte by byte is read whole") {
  SimServer world(echo);
  SimPeer& client = world.connect();
  for (std::size_t i = 0; i < kChunked.size(); i++)
    client.sends(kChunked.substr(i, 1), world.hub.in(100ms * (i + 1)));

  world.pass(100ms * (kChunked.size() + 2));

  CHECK(world.responses(client).all.at(0).body == "POST /c hello world");
}

TEST_CASE("a handler may take a body in pieces of one byte") {
  SimServer world([](Exchange& exchange) {
    int error = 0;
    respond(exchange, read_body(exchange, &error, 1));
  });
  SimPeer& client = world.ask(std::string(kChunked) + std::string(kSized));

  world.pass(1s);

  const HttpResponses got = world.responses(client);
  CHECK(got.statuses() == "200 200");
  CHECK(got.all.at(0).body == "hello world");
  CHECK(got.all.at(1).body == "hello world");
}

TEST_CASE("100 Continue is sent when the handler reads, not before") {
  SimServer world([](Exchange& exchange) {
    CHECK(io::sleep_until(Scheduler::current()->now() + 1s).ok());
    echo(exchange);
  });
  SimPeer& client = world.ask(kExpect);

  world.pass(900ms);
  CHECK(client.received().empty());
  world.pass(200ms);
  CHECK(client.received() == "HTTP/1.1 100 Continue\r\n\r\n");
  client.sends("body");
  world.pass(1s);

  const HttpResponses got = world.responses(client);
  CHECK(got.statuses() == "100 200");
  CHECK(got.all.at(1).body == "POST /e body");
  CHECK_FALSE(client.saw_end());
}

TEST_CASE("100 Continue is not sent to a client that has not waited for it") {
  SimServer world(echo);
  SimPeer& client = world.ask(std::string(kExpect) + "bo");
  client.sends("dy", world.hub.in(1s));

  world.pass(2s);

  CHECK(world.responses(client).statuses() == "200");
  CHECK_FALSE(client.saw_end());
}

TEST_CASE("100 Continue never comes after the final response began") {
  SimServer world([](Exchange& exchange) {
    exchange.response().begin("200 OK");
    CHECK(exchange.send_head(4, bytes_of("ab")).ok());
    int error = 0;
    const std::string body = read_body(exchange, &error);
    CHECK(exchange.write(bytes_of(body.substr(0, 2))).ok());
    CHECK(exchange.finish().ok());
  });
  SimPeer& client = world.ask(kExpect);
  client.sends("body", world.hub.in(1s));  // Some clients wait for a second only.

  world.pass(2s);

  const HttpResponses got = world.responses(client);
  CHECK(got.statuses() == "200");
  CHECK(got.all.at(0).body == "abbo");
  CHECK(client.saw_end());
}

TEST_CASE("a handler that refuses without reading: no 100 Continue, and the connection ends") {
  SimServer world([](Exchange& exchange) { respond(exchange, "no", "401 Unauthorized"); });
  SimPeer& client = world.ask(kExpect);

  world.pass(1s);

  const HttpResponses got = world.responses(client);
  CHECK(got.statuses() == "401");
  CHECK(got.all.at(0).has("Connection: close"));
  CHECK(client.saw_end());
}

TEST_CASE("body time: no progress is ETIMEDOUT for the handler and 408 for the client") {
  int error = 0;
  server::Options options;
  options.body_timeout = 5s;
  SimServer world([&](Exchange& exchange) { read_body(exchange, &error); }, options);
  SimPeer& client = world.ask(announce(100));
  for (int i = 1; i <= 5; i++) client.sends("x", world.hub.in(4s * i));

  world.pass(24s);
  CHECK(client.received().empty());
  world.pass(2s);

  CHECK(error == ETIMEDOUT);
  CHECK(world.responses(client).statuses() == "408");
  CHECK(client.saw_end());
}

TEST_CASE("body limit: a longer body is EFBIG for the handler and 413 for the client") {
  int error = 0;
  server::Options options;
  options.limits.body_bytes = 10;
  SimServer world([&](Exchange& exchange) { read_body(exchange, &error); }, options);
  SimPeer& sized = world.ask(kSized);
  SimPeer& chunked = world.ask(kChunked);

  world.pass(1s);

  CHECK(world.responses(sized).statuses() == "413");
  CHECK(world.responses(chunked).statuses() == "413");
  CHECK(error == EFBIG);
  CHECK(sized.saw_end());
  CHECK(chunked.saw_end());
}

TEST_CASE("a malformed chunk is EBADMSG for the handler and 400 for the client") {
  int error = 0;
  SimServer world([&](Exchange& exchange) { read_body(exchange, &error); });
  SimPeer& client =
      world.ask("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\n");

  world.pass(1s);

  CHECK(error == EBADMSG);
  CHECK(world.responses(client).statuses() == "400");
  CHECK(client.saw_end());
}

TEST_CASE("a client that goes amid its body is ECONNRESET for the handler") {
  std::vector<int> errors;
  SimServer world([&](Exchange& exchange) {
    int error = 0;
    read_body(exchange, &error);
    errors.push_back(error);
  });
  SimPeer& closes = world.ask(announce(100) + "abc");
  SimPeer& half = world.ask(announce(100) + "abc");
  closes.closes(world.hub.in(1s));
  half.shuts_down(world.hub.in(1s));

  world.pass(2s);

  CHECK(errors == std::vector<int>{ECONNRESET, ECONNRESET});
  CHECK(world.server.statistics().connections_open == 0);
}

TEST_CASE("an interrupt ends the wait for a body; the handler may go on reading") {
  Fiber* reader = nullptr;
  std::vector<int> errors;
  SimServer world([&](Exchange& exchange) {
    reader = Scheduler::current()->running();
    int error = 0;
    read_body(exchange, &error);
    errors.push_back(error);
    CHECK(Scheduler::current()->take_interrupt());
    const std::string body = read_body(exchange, &error);
    errors.push_back(error);
    respond(exchange, body);
  });
  SimPeer& client = world.ask(announce(4));
  client.sends("body", world.hub.in(2s));

  world.pass(1s);
  world.scheduler.interrupt(*reader);
  world.pass(2s);

  CHECK(errors == std::vector<int>{ECANCELED, 0});
  CHECK(world.responses(client).all.at(0).body == "body");
  CHECK_FALSE(client.saw_end());
}

TEST_CASE("what a handler does not read yet stays with the client, above 256 KiB or so") {
  constexpr std::size_t kBytes = 4 * 1024 * 1024;
  std::size_t read = 0;
  bool may_read = false;
  SimServer world([&](Exchange& exchange) {
    while (!may_read) CHECK(io::sleep_until(Scheduler::current()->now() + 1s).ok());
    int error = 0;
    read = read_body(exchange, &error).size();
    respond(exchange, "thanks");
  });
  SimPeer& client = world.ask(announce(kBytes));
  client.sends(std::string(kBytes, 'x'), world.hub.in(2ms));

  world.pass(10s);
  // Only the listener's accept: the receive has been taken back.
  CHECK(world.hub.in_flight() == 1);
  may_read = true;
  world.pass(10s);

  CHECK(read == kBytes);
  CHECK(world.responses(client).statuses() == "200");
}

TEST_CASE("a pause that requests in front have caused does not outlast them") {
  // 300 KiB of requests and the head of one whose body comes later: it must be able to come.
  SimServer world([](Exchange& exchange) {
    if (exchange.head().target == "/first")
      CHECK(io::sleep_until(Scheduler::current()->now() + 1s).ok());
    echo(exchange);
  });
  std::string requests = "GET /first HTTP/1.1\r\nHost: h\r\n\r\n";
  int count = 1;
  for (; requests.size() < 300 * 1024; count++)
    requests += "GET /" + std::string(4000, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n";
  SimPeer& client = world.ask(requests + announce(4));
  client.sends("body", world.hub.in(3s));

  world.pass(5s);

  const HttpResponses got = world.responses(client);
  CHECK(got.all.size() == static_cast<std::size_t>(count) + 1);
  CHECK(got.all.back().body == "POST /b body");
}
