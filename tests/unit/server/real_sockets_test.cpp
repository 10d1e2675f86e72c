// The essentials once more over TCP, on io_uring and on epoll: what a model cannot know.
//
// Server and clients are fibers of one scheduler. Time-outs are short options of the server, and
// what a test waits for is their effect.
#include <netinet/tcp.h>
#include <sys/resource.h>

#include <memory>

#include "greenwsgi/base/log.hpp"
#include "tests/support/tcp_client.hpp"
#include "tests/unit/server/sim_server.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

struct OnUring {
  static constexpr HubChoice kChoice = HubChoice::uring;
};
struct OnEpoll {
  static constexpr HubChoice kChoice = HubChoice::epoll;
};
#define GW_REAL_HUBS OnUring, OnEpoll

struct RealServer {
  RealServer(HubChoice choice,
             std::function<void(Exchange&)> what,
             server::Options its_options = {})
      : made(make_hub(choice)), options(std::move(its_options)) {
    if (made.hub == nullptr) {
      MESSAGE(made.reason);
      return;
    }
    scheduler = std::make_unique<Scheduler>(*made.hub);
    handler.what = std::move(what);
    server = std::make_unique<server::Server>(*scheduler, handler, options);
    server->add_listener(listen_on_loopback(&address));
    REQUIRE(scheduler->spawn([this] { ended = server->run().ok(); }).ok());
  }
  ~RealServer() {
    if (server == nullptr) return;
    server->stop(100ms);
    scheduler->run();
    CHECK(ended);
    CHECK(server->statistics().connections_open == 0);
    server.reset();
  }
  explicit operator bool() const { return server != nullptr; }
  bool wait_until(std::function<bool()> holds) {
    const Instant end = scheduler->now() + 20s;
    while (!holds() && scheduler->now() < end) CHECK(io::sleep_until(scheduler->now() + 5ms).ok());
    return holds();
  }

  HubMade made;
  server::Options options;
  std::unique_ptr<Scheduler> scheduler;
  CallsHandler handler;
  std::unique_ptr<server::Server> server;
  sockaddr_in address{};
  bool ended = false;
};

/// So many clients at once that the usual limit of descriptors is in the way.
void allow_many_descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// While it lives, about `more` descriptors beyond those in use can be had.
struct DescriptorLimit {
  explicit DescriptorLimit(unsigned more) {
    const int next = ::dup(0);
    ::close(next);
    ::getrlimit(RLIMIT_NOFILE, &before);
    const rlimit lowered{static_cast<unsigned>(next) + more, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &lowered);
  }
  ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before); }
  rlimit before{};
};

std::size_t resident_bytes() {
  std::size_t pages = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  REQUIRE(std::fscanf(file, "%*u %zu", &pages) == 1);
  std::fclose(file);
  return pages * 4096;
}

