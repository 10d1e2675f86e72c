#include "src/hub/uring_ring.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "greenwsgi/base/assert.hpp"

namespace greenwsgi {

namespace {

/// The sysctl of Linux 6.6 and later: 0 open to all, 1 to a group, 2 to nobody; -1 unknown.
int io_uring_disabled() {
  std::FILE* file = std::fopen("/proc/sys/kernel/io_uring_disabled", "re");
  if (file == nullptr) return -1;
  int value = -1;
  if (std::fscanf(file, "%d", &value) != 1) value = -1;
  std::fclose(file);
  return value;
}

std::string why_set_up_failed(int error) {
  std::string text = "io_uring_setup(2) was refused: ";
  text += std::strerror(error);
  const int disabled = io_uring_disabled();
  if (error == EPERM && disabled > 0)
    return text + " (kernel.io_uring_disabled is " + std::to_string(disabled) + ")";
  if (error == EPERM)
    return text + " (by a sandbox, such as the default seccomp profile of Docker)";
  if (error == ENOSYS) return text + " (no such call in this kernel, or a sandbox hides it)";
  if (error == ENOMEM) return text + " (memory, or RLIMIT_MEMLOCK: see ulimit -l)";
  if (error == EINVAL) return text + " (the kernel is too old: Linux 6.1 or later is needed)";
  return text;
}

std::string too_old(const char* feature, const char* since) {
  return std::string("this kernel's io_uring lacks ") + feature + " (Linux " + since +
         " or later has it)";
}

}  // namespace

UringRing::~UringRing() {
  if (!is_open_) return;
  if (owned_by_this_process()) {
    // Closing the ring cancels too, but later and elsewhere: a listener's port would stay taken
    // for a while after its owner has closed it.
    io_uring_sync_cancel_reg all{};
    all.fd = -1;
    all.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
    all.timeout = {.tv_sec = 1, .tv_nsec = 0};
    io_uring_register_sync_cancel(&ring_, &all);
    // The cancelled operations let go of their descriptors when their completions are fetched.
    io_uring_get_events(&ring_);
  }
  io_uring_queue_exit(&ring_);
}

bool UringRing::owned_by_this_process() const {
  return owner_ == ::getpid();
}

int UringRing::set_up(const UringSizes& sizes) {
  constexpr unsigned kAlways = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL |
                               IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                               IORING_SETUP_SINGLE_ISSUER;
  int status = -EINVAL;
  // DEFER_TASKRUN is of Linux 6.1, SINGLE_ISSUER of 6.0: what is older lacks multishot recv anyway.
  for (unsigned flags : {kAlways | IORING_SETUP_DEFER_TASKRUN, kAlways}) {
    io_uring_params parameters{};
    parameters.flags = flags;
    parameters.cq_entries = sizes.completions;
    status = io_uring_queue_init_params(sizes.submissions, &ring_, &parameters);
    if (status != -EINVAL) break;
  }
  return status;
}

std::string UringRing::open(const UringSizes& sizes) {
  GW_ASSERT(!is_open_);
  const int status = set_up(sizes);
  if (status < 0) return why_set_up_failed(-status);
  is_open_ = true;
  owner_ = ::getpid();
  constexpr unsigned kNeeded = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG |
                               IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL |
                               IORING_FEAT_RW_CUR_POS;
  if ((ring_.features & kNeeded) != kNeeded) return too_old("a basic feature", "5.11");
  if (std::string why = check_operations(); !why.empty()) return why;
  // Only saves the kernel a look-up of the descriptor at each call: no reason to do without a ring.
  io_uring_register_ring_fd(&ring_);
  if (const int error = buffers_.open(ring_, sizes.buffers, sizes.buffers_first); error == -ENOMEM)
    return "no memory for io_uring's buffers (RLIMIT_MEMLOCK: see ulimit -l)";
  else if (error < 0)
    return too_old("provided buffer rings", "5.19");
  return check_multishot_recv();
}

std::string UringRing::check_operations() {
  io_uring_probe* probe = io_uring_get_probe_ring(&ring_);
  if (probe == nullptr) return too_old("the probe of its operations", "5.6");
  std::string why;
  for (int operation : {IORING_OP_ACCEPT, IORING_OP_CONNECT, IORING_OP_RECV, IORING_OP_SEND,
                        IORING_OP_SENDMSG, IORING_OP_READ, IORING_OP_WRITE, IORING_OP_POLL_ADD,
                        IORING_OP_CLOSE, IORING_OP_ASYNC_CANCEL})
    if (!io_uring_opcode_supported(probe, operation))
      why = too_old(("operation " + std::to_string(operation)).c_str(), "5.6");
  io_uring_free_probe(probe);
  return why;
}

/// Receives one byte and the end of the stream through the buffer ring. Multishot accept and
/// IORING_RECVSEND_POLL_FIRST are of 5.19, and so are there when multishot recv (6.0) is.
std::string UringRing::check_multishot_recv() {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return std::string("socketpair(2) failed: ") + std::strerror(errno);
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  io_uring_prep_recv_multishot(sqe, pair[0], nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = UringBuffers::kGroup;
  io_uring_submit(&ring_);
  const bool sent = ::write(pair[1], "?", 1) == 1;
  ::close(pair[1]);

  bool received = false;
  for (bool more = true; more;) {
    io_uring_cqe* cqe = nullptr;
    __kernel_timespec second{.tv_sec = 1, .tv_nsec = 0};
    if (io_uring_wait_cqe_timeout(&ring_, &cqe, &second) != 0) break;
    more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
      received |= more && cqe->res == 1;
      buffers_.recycle(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    }
    io_uring_cqe_seen(&ring_, cqe);
  }
  ::close(pair[0]);
  return sent && received ? "" : too_old("multishot recv", "6.0");
}

}  // namespace greenwsgi
