// Which weights a file holds, cheaply: for keys of what was computed from them.
#pragma once

#include <string>

#include "format/model_file.h"

namespace pelton::backend {

// Of all shards: length, time of the last change, and 4 KiB at 256 places each. Another file, or the
// same one changed in place, has another fingerprint; a copy that keeps the time has the same.
std::string FingerprintOf(const format::ModelFile& file);

}  // namespace pelton::backend
