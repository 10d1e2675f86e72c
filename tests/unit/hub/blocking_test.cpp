// What a thread of the pool does with an operation, and for which descriptors it is needed.
#include "src/hub/blocking.hpp"

#include <sys/mman.h>

#include "tests/unit/hub/rig.hpp"

using namespace greenwsgi;
using namespace greenwsgi::testing;

namespace {

/// A regular file in memory that holds `text`, its position at the beginning.
Ends file_of(std::string_view text) {
  Ends file{::memfd_create("test", MFD_CLOEXEC), -1};
  REQUIRE(file.a >= 0);
  put(file.a, text);
  ::lseek(file.a, 0, SEEK_SET);
  return file;
}

}  // namespace

TEST_CASE("is_disk_file: files and directories are, what poll(2) knows is not") {
  Ends file = file_of("");
  Ends directory{::open("/", O_RDONLY | O_CLOEXEC), -1};
  Ends pipe = pipe_pair();
  Ends socket = stream_pair();

  CHECK(is_disk_file(file.a));
  CHECK(is_disk_file(directory.a));
  CHECK_FALSE(is_disk_file(pipe.a));
  CHECK_FALSE(is_disk_file(socket.a));
  CHECK_FALSE(is_disk_file(-1));
}

TEST_CASE("run_blocking: reads at an offset, or at the file's position when there is none") {
  Ends file = file_of("abcdef");
  const auto at_four = TestOp::read(file.a, 10, 4);
  const auto first = TestOp::read(file.a, 2);
  const auto second = TestOp::read(file.a, 10);

  for (TestOp* op : {at_four.get(), first.get(), second.get()}) run_blocking(*op);

  CHECK(at_four->result == 2);
  CHECK(at_four->room.substr(0, 2) == "ef");
  CHECK(first->room == "ab");
  CHECK(second->result == 4);
  CHECK(second->room.substr(0, 4) == "cdef");
}

TEST_CASE("run_blocking: writes at an offset without moving the position") {
  Ends file = file_of("abcdef");
  const auto at_two = TestOp::sending(Op::Kind::write, file.a, "XY");
  at_two->offset = 2;
  const auto here = TestOp::sending(Op::Kind::write, file.a, "Z");
  here->offset = -1;

  run_blocking(*at_two);
  run_blocking(*here);

  CHECK(at_two->result == 2);
  const auto whole = TestOp::read(file.a, 6, 0);
  run_blocking(*whole);
  CHECK(whole->room == "ZbXYef");
}

TEST_CASE("run_blocking: an error is a negative errno") {
  const auto op = TestOp::read(-1, 1);

  run_blocking(*op);

  CHECK(op->result == -EBADF);
}

TEST_CASE("run_blocking: an offload sets its own result") {
  TestOp op(Op::Kind::offload, -1);
  op.work = [](Op& self) noexcept { self.result = 7; };

  run_blocking(op);

  CHECK(op.result == 7);
}
