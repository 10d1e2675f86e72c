// From request to request: bodies left unread, what the server answers by itself, access records.
#include <sys/resource.h>

#include <fstream>

#include "tests/unit/server/sim_server.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

constexpr std::string_view kGet = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";

std::string post(std::size_t announced, std::string_view body) {
  return "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(announced) +
         "\r\n\r\n" + std::string(body);
}

void ignore_body(Exchange& exchange) {
  respond(exchange, exchange.head().target);
}

struct Noted {
  std::string method, target, referer, user_agent;
  int status;
  std::uint64_t body_bytes;
  Duration duration;
};

void note(const server::AccessRecord& record, void* notes) {
  static_cast<std::vector<Noted>*>(notes)->push_back(
      {std::string(record.method), std::string(record.target), std::string(record.referer),
       std::string(record.user_agent), record.status, record.body_bytes, record.duration});
}

/// While it lives, the process may map `more_bytes` beyond what it has.
struct AddressSpaceLimit {
  explicit AddressSpaceLimit(std::size_t more_bytes) {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    REQUIRE(::getrlimit(RLIMIT_AS, &before) == 0);
    const rlimit lowered{pages * 4096 + more_bytes, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_AS, &lowered) == 0);
  }
  ~AddressSpaceLimit() { ::setrlimit(RLIMIT_AS, &before); }
  rlimit before{};
};

}  // namespace

TEST_CASE("an unread body is drained, and the next request is found behind it") {
  SimServer world(ignore_body);
  SimPeer& at_once = world.ask(post(5, "GET /") + std::string(kGet));
  SimPeer& later = world.ask(post(5, "GE"));
  later.sends("T /" + std::string(kGet), world.hub.in(1s));
  SimPeer& chunked = world.ask(
      "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nGET\r\n0\r\n\r\n" +
      std::string(kGet));

  world.pass(2s);

  for (SimPeer* client : {&at_once, &later, &chunked}) {
    const HttpResponses got = world.responses(*client);
    CHECK(got.statuses() == "200 200");
    CHECK(got.all.at(1).body == "/next");
    CHECK_FALSE(client->saw_end());
  }
}

TEST_CASE("a handler that read a part of the body: the rest is drained") {
  SimServer world([](Exchange& exchange) {
    const Result<io::ConstBytes> piece = exchange.peek_body();
    if (piece.ok() && !(*piece).empty()) exchange.consume_body(1);
    respond(exchange, exchange.head().target);
  });
  SimPeer& client = world.ask(post(10, "0123456789") + std::string(kGet));

  world.pass(1s);

  CHECK(world.responses(client).statuses() == "200 200");
}

TEST_CASE("an unread body that is too long, or too slow, ends the connection") {
  SimServer world(ignore_body);
  SimPeer& long_one = world.ask(post(1'000'000, std::string(1'000'000, 'x')) + std::string(kGet));
  SimPeer& slow = world.ask(post(1000, ""));
  for (int i = 1; i < 10; i++) slow.sends("x", world.hub.in(1s * i));

  world.pass(6s);

  CHECK(world.responses(long_one).statuses() == "200");
  CHECK(long_one.saw_end());
  CHECK(world.responses(slow).statuses() == "200");
  CHECK(slow.saw_end());
}

TEST_CASE("an unread body that never comes holds its connection for two seconds") {
  SimServer world(ignore_body);
  SimPeer& silent = world.ask(post(1000, ""));

  world.pass(1900ms);
  CHECK_FALSE(silent.saw_end());
  world.pass(200ms);

  CHECK(world.responses(silent).statuses() == "200");
  CHECK(silent.saw_end());
}

TEST_CASE("limits: each is answered with its status, and the connection ends") {
  server::Options options;
  options.limits.request_line_bytes = 100;
  options.limits.header_count = 5;
  options.limits.header_bytes = 500;
  options.limits.body_bytes = 1000;
  SimServer world(echo, options);
  std::string many_headers = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 6; i++) many_headers += "X: y\r\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"GET /" + std::string(200, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n", "414"},
      {many_headers + "\r\n", "431"},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(600, 'y') + "\r\n\r\n", "431"},
      {post(1001, ""), "413"},
      {"GET / HTTP/2.7\r\nHost: h\r\n\r\n", "505"},
      {"GET / HTTP/1.1\r\n\r\n", "400"},
  };
  for (const auto& [request, status] : cases) {
    CAPTURE(request);
    SimPeer& alone = world.ask(request);
    SimPeer& pipelined = world.ask(std::string(kGet) + request + std::string(kGet));

    world.pass(3s);

    CHECK(world.responses(alone).statuses() == status);
    CHECK(world.responses(alone).all.at(0).has("Connection: close"));
    CHECK(alone.saw_end());
    CHECK(world.responses(pipelined).statuses() == "200 " + status);
    CHECK(pipelined.saw_end());
  }
  CHECK(world.server.statistics().requests_refused == 2 * cases.size());
}

