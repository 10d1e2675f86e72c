// sim_server.hpp - a server on a simulated hub, and its clients.
//
// The server runs on a fiber of its own; the test stands on the root fiber and lets time pass. When
// the test ends, the server is stopped without grace and every fiber must come to its end: what has
// lost its wake-up stops the test run in SimHub, with the operations in flight.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "greenwsgi/server/server.hpp"
#include "tests/support/http_responses.hpp"
#include "tests/support/sim_hub.hpp"

namespace greenwsgi::testing {

using namespace std::chrono_literals;
using server::Exchange;

class CallsHandler final : public server::Handler {
 public:
  std::function<void(Exchange&)> what;
  void handle(Exchange& exchange) noexcept override { what(exchange); }
};

inline io::ConstBytes bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

/// Answers with `text`, whole, and Content-Length. False when the client has not got all of it.
inline bool respond(Exchange& exchange, std::string_view text, std::string_view status = "200 OK") {
  GW_ASSERT(exchange.response().begin(status));
  if (!exchange.send_head(static_cast<std::int64_t>(text.size()), bytes_of(text)).ok())
    return false;
  return exchange.finish().ok();
}

/// The whole body, or as much as came; `*error` is 0 or the errno.
inline std::string read_body(Exchange& exchange, int* error, std::size_t piece_max = SIZE_MAX) {
  std::string body;
  for (;;) {
    const Result<io::ConstBytes> piece = exchange.peek_body();
    *error = piece.ok() ? 0 : piece.error().code;
    if (!piece.ok() || (*piece).empty()) return body;
    const std::size_t taken = std::min((*piece).size(), piece_max);
    body.append(reinterpret_cast<const char*>((*piece).data()), taken);
    exchange.consume_body(taken);
  }
}

/// Answers with method, target and body of the request: each response tells whose it is.
inline void echo(Exchange& exchange) {
  const std::string line =
      std::string(exchange.head().method) + " " + std::string(exchange.head().target);
  int error = 0;
  const std::string body = read_body(exchange, &error);
  if (error == 0) respond(exchange, line + " " + body);
}

struct SimServer {
  explicit SimServer(std::function<void(Exchange&)> what,
                     server::Options its_options = {},
                     std::uint64_t seed = 0)
      : hub(seed), options(std::move(its_options)) {
    handler.what = std::move(what);
    server.add_listener(listener);
    const Result<Fiber*> fiber = scheduler.spawn([this] { ended = server.run().ok(); });
    REQUIRE(fiber.ok());
  }
  SimServer(const SimServer&) = delete;
  SimServer& operator=(const SimServer&) = delete;
  ~SimServer() {
    server.stop(0s);
    scheduler.run();
    CHECK(ended);
    CHECK(server.statistics().connections_open == 0);
    CHECK(server.statistics().requests_in_flight == 0);
    CHECK(hub.in_flight() == 0);
  }

  SimPeer& connect(Duration after = 0s) { return hub.connects(listener, hub.in(after)); }
  /// A client that says `bytes` at once; its answer is there when pass() returns.
  SimPeer& ask(std::string_view bytes) {
    SimPeer& client = connect();
    client.sends(bytes, hub.in(1ms));
    return client;
  }
  void pass(Duration time) { CHECK(io::sleep_until(scheduler.now() + time).ok()); }
  HttpResponses responses(SimPeer& client, bool to_heads = false) {
    return read_responses(client.received(), client.saw_end(), to_heads);
  }

  SimHub hub;
  Scheduler scheduler{hub};
  CallsHandler handler;
  server::Options options;
  server::Server server{scheduler, handler, options};
  int listener = hub.listener();
  bool ended = false;
};

}  // namespace greenwsgi::testing
