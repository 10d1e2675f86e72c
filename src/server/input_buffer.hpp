// input_buffer.hpp - bytes in order: appended behind, taken in front; no memory when empty and
// released. Running out of memory is an answer, not an exception.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "greenwsgi/base/assert.hpp"
#include "greenwsgi/io/io.hpp"

namespace greenwsgi::server {

class InputBuffer {
 public:
  InputBuffer() = default;
  InputBuffer(const InputBuffer&) = delete;
  InputBuffer& operator=(const InputBuffer&) = delete;
  ~InputBuffer() { std::free(data_); }

  std::size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  io::ConstBytes bytes() const { return {data_ + begin_, size()}; }

  /// False when there is no memory; nothing has been appended then.
  [[nodiscard]] bool append(io::ConstBytes bytes) {
    if (bytes.empty()) return true;
    if (!make_room(bytes.size())) return false;
    std::memcpy(data_ + end_, bytes.data(), bytes.size());
    end_ += bytes.size();
    return true;
  }

  void consume(std::size_t bytes) {
    GW_ASSERT(bytes <= size());
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = 0;
  }

  /// Drops what is there, and the memory.
  void release() {
    std::free(data_);
    data_ = nullptr;
    begin_ = end_ = capacity_ = 0;
  }

 private:
  bool make_room(std::size_t bytes) {
    if (capacity_ - end_ >= bytes) return true;
    if (begin_ > 0 && capacity_ - size() >= bytes) {
      std::memmove(data_, data_ + begin_, size());
    } else {
      const std::size_t wanted = std::max(size() + bytes, capacity_ * 2);
      auto* grown = static_cast<std::byte*>(std::malloc(wanted));
      if (grown == nullptr) return false;
      if (!empty()) std::memcpy(grown, data_ + begin_, size());
      std::free(data_);
      data_ = grown;
      capacity_ = wanted;
    }
    end_ -= begin_;
    begin_ = 0;
    return true;
  }

  std::byte* data_ = nullptr;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace greenwsgi::server
