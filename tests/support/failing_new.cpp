// Preloaded by tests/python/wsgi/test_no_memory.py: `new` of the whole process, which fails when
// the file that FAILING_NEW names says so. Whoever maps it, too, may change it at any time.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

struct Control {
  std::atomic<long> first;   // So many succeed,
  std::atomic<long> fails;   // then so many fail.
  std::atomic<long> failed;  // So many have.
};

Control* map_control() {
  const char* path = std::getenv("FAILING_NEW");
  const int fd = path != nullptr ? ::open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return nullptr;
  void* mapped = ::mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  return mapped != MAP_FAILED ? static_cast<Control*>(mapped) : nullptr;
}

bool must_fail() {
  static Control* const control = map_control();
  if (control == nullptr || control->fails.load() <= 0) return false;
  if (control->first.fetch_sub(1) > 0 || control->fails.fetch_sub(1) <= 0) return false;
  control->failed.fetch_add(1);
  return true;
}

}  // namespace

__attribute__((visibility("default"))) void* operator new(std::size_t bytes) {
  void* const memory = must_fail() ? nullptr : std::malloc(bytes != 0 ? bytes : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