#ifndef GREENWSGI_ASAN  // Which needs all the address space there is.
TEST_CASE("no memory for a stack is 503, and the server goes on") {
  SimServer world([](Exchange& exchange) {
    CHECK(io::sleep_until(Scheduler::current()->now() + 1s).ok());
    echo(exchange);
  });
  // A slab has 64 stacks, of which two are taken; a second slab must not be had.
  const AddressSpaceLimit limit(32 * 1024 * 1024);
  std::vector<SimPeer*> clients;
  for (int i = 0; i < 70; i++) clients.push_back(&world.ask(kGet));

  world.pass(5s);

  int served = 0;
  int refused = 0;
  for (SimPeer* client : clients) {
    served += world.responses(*client).statuses() == "200" ? 1 : 0;
    refused += world.responses(*client).statuses() == "503" ? 1 : 0;
  }
  CHECK(served == 62);
  CHECK(refused == 8);
  SimPeer& next = world.ask(kGet);
  world.pass(2s);
  CHECK(world.responses(next).statuses() == "200");
}
#endif

TEST_CASE("access records tell what was asked and what was answered") {
  std::vector<Noted> notes;
  SimServer world([](Exchange& exchange) {
    exchange.release_head();
    CHECK(io::sleep_until(Scheduler::current()->now() + 250ms).ok());
    respond(exchange, "12345", "404 Not Found");
  });
  world.server.set_access_log(note, &notes);
  world.ask("GET /a?b HTTP/1.1\r\nHost: h\r\nReferer: r\r\nUSER-AGENT: u\r\n\r\n");

  world.pass(1s);

  REQUIRE(notes.size() == 1);
  CHECK(notes[0].method == "GET");
  CHECK(notes[0].target == "/a?b");
  CHECK(notes[0].referer == "r");
  CHECK(notes[0].user_agent == "u");
  CHECK(notes[0].status == 404);
  CHECK(notes[0].body_bytes == 5);
  CHECK(notes[0].duration == 250ms);
}

TEST_CASE("access records: refusals, and clients that went before the answer, have theirs") {
  std::vector<Noted> notes;
  SimServer world([](Exchange& exchange) {
    int error = 0;
    read_body(exchange, &error);
  });
  world.server.set_access_log(note, &notes);
  world.ask("NONSENSE\r\n\r\n");
  world.pass(1s);
  SimPeer& goes = world.ask(post(10, "x"));
  goes.closes(world.hub.in(500ms));
  world.pass(1s);

  REQUIRE(notes.size() == 2);
  CHECK(notes[0].method == "-");
  CHECK(notes[0].target == "-");
  CHECK(notes[0].status == 400);
  CHECK(notes[1].target == "/p");
}

TEST_CASE("access records: a refused request has its method and target once they have come") {
  std::vector<Noted> notes;
  server::Options options;
  options.header_timeout = 5s;
  SimServer world([](Exchange& exchange) { respond(exchange, "x"); }, options);
  world.server.set_access_log(note, &notes);
  world.ask("GET /first HTTP/1.1\r\nHost: h\r\n\r\nPUT /bad?q HTTP/1.0\r\n folded: x\r\n\r\n");
  world.pass(1s);
  world.ask("GET /slow HTTP/1.1\r\nHost: h\r\nX: " + std::string(5000, 'x'));
  world.pass(10s);
  world.ask("GET /never HTT");
  world.pass(10s);

  REQUIRE(notes.size() == 4);
  CHECK(notes[1].method + " " + notes[1].target == "PUT /bad?q");
  CHECK(notes[1].status == 400);
  CHECK(notes[2].method + " " + notes[2].target == "GET /slow");
  CHECK(notes[2].status == 408);
  CHECK(notes[3].method + " " + notes[3].target == "- -");
}
