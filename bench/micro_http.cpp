// micro_http.cpp - what reading a request's head and writing a response's cost, in ns an operation.
//
//   taskset -c 1 build/bench/micro_http                 all, the median of 15 rounds each
//   taskset -c 1 perf stat -r 3 build/bench/micro_http browser
//   valgrind --tool=callgrind --toggle-collect='*next*' build/bench/micro_http browser 2000
//
// The first argument is the beginning of a name, the second the operations a round. Callgrind's
// instructions do not vary: use them to compare two versions of the code, and the clock to tell
// whether it mattered. The bytes are hot in the cache here; on a server they come from the kernel,
// and are as hot.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>
#include <vector>

#include "greenwsgi/base/assert.hpp"
#include "greenwsgi/http/request_parser.hpp"
#include "greenwsgi/http/response_head.hpp"

namespace {

using namespace greenwsgi::http;

constexpr std::string_view kHello = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

constexpr std::string_view kBrowser =
    "GET /articles/2024/07/green?page=3&order=date HTTP/1.1\r\n"
    "Host: www.example.org\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Referer: https://www.example.org/articles/2024/07/\r\n"
    "Connection: keep-alive\r\n"
    "Cookie: session=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Cache-Control: max-age=0\r\n"
    "\r\n";

constexpr std::string_view kChunked =
    "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    "10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";

const RequestLimits kLimits;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// One request, from its first byte to its end, as a keep-alive connection sees it.
void read_request(RequestParser& parser, std::string_view text) {
  auto input = bytes_of(text);
  for (;;) {
    const RequestParser::Step step = parser.next(input);
    GW_ASSERT(step.event != RequestParser::Event::error);
    GW_ASSERT(step.event != RequestParser::Event::need_more);
    input = input.subspan(step.consumed);
    if (step.event == RequestParser::Event::end) break;
  }
  parser.release_head();
}

void hello() {
  static RequestParser parser(kLimits);
  read_request(parser, kHello);
}

void browser() {
  static RequestParser parser(kLimits);
  read_request(parser, kBrowser);
}

void chunked() {
  static RequestParser parser(kLimits);
  read_request(parser, kChunked);
}

void response() {
  static ResponseHead head;
  GW_ASSERT(head.begin("200 OK"));
  GW_ASSERT(head.add("Content-Type", "text/plain; charset=utf-8") == ResponseHead::Added::ok);
  GW_ASSERT(head.add("X-Frame-Options", "DENY") == ResponseHead::Added::ok);
  GW_ASSERT(head.end({}, 12, "greenwsgi").bytes == 12);
}

void date() {
  GW_ASSERT(http_date().size() == 29);
}

struct Benchmark {
  std::string_view name;
  void (*run)();
};

constexpr Benchmark kBenchmarks[] = {
    {"hello request, 1 field", hello},
    {"browser request, 12 fields", browser},
    {"chunked request, 2 chunks", chunked},
    {"response, 2 fields", response},
    {"date", date},
};

double ns_an_operation(void (*run)(), long operations) {
  const auto begin = std::chrono::steady_clock::now();
  for (long i = 0; i < operations; ++i) run();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  return took.count() / static_cast<double>(operations);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view wanted = argc > 1 ? argv[1] : "";
  const long operations = argc > 2 ? std::atol(argv[2]) : 200'000;
  for (const Benchmark& benchmark : kBenchmarks) {
    if (!benchmark.name.starts_with(wanted)) continue;
    std::vector<double> rounds;
    for (int round = 0; round < 15; ++round) {
      rounds.push_back(ns_an_operation(benchmark.run, operations));
    }
    std::sort(rounds.begin(), rounds.end());
    std::printf("%-28s %7.1f ns  (best %.1f)\n", benchmark.name.data(), rounds[7], rounds[0]);
  }
}
