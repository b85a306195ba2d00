// For work that nobody waits for.
#pragma once

namespace pelton {

// Puts the calling thread behind all others of the machine, for CPU and disk.
void LowerCurrentThread();

}  // namespace pelton
