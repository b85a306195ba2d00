// The version of what PackPanels writes and PackedMatrix says.
#pragma once

#include <cstdint>

namespace pelton::kernels {

// Files of packed weights carry it: raise it with any change to where things lie in packed weights or
// how their scales are chosen.
inline constexpr uint32_t kPackedLayoutVersion = 3;

}  // namespace pelton::kernels
