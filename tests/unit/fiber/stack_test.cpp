// What StackPool promises: reuse, guards, memory given back.
#include "greenwsgi/fiber/stack.hpp"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <set>
#include <vector>

using namespace greenwsgi;

namespace {

Stack take(StackPool& pool) {
  const Result<Stack> stack = pool.take();
  REQUIRE(stack.ok());
  return *stack;
}

// How many of the stack's pages hold memory.
std::size_t resident_pages(const Stack& stack) {
  std::vector<unsigned char> pages(stack.bytes / 4096);
  REQUIRE(::mincore(stack.base, stack.bytes, pages.data()) == 0);
  std::size_t count = 0;
  for (const unsigned char page : pages) count += page & 1;
  return count;
}

}  // namespace

TEST_CASE("a stack is as large as asked for, in whole pages, within the limits") {
  CHECK(StackPool(1).stack_bytes() == StackPool::kLeastBytes);
  CHECK(StackPool(100'000).stack_bytes() == 102'400);
  CHECK(StackPool(std::size_t{1} << 40).stack_bytes() == StackPool::kMostBytes);
}

TEST_CASE("stacks do not overlap, and one that was given back is the next to be taken") {
  StackPool pool(64 * 1024);
  std::vector<Stack> stacks;
  std::set<std::byte*> bases;
  for (int i = 0; i < 200; i++) {
    stacks.push_back(take(pool));
    bases.insert(stacks.back().base);
  }
  CHECK(bases.size() == 200);
  for (auto next = bases.begin(), last = next++; next != bases.end(); last = next++) {
    CHECK(*next - *last >= 64 * 1024);
  }
  CHECK(pool.in_use() == 200);

  const Stack warm = stacks.back();
  pool.give_back(warm);
  CHECK(take(pool).base == warm.base);

  for (const Stack& stack : stacks) pool.give_back(stack);
  CHECK(pool.in_use() == 0);
}

TEST_CASE("trim gives back the memory of stacks that were not needed since the last trim") {
  StackPool pool(64 * 1024);
  const Stack stack = take(pool);
  std::memset(stack.base + 4096, 1, stack.bytes - 4096);
  pool.give_back(stack);
  REQUIRE(resident_pages(stack) == 15);

  CHECK(pool.trim(1000) == 0);
  pool.trim(1000);

  CHECK(resident_pages(stack) == 0);
}

TEST_CASE("trim leaves a stack alone that was needed since") {
  StackPool pool(64 * 1024);
  const Stack stack = take(pool);
  std::memset(stack.base + 4096, 1, stack.bytes - 4096);
  pool.give_back(stack);

  pool.trim(1000);

  CHECK(resident_pages(stack) == 15);
}

TEST_CASE("the page below a stack is a guard: writing there is a fault that in_guard() knows") {
  StackPool pool(64 * 1024);
  const Stack stack = take(pool);
  CHECK(pool.in_guard(stack.base));
  CHECK(pool.in_guard(stack.base + 4095));
  CHECK_FALSE(pool.in_guard(stack.base + 4096));
  CHECK_FALSE(pool.in_guard(&pool));

  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGSEGV, SIG_DFL);  // Not the test runner's, nor a sanitizer's, report.
    *static_cast<volatile std::byte*>(stack.base + 100) = std::byte{1};
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGSEGV);
  pool.give_back(stack);
}
