#include "src/hub/blocking.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "greenwsgi/base/assert.hpp"

namespace greenwsgi {

namespace {

ssize_t read_or_write(const Op& op) {
  const bool at_offset = op.offset >= 0;
  if (op.kind == Op::Kind::read)
    return at_offset ? ::pread(op.fd, op.buffer.data(), op.buffer.size(), op.offset)
                     : ::read(op.fd, op.buffer.data(), op.buffer.size());
  GW_ASSERT(op.kind == Op::Kind::write);
  return at_offset ? ::pwrite(op.fd, op.buffer.data(), op.buffer.size(), op.offset)
                   : ::write(op.fd, op.buffer.data(), op.buffer.size());
}

}  // namespace

bool is_disk_file(int fd) {
  struct stat facts;
  if (::fstat(fd, &facts) != 0) return false;
  return S_ISREG(facts.st_mode) || S_ISBLK(facts.st_mode) || S_ISDIR(facts.st_mode);
}

void run_blocking(Op& op) noexcept {
  if (op.kind == Op::Kind::offload) return op.work(op);
  ssize_t bytes;
  do {
    bytes = read_or_write(op);
  } while (bytes < 0 && errno == EINTR);
  op.result = static_cast<std::int32_t>(bytes < 0 ? -errno : bytes);
}

}  // namespace greenwsgi
