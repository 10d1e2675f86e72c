// server.hpp - listeners, connections, limits, and the way down.
//
// All on one scheduler. An idle connection is a record of a few hundred bytes with an armed
// receive; when a request's head is complete, a fiber runs the handler. Time-outs and limits hold
// for every connection, whatever its peer does; running out of descriptors, or of the kernel's
// memory for sockets, pauses accepting and nothing else; where the process has no memory, a request
// or a connection fails (docs/internals/server.md).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "greenwsgi/base/clock.hpp"
#include "greenwsgi/fiber/fiber.hpp"
#include "greenwsgi/http/request_parser.hpp"
#include "greenwsgi/server/exchange.hpp"

namespace greenwsgi::server {

using std::chrono_literals::operator""s;

struct Options {
  http::RequestLimits limits;
  Duration header_timeout = 30s;        // From the first byte of a request to the end of its head.
  Duration body_timeout = 30s;          // Between two pieces of a body that a handler waits for.
  Duration keep_alive_timeout = 75s;    // Between two requests. 0: no keep-alive.
  Duration write_timeout = 30s;         // Between two bytes that the peer takes.
  std::size_t connections_max = 20000;  // More get 503 and a close.
  std::uint64_t requests_per_connection = 0;  // Then the connection is closed. 0: no limit.
  std::string server_header = "greenwsgi";
};

/// A request that has been answered, for the access log. Views are valid during the call.
struct AccessRecord {
  std::string_view remote_address;
  std::string_view method, target;       // "-" when no request line was read.
  std::string_view referer, user_agent;  // "" when not sent.
  int version_minor;
  int status;                // 0: no head was sent.
  std::uint64_t body_bytes;  // Of the response, without framing.
  Duration duration;         // From the complete request head to the end of the response.
};

struct Statistics {
  std::uint64_t connections_accepted = 0;
  std::size_t connections_open = 0;
  std::size_t requests_in_flight = 0;
  std::uint64_t requests = 0;
  std::uint64_t requests_refused = 0;  // 4xx and 5xx of the server's own.
};

class Server {
 public:
  /// Borrows all three. `options` must not change while the server runs.
  Server(Scheduler& scheduler, Handler& handler, const Options& options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();  // Not running.

  /// Takes over a listening stream socket (TCP or Unix).
  void add_listener(int fd);
  /// Called with each answered request; null: no access log. Must not switch.
  void set_access_log(void (*log)(const AccessRecord&, void* argument), void* argument);

  /// Serves; parks the running fiber until stop() has done its work. Interruptible: ECANCELED, and
  /// the server goes on serving (call run() again).
  Status run();
  /// Stops accepting, closes idle connections, lets calls in flight finish for up to `grace`, then
  /// cuts them. A second call with a shorter grace shortens it. Never switches.
  void stop(Duration grace);
  bool stopping() const;

  const Statistics& statistics() const;

  struct Impl;  // The room's own.

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace greenwsgi::server
