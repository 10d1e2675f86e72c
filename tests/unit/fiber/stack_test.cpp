// What StackPool promises: reuse, guards, memory given back.
#include "greenwsgi/fiber/stack.hpp"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <set>
#include <utility>
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

// Does a child of ours that writes there end by SIGSEGV?
bool faults(std::byte* address) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGSEGV, SIG_DFL);  // Not the test runner's, nor a sanitizer's, report.
    *static_cast<volatile std::byte*>(address) = std::byte{1};
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
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
  std::memset(pool.limit(stack), 1, static_cast<std::size_t>(stack.top() - pool.limit(stack)));
  pool.give_back(stack);
  REQUIRE(resident_pages(stack) == 14);  // All but the guard and the zone.

  CHECK(pool.trim(1000) == 0);
  pool.trim(1000);

  CHECK(resident_pages(stack) == 0);
}

TEST_CASE("trim leaves a stack alone that was needed since") {
  StackPool pool(64 * 1024);
  const Stack stack = take(pool);
  std::memset(pool.limit(stack), 1, static_cast<std::size_t>(stack.top() - pool.limit(stack)));
  pool.give_back(stack);

  pool.trim(1000);

  CHECK(resident_pages(stack) == 14);  // All but the guard and the zone.
}

TEST_CASE("the page below a stack is a guard: writing there is a fault that in_guard() knows") {
  StackPool pool(64 * 1024);
  const Stack stack = take(pool);
  CHECK(pool.in_guard(stack.base));
  CHECK(pool.in_guard(pool.limit(stack) - 1));
  CHECK_FALSE(pool.in_guard(pool.limit(stack)));
  CHECK_FALSE(pool.in_guard(&pool));

  CHECK(faults(stack.base + 100));
  pool.give_back(stack);
}

TEST_CASE("a yellow zone is a guard until it is opened, and after it was closed") {
  StackPool pool(256 * 1024);
  const Stack stack = take(pool);
  CHECK(pool.zone_bytes() == 16 * 1024);
  CHECK(pool.limit(stack) == stack.base + 4096 + pool.zone_bytes());
  std::byte* first = pool.limit(stack) - 1;
  std::byte* last = stack.base + 4096;
  CHECK(faults(first));

  CHECK(pool.open_zone(stack));
  CHECK_FALSE(faults(first));
  CHECK_FALSE(faults(last));
  CHECK(faults(last - 1));

  CHECK(pool.close_zone(stack));
  CHECK(faults(first));
  CHECK(faults(last));
  pool.give_back(stack);
}

TEST_CASE("a yellow zone has 64 KiB at most") {
  CHECK(StackPool().zone_bytes() == 64 * 1024);
  CHECK(StackPool(StackPool::kMostBytes).zone_bytes() == 64 * 1024);
  CHECK(StackPool(StackPool::kLeastBytes).zone_bytes() == 4096);
}

TEST_CASE("what was provided is there for the pool that takes the first one's place") {
  StackPool first(64 * 1024);
  REQUIRE(first.provide());

  StackPool second(std::move(first));
  const Stack stack = take(second);

  CHECK(stack.bytes == 64 * 1024);
  CHECK(second.in_guard(stack.base));
  second.give_back(stack);
}

TEST_CASE("a pool whose stacks no address space is left for says so, and has what it had") {
  const pid_t child = ::fork();
  if (child == 0) {
    StackPool pool(1024 * 1024);
    bool well = pool.provide();
    const rlimit limit{1 << 20, RLIM_INFINITY};
    ::setrlimit(RLIMIT_AS, &limit);
    std::size_t taken = 0;
    Result<Stack> stack = pool.take();
    for (; stack.ok(); stack = pool.take()) taken += 1;
    well = well && taken == 64 && stack.error().code == ENOMEM && !pool.provide();
    ::_exit(well ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}
