// tuple_hash.hpp - hash() of tuples nested as deeply as memory allows.
//
// CPython hashes the items of a tuple by recursion that nothing counts: 20,000 levels take 3 MiB of
// C stack, which a thread has and a green has not. On the last quarter of a green's stack the tuple
// is hashed level by level from the inside instead, with the same result.
#pragma once

namespace greenwsgi::py {

/// For the process, at the first call: takes the place of CPython's function, which it calls.
void install_tuple_hash();

}  // namespace greenwsgi::py
