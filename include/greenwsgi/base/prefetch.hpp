// prefetch.hpp - fetching into the processor's caches what will be used a microsecond later.
//
// Among thousands of connections and fibers, the next one's memory is in no cache near the
// processor: touched bit by bit, every line of it is waited for; fetched ahead, they come together.
#pragma once

#include <cstddef>
#include <cstdint>

namespace greenwsgi {

/// Need not be memory that can be read, or that is there at all. Never switches.
inline void prefetch(const void* from, std::size_t bytes) {
  constexpr std::size_t kCacheLine = 64;
  const auto first = reinterpret_cast<std::uintptr_t>(from);
  for (std::size_t at = 0; at < bytes; at += kCacheLine)
    __builtin_prefetch(reinterpret_cast<const void*>(first + at), 1);
  // GCC drops calls of a function that does nothing else, as if it had no effect.
  asm volatile("");
}

}  // namespace greenwsgi
