// Named threads. Every thread of the process is made here and listed in docs/threads.md.
#pragma once

#include <functional>
#include <string>
#include <thread>

namespace pelton {

// Starts `body` on a thread called `name` (15 bytes are shown by the kernel). All signals are
// blocked on it: only the main thread takes signals. Joins on destruction.
std::jthread StartThread(const std::string& name, std::function<void(std::stop_token)> body);

// Ties the calling thread to one CPU; false when the kernel refuses (never fatal).
bool PinCurrentThread(int cpu);

}  // namespace pelton
