// hosts_file.hpp - which names libc answers from /etc/hosts alone, without asking anybody: only
// which, the answers are libc's own.
#pragma once

#include <string_view>

namespace greenwsgi::patch {

/// Does a look-up of `name` for addresses of `family` (AF_INET, AF_INET6, AF_UNSPEC) end in
/// /etc/hosts, by nsswitch.conf(5) and hosts(5)? Reads both files when they have changed; false
/// when in doubt. The GIL guards it. Does not switch, and blocks for two stat(2) at most
/// otherwise.
bool hosts_file_answers(std::string_view name, int family);

}  // namespace greenwsgi::patch
