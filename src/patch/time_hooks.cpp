// time.sleep.
#include "src/patch/hooks.hpp"
#include "src/patch/waiting.hpp"

namespace greenwsgi::patch {

namespace {

PyObject* hook_sleep(Call& call) {
  Duration length{};
  if (!py::can_park() || !plain_seconds(call.item(0), &length)) return call.pass_on();
  if (Py_Version >= 0x030D0000 && PySys_Audit("time.sleep", "O", call.item(0)) < 0) return nullptr;
  if (!py::sleep_for(length)) return nullptr;
  Py_RETURN_NONE;
}

constexpr Target targets[] = {target<hook_sleep>("time", nullptr, "sleep")};

}  // namespace

const Group sleep_group = {"sleep", targets, nullptr};

}  // namespace greenwsgi::patch
