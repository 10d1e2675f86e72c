// parking_lot.hpp - waiting for a memory address: what locks, queues and events of greens are made
// of, as in WebKit's WTF::ParkingLot.
//
// Any object can be waited on by its address, and costs nothing while nobody waits. Greens of all
// threads share one lot; the GIL guards it. The caller keeps the object alive while parked on it.
// Native threads never park here: they block in the original primitive, and wake greens through
// unpark_one(), which reaches other threads' schedulers by a message.
#pragma once

#include <cstddef>

#include "greenwsgi/base/clock.hpp"

namespace greenwsgi::py {

enum class Woken : unsigned char { unparked, timed_out, interrupted };

/// Parks the running green until unpark, the deadline, or an interrupt (then see
/// raise_if_interrupted()). Whoever was unparked and then fails to take what it waited for parks
/// again with `front`, to keep its place. Switches. `what`: for people, a literal: "lock".
Woken park_on(const void* key, Instant deadline, bool front, const char* what);

/// Wakes the one that has waited longest; false when nobody waits. A green that was unparked but is
/// then interrupted before it runs must pass the wake on by calling this again. Never switches.
bool unpark_one(const void* key);

/// Does anybody wait for it?
bool anyone_parked_on(const void* key);

/// How many greens are parked in the whole lot: hooks of uncontended release ask this first.
extern std::size_t parked_count;

/// Forgets everybody (after fork(2), in the child).
void clear_parking_lot();

}  // namespace greenwsgi::py
