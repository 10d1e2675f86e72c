// fd_turns.hpp - whose turn it is to read, and to write, a descriptor.
//
// Greens that want to read one descriptor queue: the first waits in the kernel, the others for
// their turn, so that they are served in order. The same for writing; a reader and a writer do not
// concern each other. close() first wakes all of them with EBADF and waits until they have let go
// of the descriptor, so that none of them can touch the next file of the same number. The table is
// the process's, guarded by the GIL; native threads take no turns.
#pragma once

#include "greenwsgi/fiber/fiber.hpp"
#include "greenwsgi/io/expectation.hpp"
#include "src/py/ref.hpp"

namespace greenwsgi::patch {

struct FdSide {
  Fiber* owner = nullptr;  // Whose turn it is.
  unsigned queued = 0;     // Greens in the parking lot under this address.
};

struct FdTurns {
  FdSide reading;
  FdSide writing;
  unsigned closes = 0;   // Rises with each close.
  unsigned closing = 0;  // Closes that wait for the others to leave.
  // Of reads from the socket, and of those through TLS; forgotten when it is closed.
  io::Expectation plain, tls;

  bool idle() const {
    return reading.owner == nullptr && reading.queued == 0 && writing.owner == nullptr &&
           writing.queued == 0;
  }
};

/// The record of a descriptor, made on demand, at the same address for ever. nullptr and
/// MemoryError when there is no memory; `fd` must not be negative.
FdTurns* fd_turns(int fd);

enum class Direction : unsigned char { reading, writing };

/// A green's turn at a side of a descriptor, from take() to the end of the scope.
class Turn {
 public:
  Turn(FdTurns& turns, Direction direction)
      : turns_(turns),
        side_(direction == Direction::reading ? turns.reading : turns.writing),
        closes_(turns.closes) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    if (owns_) leave();
  }

  /// Waits for the turn. False: a Python error is set (EBADF, "timed out", or what was thrown).
  bool take(Instant deadline) {
    if (side_.owner == nullptr && side_.queued == 0 && turns_.closing == 0) {
      own();
      return true;
    }
    return wait(deadline);
  }

  /// After the wait for the kernel failed with `error`. True: a Python error is set. False: the
  /// wait was ended for no reason that concerns this green, which waits again.
  bool failed(Errno error, Instant deadline) const;
  /// Has the descriptor been closed since? Its number may be another file's once the turn is over.
  bool was_closed() const { return turns_.closes != closes_; }

 private:
  void own();
  void leave();
  bool wait(Instant deadline);

  FdTurns& turns_;
  FdSide& side_;
  unsigned closes_;
  bool owns_ = false;
};

/// Descriptors that a call goes on to use after others had a turn. Not copied into the child of a
/// fork.
class StillOpen {
 public:
  StillOpen() = default;
  explicit StillOpen(int fd) : StillOpen(fd, -1) {}
  StillOpen(int fd, int other);

  /// False: one has been closed since, and its number may be another file's.
  bool holds() const;
  /// holds(), or else EBADF is set.
  bool check() const;
  /// What changes when the first is closed; nullptr: that is none.
  const unsigned* closes() const { return turns_[0] != nullptr ? &turns_[0]->closes : nullptr; }

 private:
  const FdTurns* turns_[2] = {};
  unsigned closes_[2] = {};
};

/// yield_turn() of a call that goes on to use `fd`. EBADF when that was closed meanwhile: the
/// number may be another file's.
bool yield_turn(int fd);
/// spend_turn() likewise.
bool spend_turn(int fd);

/// To be called before `fd` is closed: ends all waits for it, and what is known of it is forgotten.
/// May switch; what is thrown at this green meanwhile waits. False: a Python error is set, which
/// the handler of a signal has raised.
bool before_close(int fd);

/// The same for all from `low` on that are below `high`.
bool before_close_range(int low, int high);

/// The next read may find what none found before.
void forget_expectations(int fd);

/// Does any green wait for `fd`? Cheap.
bool has_waiters(int fd);

}  // namespace greenwsgi::patch
