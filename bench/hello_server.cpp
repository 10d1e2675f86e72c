// The server without Python: the floor of our own that the WSGI bridge stands on.
//
//   hello_server PORT        answers every request with 13 bytes, until SIGTERM
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "greenwsgi/server/server.hpp"

using namespace greenwsgi;

namespace {

class Hello final : public server::Handler {
 public:
  void handle(server::Exchange& exchange) noexcept override {
    static constexpr std::string_view kText = "Hello, World!";
    exchange.release_head();
    exchange.response().begin("200 OK");
    exchange.response().add("Content-Type", "text/plain");
    exchange.response().add("Content-Length", "13");
    if (!exchange.send_head(13, std::as_bytes(std::span(kText))).ok()) return;
    if (!exchange.finish().ok()) return;
  }
};

int listen_on(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd, 4096) != 0) {
    std::perror("hello_server");
    std::exit(1);
  }
  return fd;
}

Hub* the_hub = nullptr;
volatile std::sig_atomic_t asked_to_stop = 0;

}  // namespace

int main(int argc, char** argv) {
  HubChoice choice = HubChoice::automatic;
  std::string bad;
  if (argc != 2 || !hub_choice_from_environment(&choice, &bad)) return 2;
  HubMade made = make_hub(choice);
  std::fprintf(stderr, "hub: %s\n", made.reason.c_str());
  if (made.hub == nullptr) return 1;
  Scheduler scheduler(*made.hub);
  Hello handler;
  const server::Options options;
  server::Server server(scheduler, handler, options);
  server.add_listener(listen_on(std::atoi(argv[1])));

  the_hub = made.hub.get();
  static server::Server* the_server = &server;
  SchedulerHooks hooks;
  hooks.each_turn = []() noexcept {
    if (asked_to_stop != 0) the_server->stop(std::chrono::seconds(5));
  };
  scheduler.set_hooks(hooks);
  std::signal(SIGTERM, [](int) {
    asked_to_stop = 1;
    the_hub->wake();
  });
  return server.run().ok() ? 0 : 1;
}