/// An active client's fifty requests amid whatever else goes on.
void serve_an_active_client(RealServer& world) {
  TcpClient active(world.address);
  for (std::size_t i = 1; i <= 50; i++) {
    REQUIRE(active.send(kGet));
    REQUIRE(active.read(i).all.size() == i);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("TCP: keep-alive, pipelining, bodies, and the addresses of both ends",
                   On,
                   GW_REAL_HUBS) {
  RealServer world(On::kChoice, [](Exchange& exchange) {
    CHECK(exchange.endpoints().remote_address == "127.0.0.1");
    CHECK(exchange.endpoints().server_name == "127.0.0.1");
    CHECK_FALSE(exchange.endpoints().remote_port.empty());
    echo(exchange);
  });
  if (!world) return;
  const std::string body(300'000, 'b');
  const std::string post = "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" + body;
  std::string many;
  for (int i = 0; i < 20; i++) many += kGet;
  TcpClient client(world.address);

  REQUIRE(client.send(post));
  CHECK(client.read(1).all.at(0).body == "POST /b " + body);
  REQUIRE(client.send(many));
  CHECK(client.read(21).all.size() == 21);
  REQUIRE(client.send("GET / HTTP/1.0\r\n\r\n"));
  CHECK(client.read_to_end());
}

TEST_CASE_TEMPLATE("TCP: a half-closed client still gets its response", On, GW_REAL_HUBS) {
  RealServer world(On::kChoice, [](Exchange& exchange) {
    CHECK(io::sleep_until(Scheduler::current()->now() + 20ms).ok());
    respond(exchange, std::string(2'000'000, 'x'));
  });
  if (!world) return;
  TcpClient client(world.address);

  REQUIRE(client.send(kGet));
  client.shut_down();

  CHECK(client.read_to_end());
  CHECK(read_responses(client.received(), true).all.at(0).body.size() == 2'000'000);
}

TEST_CASE_TEMPLATE("TCP: the refusal of a body arrives although the client still sends it",
                   On,
                   GW_REAL_HUBS) {
  server::Options options;
  options.limits.body_bytes = 1000;
  RealServer world(On::kChoice, echo, options);
  if (!world) return;
  TcpClient client(world.address);

  REQUIRE(client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n"));
  CHECK(client.send(std::string(5'000'000, 'x')));

  CHECK(client.read(1).statuses() == "413");
}

TEST_CASE_TEMPLATE("TCP: clients that go at any moment leave nothing behind", On, GW_REAL_HUBS) {
  RealServer world(On::kChoice, [](Exchange& exchange) {
    int error = 0;
    read_body(exchange, &error);
    if (error == 0) respond(exchange, std::string(1'000'000, 'x'));
  });
  if (!world) return;
  const std::string request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
  for (std::size_t sent = 0; sent <= request.size(); sent++) {
    TcpClient client(world.address);
    REQUIRE(client.send(request.substr(0, sent)));
    if (sent % 2 == 0) world.scheduler->yield();
  }
  CHECK(world.wait_until([&] {
    return world.server->statistics().connections_accepted == request.size() + 1 &&
           world.server->statistics().connections_open == 0;
  }));
}

TEST_CASE_TEMPLATE("TCP: five hundred slow senders hold up nobody, and get 408", On, GW_REAL_HUBS) {
  allow_many_descriptors();
  server::Options options;
  options.header_timeout = 100ms;
  options.body_timeout = 100ms;
  RealServer world(On::kChoice, echo, options);
  if (!world) return;
  std::vector<std::unique_ptr<TcpClient>> slow;
  for (int i = 0; i < 500; i++) {
    slow.push_back(std::make_unique<TcpClient>(world.address));
    REQUIRE(slow.back()->send(i % 2 == 0
                                  ? "GET / HTTP/1.1\r\nX: "
                                  : "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx"));
  }

  serve_an_active_client(world);

  for (const auto& client : slow) {
    CHECK(client->read_to_end());
    const HttpResponses got = read_responses(client->received(), true);
    // A handler that cannot read its body answers nothing; the server does.
    CHECK(got.statuses() == "408");
    client->close();
  }
}

TEST_CASE_TEMPLATE("TCP: five hundred peers that read nothing hold up nobody, and are cut",
                   On,
                   GW_REAL_HUBS) {
  allow_many_descriptors();
  server::Options options;
  options.write_timeout = 100ms;
  static const std::string large(16'000'000, 'x');
  int cut = 0;
  RealServer world(
      On::kChoice,
      [&](Exchange& exchange) {
        if (exchange.head().target == "/a") return echo(exchange);
        cut += respond(exchange, large) ? 0 : 1;
      },
      options);
  if (!world) return;
  [[maybe_unused]] const std::size_t before = resident_bytes();
  std::vector<std::unique_ptr<TcpClient>> deaf;
  for (int i = 0; i < 500; i++) {
    deaf.push_back(std::make_unique<TcpClient>(world.address, 4096));
    REQUIRE(deaf.back()->send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n"));
  }

  serve_an_active_client(world);

  CHECK(world.wait_until([&] { return cut == 500; }));
  CHECK(world.wait_until([&] { return world.server->statistics().connections_open <= 1; }));
#ifndef GREENWSGI_ASAN
  CHECK(resident_bytes() - before < 500 * 64 * 1024);
#endif
}

TEST_CASE_TEMPLATE("TCP: out of descriptors, the server goes on and recovers", On, GW_REAL_HUBS) {
  // Set before the server starts: io_uring looks at the limit when accepting is armed.
  const DescriptorLimit limit(64);
  RealServer world(On::kChoice, echo);
  if (!world) return;
  static int complaints;
  complaints = 0;
  set_log_sink([](LogLevel, std::string_view) { complaints += 1; });
  TcpClient early(world.address);
  REQUIRE(early.send(kGet));
  REQUIRE(early.read(1).all.size() == 1);
  TcpClient later;
  std::vector<int> hoard;
  for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) hoard.push_back(fd);

  CHECK(later.connect(world.address));  // Greeted by the kernel.
  CHECK(later.send(kGet));
  CHECK(world.wait_until([&] { return complaints > 0; }));
  CHECK(early.send(kGet));
  CHECK(early.read(2).all.size() == 2);
  CHECK(world.server->statistics().connections_open == 1);
  for (const int fd : hoard) ::close(fd);

  CHECK(later.read(1).statuses() == "200");
  set_log_sink(nullptr);
}

TEST_CASE_TEMPLATE("TCP: a stop closes idle connections and answers what is in flight",
                   On,
                   GW_REAL_HUBS) {
  RealServer world(On::kChoice, [](Exchange& exchange) {
    if (exchange.head().target == "/slow")
      CHECK(io::sleep_until(Scheduler::current()->now() + 50ms).ok());
    echo(exchange);
  });
  if (!world) return;
  TcpClient idle(world.address);
  TcpClient busy(world.address);
  REQUIRE(idle.send(kGet));
  REQUIRE(idle.read(1).all.size() == 1);
  REQUIRE(busy.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n"));
  REQUIRE(world.wait_until([&] { return world.server->statistics().requests_in_flight == 1; }));
  TcpClient fresh(world.address);  // In the backlog.
  REQUIRE(fresh.send(kGet));

  world.server->stop(10s);

  CHECK(idle.read_to_end());
  CHECK(busy.read_to_end());
  CHECK(read_responses(busy.received(), true).statuses() == "200");
  CHECK(fresh.read_to_end());
  CHECK(read_responses(fresh.received(), true).statuses() == "200");
  CHECK(world.wait_until([&] { return world.ended; }));
}
