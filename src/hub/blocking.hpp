// blocking.hpp - what a thread of the pool does: an operation as the plain, waiting system call.
#pragma once

#include "greenwsgi/hub/op.hpp"

namespace greenwsgi {

/// Regular files, block devices and directories: never waited for by poll(2), yet slow.
bool is_disk_file(int fd);

/// Sets op.result. For offload, and for read and write on what cannot be waited for otherwise.
void run_blocking(Op& op) noexcept;

}  // namespace greenwsgi
