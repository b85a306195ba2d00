#include "backend/native/fingerprint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "format/gguf_writer.h"

namespace pelton::backend {
namespace {

namespace fs = std::filesystem;

TEST(Fingerprint, ChangesWithContentAndTimeAndStaysWithACopy) {
  std::string pattern = (fs::temp_directory_path() / "pelton-fingerprint-XXXXXX").string();
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  const fs::path folder = pattern;
  const auto write = [&](const char* name, float last) {
    format::GgufWriter writer;
    writer.Set("general.architecture", std::string_view("llama"));
    std::vector<float> values(100'000, 1.f);
    values.back() = last;
    const auto bytes = std::as_bytes(std::span(values));
    EXPECT_TRUE(writer.AddTensor("x", tensor::DType::kF32, {static_cast<int64_t>(values.size())},
                                 {bytes.begin(), bytes.end()})
                    .ok());
    EXPECT_TRUE(writer.Write((folder / name).string()).ok());
  };
  const auto print = [&](const char* name) {
    auto file = format::ModelFile::Open((folder / name).string());
    EXPECT_TRUE(file.ok()) << file.status().ToString();
    return file.ok() ? FingerprintOf(**file) : "";
  };
  write("a", 1.f);
  const std::string first = print("a");
  EXPECT_EQ(first.size(), 64u);
  EXPECT_EQ(first, print("a"));
  fs::copy_file(folder / "a", folder / "copy");
  fs::last_write_time(folder / "copy", fs::last_write_time(folder / "a"));
  EXPECT_EQ(first, print("copy"));
  write("b", 2.f);
  fs::last_write_time(folder / "b", fs::last_write_time(folder / "a"));
  EXPECT_NE(first, print("b"));
  fs::last_write_time(folder / "a", fs::last_write_time(folder / "a") + std::chrono::seconds(1));
  EXPECT_NE(first, print("a"));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace pelton::backend
