#include "src/patch/receive_room.hpp"

#include <bit>
#include <cstdlib>

namespace greenwsgi::patch {

namespace {

constexpr std::size_t kLeastBytes = 4096;
constexpr std::size_t kKept = 64;

// Those of one size that nobody uses.
struct Shelf {
  std::byte* rooms[kKept];
  std::size_t count = 0;
};

// 4, 8 and 16 KiB.
Shelf shelves[3];

std::size_t place_of(std::size_t size) {
  return static_cast<std::size_t>(std::bit_width((size - 1) / kLeastBytes));
}

}  // namespace

ReceiveRoom::ReceiveRoom(std::size_t size) : size_(size) {
  Shelf& shelf = shelves[place_of(size)];
  memory_ = shelf.count > 0 ? shelf.rooms[--shelf.count]
                            : static_cast<std::byte*>(std::malloc(kLeastBytes << place_of(size)));
}

ReceiveRoom::~ReceiveRoom() {
  if (memory_ == nullptr) return;
  Shelf& shelf = shelves[place_of(size_)];
  if (shelf.count < kKept) {
    shelf.rooms[shelf.count++] = memory_;
  } else {
    std::free(memory_);
  }
}

}  // namespace greenwsgi::patch
