// Many clients, random in everything a client can be random in, against every order of events that
// a seed can draw: each response belongs to its request and arrives whole, or the connection ends.
//
// No wake-up may be lost: when the test ends, every fiber must, and SimHub stops a run that waits
// for ever. A failing seed is printed; SimServer(.., seed) repeats it.
#include <random>

#include "tests/unit/server/sim_server.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

constexpr int kSeeds = 600;

/// What one client says, and what it may expect in answer.
struct Script {
  std::string bytes;
  std::vector<std::string> bodies;
  bool all_answered = true;  // Unless it goes, or must be refused.
};

std::string chunked(const std::string& body, std::mt19937_64& random) {
  std::string text;
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t bytes = std::min<std::size_t>(1 + random() % 3000, body.size() - at);
    char size[20];
    std::snprintf(size, sizeof size, "%zx\r\n", bytes);
    text += size + body.substr(at, bytes) + "\r\n";
    at += bytes;
  }
  return text + "0\r\n\r\n";
}

Script draw_script(int client, std::mt19937_64& random) {
  Script script;
  const std::size_t requests = 1 + random() % 6;
  for (std::size_t i = 0; i < requests; i++) {
    const std::string target =
        "/" + std::to_string(client) + "." + std::to_string(i) + "?" + std::to_string(random() % 7);
    const std::string body(random() % 5 == 0 ? random() % 40'000 : random() % 50, 'a' + char(i));
    const bool unread = target.back() == '6';
    switch (random() % 3) {
      case 0:
        script.bytes += "GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n";
        script.bodies.push_back("GET " + target + " ");
        break;
      case 1:
        script.bytes += "POST " + target +
                        " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) +
                        "\r\n\r\n" + body;
        script.bodies.push_back("POST " + target + " " + (unread ? "" : body));
        break;
      default:
        script.bytes += "POST " + target +
                        " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" +
                        chunked(body, random);
        script.bodies.push_back("POST " + target + " " + (unread ? "" : body));
    }
  }
  if (random() % 10 == 0) script.bytes += "RUBBISH\r\n\r\n";
  return script;
}

/// Sends the script in pieces, and perhaps goes before its end.
void act(SimServer& world, SimPeer& client, Script& script, std::mt19937_64& random) {
  Instant when = world.hub.in(std::chrono::milliseconds(random() % 50));
  for (std::size_t at = 0; at < script.bytes.size();) {
    const std::size_t most = random() % 4 == 0 ? 20 : 5000;
    const std::size_t bytes = std::min<std::size_t>(1 + random() % most, script.bytes.size() - at);
    client.sends(script.bytes.substr(at, bytes), when);
    at += bytes;
    when += std::chrono::milliseconds(random() % 3);
    if (random() % 2000 == 0) {
      client.closes(when);
      script.all_answered = false;
      return;
    }
  }
  const std::size_t end = random() % 6;
  if (end == 0) client.shuts_down(when);
  if (end == 1) {
    client.closes(when + std::chrono::milliseconds(random() % 20));
    script.all_answered = false;
  }
  if (end == 2) {
    client.stops_reading(world.hub.in(1ms));
    client.reads_again(when + 500ms);
  }
}

/// Answers like echo(), in the way that the last digit of the target names.
void answer(Exchange& exchange) {
  const char how = exchange.head().target.back();
  const auto nap = [](int length) {
    CHECK(io::sleep_until(Scheduler::current()->now() + std::chrono::milliseconds(length)).ok());
  };
  std::string text =
      std::string(exchange.head().method) + " " + std::string(exchange.head().target) + " ";
  if (how == '1') nap(7);
  int error = 0;
  if (how != '6') text += read_body(exchange, &error, how == '2' ? 777 : SIZE_MAX);
  if (error != 0) return;
  if (how == '3') nap(3);
  const std::size_t half = text.size() / 2;
  const bool sized = how == '4';
  exchange.response().begin("200 OK");
  if (!exchange
           .send_head(sized ? static_cast<std::int64_t>(text.size()) : -1,
                      bytes_of(text).first(half))
           .ok())
    return;
  if (how == '5') nap(2);
  if (!exchange.write(bytes_of(text).subspan(half)).ok()) return;
  (void)exchange.finish().ok();
}

/// "" when all is right.
std::string judge(const Script& script, const HttpResponses& got, bool ended) {
  if (got.broken) return "the stream of responses is broken";
  for (std::size_t i = 0; i < got.all.size(); i++) {
    if (got.all[i].status == 400 && i == script.bodies.size() && i + 1 == got.all.size()) continue;
    if (got.all[i].status != 200) return "status " + std::to_string(got.all[i].status);
    if (i >= script.bodies.size()) return "a response too many";
    if (got.all[i].body != script.bodies[i])
      return "response " + std::to_string(i) + " is another's";
  }
  if (!script.all_answered) return "";
  if (got.all.size() < script.bodies.size() && !ended) return "a response is missing";
  if (got.all.size() < script.bodies.size()) return "the connection ended too early";
  return got.rest.empty() ? "" : "something is left over";
}

}  // namespace

TEST_CASE("each response belongs to its request and arrives whole, or the connection ends") {
  for (std::uint64_t seed = 1; seed <= kSeeds; seed++) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    SimServer world(answer, {}, seed);
    std::vector<std::pair<SimPeer*, Script>> clients;
    for (int i = 0; i < 8; i++) {
      SimPeer& client = world.connect(std::chrono::milliseconds(random() % 10));
      Script script = draw_script(i, random);
      act(world, client, script, random);
      clients.emplace_back(&client, std::move(script));
    }

    world.pass(25s);

    for (auto& [client, script] : clients) {
      const std::string verdict = judge(script, world.responses(*client), client->saw_end());
      REQUIRE_MESSAGE(verdict.empty(), verdict);
    }
  }
}

TEST_CASE("a stop at any moment loses no response of a request in flight") {
  for (std::uint64_t seed = 1; seed <= kSeeds; seed++) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    SimServer world(answer, {}, seed);
    std::vector<std::pair<SimPeer*, Script>> clients;
    for (int i = 0; i < 8; i++) {
      SimPeer& client = world.connect();
      Script script = draw_script(i, random);
      client.sends(script.bytes, world.hub.in(std::chrono::milliseconds(1 + random() % 20)));
      script.all_answered = false;  // But each is whole, and the last one that began has ended.
      clients.emplace_back(&client, std::move(script));
    }
    world.pass(std::chrono::milliseconds(random() % 40));
    world.server.stop(20s);

    world.pass(15s);

    CHECK(world.ended);
    for (auto& [client, script] : clients) {
      const HttpResponses got = world.responses(*client);
      const std::string verdict = judge(script, got, client->saw_end());
      REQUIRE_MESSAGE(verdict.empty(), verdict);
      CHECK(got.rest.empty());
    }
  }
}
