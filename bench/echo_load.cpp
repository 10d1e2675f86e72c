// Clients of an echo server: one message in flight on each connection, in plain text or TLS.
//
//   echo_load PORT PID CONNECTIONS BYTES SECONDS [tls]
//
// Connects, lets the messages go round for a tenth of the time, then counts. Prints the messages
// and the nanoseconds of CPU that the threads of PID took for them, as the scheduler counted.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void stop(const char* what) {
  std::perror(what);
  std::exit(1);
}

class Connection {
 public:
  Connection(int port, SSL_CTX* context) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) stop("connect");
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (context == nullptr) return;
    tls_ = SSL_new(context);
    SSL_set_fd(tls_, fd_);
    if (SSL_connect(tls_) != 1) stop("SSL_connect");
  }

  int fd() const { return fd_; }

  void send(const std::vector<char>& message) {
    const auto size = static_cast<ssize_t>(message.size());
    const ssize_t sent = tls_ == nullptr ? ::send(fd_, message.data(), message.size(), 0)
                                         : SSL_write(tls_, message.data(), static_cast<int>(size));
    if (sent != size) stop("send");
  }

  /// Waits for the next piece; says whether it completed the message.
  bool receive(std::vector<char>& room) {
    const std::size_t missing = room.size() - received_;
    const ssize_t count = tls_ == nullptr ? ::recv(fd_, room.data(), missing, 0)
                                          : SSL_read(tls_, room.data(), static_cast<int>(missing));
    if (count <= 0) stop("recv");
    received_ = (received_ + static_cast<std::size_t>(count)) % room.size();
    return received_ == 0;
  }

 private:
  int fd_ = -1;
  SSL* tls_ = nullptr;
  std::size_t received_ = 0;
};

/// What the scheduler has counted for all threads of a process.
long cpu_nanoseconds(const std::string& pid) {
  long total = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + pid + "/task")) {
    std::ifstream file(task.path() / "schedstat");
    long spent = 0;
    if (file >> spent) total += spent;
  }
  return total;
}

long echo_until(Clock::time_point end,
                int epoll,
                std::vector<Connection>& connections,
                std::vector<char>& message) {
  long messages = 0;
  epoll_event events[512];
  while (Clock::now() < end) {
    const int count = ::epoll_wait(epoll, events, 512, 1000);
    for (int i = 0; i < count; ++i) {
      Connection& connection = connections[events[i].data.u32];
      if (!connection.receive(message)) continue;
      ++messages;
      connection.send(message);
    }
  }
  return messages;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) return 2;
  const std::string pid = argv[2];
  std::vector<char> message(static_cast<std::size_t>(std::atol(argv[4])), 'x');
  const std::chrono::duration<double> wanted(std::atof(argv[5]));
  const auto whole = std::chrono::duration_cast<Clock::duration>(wanted);
  SSL_CTX* context = nullptr;
  if (argc > 6) {
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    // Session tickets come unasked, ahead of the first echo: SSL_read() skips them.
  }

  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<Connection> connections;
  for (int i = 0; i < std::atoi(argv[3]); ++i) {
    connections.emplace_back(std::atoi(argv[1]), context);
    epoll_event event{.events = EPOLLIN, .data = {.u32 = static_cast<std::uint32_t>(i)}};
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, connections.back().fd(), &event);
    connections.back().send(message);
  }

  echo_until(Clock::now() + whole / 10, epoll, connections, message);
  const long before = cpu_nanoseconds(pid);
  const long messages = echo_until(Clock::now() + whole, epoll, connections, message);
  std::printf("%ld %ld\n", messages, cpu_nanoseconds(pid) - before);
  return 0;
}
