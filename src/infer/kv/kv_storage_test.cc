#include "kv/kv_storage.h"

#include <gtest/gtest.h>

#include <limits>

namespace pelton::kv {
namespace {

TEST(KvStorage, LaysLayersOutOneAfterAnotherAndZeroed) {
  auto storage = KvStorage::Create(3, 5, 96);
  ASSERT_TRUE(storage.ok());
  EXPECT_EQ(storage->total_bytes(), 3u * 5 * 96);
  EXPECT_EQ(storage->Layer(1) - storage->Layer(0), 5 * 96);
  for (size_t i = 0; i < storage->total_bytes(); ++i) ASSERT_EQ(storage->Layer(0)[i], std::byte{0});
  storage->Layer(2)[5 * 96 - 1] = std::byte{1};  // the last byte is ours
}

TEST(KvStorage, RefusesSizesThatDoNotFit) {
  constexpr size_t kHuge = std::numeric_limits<size_t>::max() / 4;
  EXPECT_EQ(KvStorage::Create(2, 4, kHuge).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(KvStorage::Create(5, 1, kHuge).status().code(), StatusCode::kResourceExhausted);
  // Fits 64 bits, but no machine: the kernel refuses, and the message names the bytes.
  const Status status = KvStorage::Create(1, 1, size_t{1} << 60).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("1152921504606846976"), std::string::npos);
}

TEST(KvStorage, RefusesEmptyShapes) {
  EXPECT_EQ(KvStorage::Create(0, 1, 1).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(KvStorage::Create(1, 0, 1).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(KvStorage::Create(1, 1, 0).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace pelton::kv
