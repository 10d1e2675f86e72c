#include "src/server/input_buffer.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <random>
#include <vector>

using namespace greenwsgi;
using server::InputBuffer;

TEST_CASE("an input buffer keeps bytes in order, whatever is appended and taken") {
  std::mt19937 random(7);
  InputBuffer buffer;
  std::deque<std::byte> model;
  std::uint8_t next = 0;
  for (int i = 0; i < 20'000; i++) {
    if (random() % 2 == 0) {
      std::vector<std::byte> bytes(random() % 100);
      for (std::byte& one : bytes) one = static_cast<std::byte>(next++);
      REQUIRE(buffer.append(bytes));
      model.insert(model.end(), bytes.begin(), bytes.end());
    } else {
      const std::size_t taken = random() % (model.size() + 1);
      buffer.consume(taken);
      model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(taken));
    }
    REQUIRE(buffer.size() == model.size());
    REQUIRE(std::equal(model.begin(), model.end(), buffer.bytes().begin()));
    if (random() % 100 == 0) {
      buffer.release();
      model.clear();
    }
  }
}

TEST_CASE("an input buffer without bytes keeps its memory until it is released") {
  InputBuffer buffer;
  CHECK(buffer.bytes().data() == nullptr);
  REQUIRE(buffer.append(std::vector<std::byte>(1024)));
  buffer.consume(1024);
  CHECK(buffer.bytes().data() != nullptr);

  buffer.release();

  CHECK(buffer.bytes().data() == nullptr);
}
