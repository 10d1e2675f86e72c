// expectation.hpp - is there usually something to read when one comes to read a descriptor?
//
// A call that does not wait is quickest where data is there, and wasted where one has to wait
// anyway, as between a request and the next. What the last calls found says which it will be.
#pragma once

#include <cstdint>

namespace greenwsgi::io {

class Expectation {
 public:
  /// Is it worth a call that does not wait? Every 16th time it is, or we would never learn.
  bool worth_trying() {
    if (misses_ < kMissesToSkip) return true;
    return ++skipped_ % kSkipsToRetry == 0;
  }
  void found(bool something) {
    if (something) {
      misses_ = 0;
    } else if (misses_ < kMissesToSkip) {
      misses_ += 1;
    }
  }
  void forget() { misses_ = 0; }

 private:
  static constexpr std::uint8_t kMissesToSkip = 2;
  static constexpr std::uint8_t kSkipsToRetry = 16;
  std::uint8_t misses_ = 0;
  std::uint8_t skipped_ = 0;
};

}  // namespace greenwsgi::io
