// idents.hpp - what get_ident() shows in a green: a number that looks like a pthread_t.
//
// Programs hand Thread.ident to C functions which take it for the address of a thread (trio names
// its threads so, by ctypes and pthread_setname_np): given a small number these end the process. So
// an ident is an address in a part of the address space that is set aside for this and holds zeros,
// never touched otherwise; what a pthread function finds there is a thread that the kernel does not
// know, and most say so. No ident comes twice.
#pragma once

#include <cstdint>

namespace greenwsgi::py {

/// Sets the addresses aside, once. Where that cannot be had (RLIMIT_AS, strict overcommit), idents
/// are small numbers.
void reserve_idents();
/// The ident of the green with this number.
unsigned long ident_of(std::uint64_t number);
/// The reverse. What is no ident comes back as it is.
std::uint64_t number_of(unsigned long ident);

}  // namespace greenwsgi::py
