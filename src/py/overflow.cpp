#include "src/py/overflow.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstring>
#include <mutex>

#include "greenwsgi/fiber/fiber.hpp"
#include "src/py/green_state.hpp"

namespace greenwsgi::py {

namespace {

constexpr std::size_t kAlternateBytes = 64 * 1024;

struct sigaction previous_action;

// No stdio in a signal handler.
class Line {
 public:
  Line& operator<<(const char* text) {
    while (*text != '\0' && length_ < sizeof text_) text_[length_++] = *text++;
    return *this;
  }
  Line& operator<<(std::uint64_t number) {
    char digits[24];
    std::size_t at = sizeof digits;
    digits[--at] = '\0';
    do digits[--at] = static_cast<char>('0' + number % 10);
    while ((number /= 10) != 0);
    return *this << &digits[at];
  }
  void write() const { [[maybe_unused]] const auto n = ::write(STDERR_FILENO, text_, length_); }

 private:
  char text_[200];
  std::size_t length_ = 0;
};

bool survives_overflow(Scheduler& scheduler, const void* address) {
  const Fiber* fiber = scheduler.running();
  return fiber != nullptr && fiber->local != nullptr &&
         static_cast<GreenState*>(fiber->local)->survives_overflow(address);
}

void on_fault(int number, siginfo_t* info, void*) {
  const int saved = errno;
  Scheduler* scheduler = Scheduler::current();
  if (info->si_code > 0 && scheduler != nullptr && survives_overflow(*scheduler, info->si_addr)) {
    errno = saved;
    return;
  }
  if (info->si_code > 0 && scheduler != nullptr && scheduler->stacks().in_guard(info->si_addr)) {
    Line line;
    line << "greenwsgi: green stack overflow in green ";
    line << (scheduler->running() != nullptr ? scheduler->running()->number() : 0);
    line << " (stack of " << scheduler->stacks().stack_bytes() / 1024
         << " KiB; see --stack-size)\n";
    line.write();
  }
  ::sigaction(number, &previous_action, nullptr);
  if (info->si_code <= 0) ::raise(number);  // Sent by somebody: it would not happen again.
  errno = saved;
}

void put_first() {
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGSEGV, &action, &previous_action);
}

// The calling thread's, unmapped when it ends.
class AlternateStack {
 public:
  AlternateStack() = default;
  AlternateStack(const AlternateStack&) = delete;
  AlternateStack& operator=(const AlternateStack&) = delete;

  /// Unless the thread has one.
  void give() {
    stack_t current{};
    if (::sigaltstack(nullptr, &current) != 0 || (current.ss_flags & SS_DISABLE) == 0) return;
    if (memory_ == nullptr) {
      void* memory = ::mmap(nullptr, kAlternateBytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
      if (memory == MAP_FAILED) return;  // An overflow will then die without a word.
      memory_ = memory;
    }
    stack_t ours{};
    ours.ss_sp = memory_;
    ours.ss_size = kAlternateBytes;
    ::sigaltstack(&ours, nullptr);
  }

  ~AlternateStack() {
    if (memory_ == nullptr) return;
    stack_t current{};
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    if (::sigaltstack(nullptr, &current) != 0) return;
    // In a handler that ends the process it is in use, and stays.
    if (current.ss_sp == memory_ && ::sigaltstack(&none, nullptr) != 0) return;
    ::munmap(memory_, kAlternateBytes);
  }

 private:
  void* memory_ = nullptr;
};

thread_local AlternateStack alternate_stack;

}  // namespace

void install_overflow_handler() {
  alternate_stack.give();
  static std::once_flag once;
  std::call_once(once, put_first);
}

OverflowHandlerAside::OverflowHandlerAside() {
  struct sigaction current {};
  ::sigaction(SIGSEGV, nullptr, &current);
  was_first_ = (current.sa_flags & SA_SIGINFO) != 0 && current.sa_sigaction == on_fault;
  if (was_first_) ::sigaction(SIGSEGV, &previous_action, nullptr);
}

OverflowHandlerAside::~OverflowHandlerAside() {
  if (was_first_) put_first();
}

}  // namespace greenwsgi::py
