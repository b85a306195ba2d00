#include <gtest/gtest.h>

#include "format/gguf.h"
#include "format/model_file.h"

namespace pelton::format {
namespace {

TEST(ModelFile, SaysWhatAMissingFileIs) {
  EXPECT_EQ(ModelFile::Open("/nowhere/model.gguf").status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace pelton::format
