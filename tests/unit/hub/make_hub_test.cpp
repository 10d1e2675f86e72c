// Which hub is made and what is said about it, also where the system refuses io_uring: in a child
// process under a seccomp filter, as in a container.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstdlib>

#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

/// From now on io_uring_setup(2) fails with `error` in this process.
void refuse_io_uring(int error) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{sizeof program / sizeof *program, program};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) ::_exit(99);
}

/// What a child that runs `body` writes.
template <class Body>
std::string said_by_child(Body body) {
  Ends ends = pipe_pair();
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string text = body();
    [[maybe_unused]] auto bytes = ::write(ends.b, text.data(), text.size());
    ::_exit(0);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  std::string text(4096, '\0');
  ends.close_b();
  const ssize_t bytes = ::read(ends.a, text.data(), text.size());
  text.resize(bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
  return text;
}

std::string describe(const HubMade& made) {
  return std::string(made.hub != nullptr ? made.hub->name() : "none") + " | " + made.reason;
}

std::string refused(int error, HubChoice wanted) {
  return said_by_child([&] {
    refuse_io_uring(error);
    const HubMade made = make_hub(wanted);
    if (made.hub != nullptr) {
      made.hub->wake();
      made.hub->wait(kNever);  // It works.
    }
    return describe(made);
  });
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("make_hub: epoll when it is asked for") {
  const HubMade made = make_hub(HubChoice::epoll);

  REQUIRE(made.hub != nullptr);
  CHECK(std::string(made.hub->name()) == "epoll");
  CHECK(made.reason == "epoll: it was asked for");
}

TEST_CASE("make_hub: automatic takes io_uring and names the kernel, else epoll and the reason") {
  const HubMade made = make_hub(HubChoice::automatic);

  REQUIRE(made.hub != nullptr);
  const bool is_uring = std::string(made.hub->name()) == "io_uring";
  CHECK(made.reason.starts_with(is_uring ? "io_uring (Linux " : "epoll: "));
}

TEST_CASE("make_hub: falls back to epoll where a sandbox refuses io_uring, and says so") {
  const std::string text = refused(EPERM, HubChoice::automatic);

  CHECK(text.starts_with("epoll | epoll: io_uring_setup(2) was refused: Operation not permitted"));
}

TEST_CASE(
    "make_hub: explains a kernel without io_uring, one that is too old, and too little memory") {
  CHECK(contains(refused(ENOSYS, HubChoice::automatic), "no such call in this kernel"));
  CHECK(contains(refused(EINVAL, HubChoice::automatic), "Linux 6.1 or later is needed"));
  CHECK(contains(refused(ENOMEM, HubChoice::automatic), "RLIMIT_MEMLOCK"));
}

TEST_CASE("make_hub: io_uring that was insisted on and cannot be had is no hub, with the remedy") {
  const std::string text = refused(EPERM, HubChoice::uring);

  CHECK(text.starts_with("none | io_uring was asked for, but io_uring_setup(2) was refused"));
  CHECK(contains(text, "without GREENWSGI_HUB=uring, epoll is taken"));
}

TEST_CASE("make_hub: says when not even epoll can be had") {
  const std::string text = said_by_child([] {
    const int lowest_free = ::dup(0);
    ::close(lowest_free);
    const rlimit none{static_cast<rlim_t>(lowest_free), static_cast<rlim_t>(lowest_free)};
    ::setrlimit(RLIMIT_NOFILE, &none);
    return describe(make_hub(HubChoice::automatic));
  });

  CHECK(text == "none | there is no hub: epoll failed: Too many open files");
}

TEST_CASE("GREENWSGI_HUB: names a hub, or is said to be wrong") {
  const auto choice_for = [](const char* value) {
    value != nullptr ? ::setenv("GREENWSGI_HUB", value, 1) : ::unsetenv("GREENWSGI_HUB");
    HubChoice choice{};
    std::string bad;
    const bool good = hub_choice_from_environment(&choice, &bad);
    ::unsetenv("GREENWSGI_HUB");
    return good ? std::to_string(int(choice)) : "bad: " + bad;
  };

  CHECK(choice_for(nullptr) == std::to_string(int(HubChoice::automatic)));
  CHECK(choice_for("auto") == std::to_string(int(HubChoice::automatic)));
  CHECK(choice_for("uring") == std::to_string(int(HubChoice::uring)));
  CHECK(choice_for("epoll") == std::to_string(int(HubChoice::epoll)));
  CHECK(choice_for("io-uring") == "bad: io-uring");
}
