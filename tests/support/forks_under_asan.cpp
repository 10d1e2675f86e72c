// Preloaded by ./dev test asan, for what sanitizers and forks do to each other.
//
// LeakSanitizer does not look at the child, where what the greens of the parent had is left behind
// on purpose. And nobody takes the locks of ASan's allocator for a fork: one that another thread
// holds is held in the child for ever. So a fork waits until the other threads sleep.
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

const pid_t began_as = ::getpid();

// A thread of this process, by its state in proc_pid_stat(5).
bool runs(long thread) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%ld/stat", thread);
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char text[512];
  const ssize_t size = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  text[size > 0 ? size : 0] = '\0';
  const char* name_end = std::strrchr(text, ')');
  return name_end != nullptr && (name_end[2] == 'R' || name_end[2] == 'D');
}

bool others_run() {
  DIR* threads = ::opendir("/proc/self/task");
  if (threads == nullptr) return false;
  bool found = false;
  while (const dirent* entry = ::readdir(threads)) {
    const long thread = std::atol(entry->d_name);  // 0: not one.
    if (thread != 0 && thread != ::gettid() && runs(thread)) found = true;
  }
  ::closedir(threads);
  return found;
}

// Some never sleep: a tenth of a second is enough.
void wait_for_others() {
  for (int tries = 0; tries < 500 && others_run(); ++tries) ::usleep(200);
}

const int registered = ::pthread_atfork(wait_for_others, nullptr, nullptr);

}  // namespace

extern "C" __attribute__((visibility("default"))) int __lsan_is_turned_off() {
  return ::getpid() != began_as;
}
