#include "identity/keys.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace pelton::identity {
namespace {

std::unique_ptr<KeyRing> Ring() {
  auto ring = KeyRing::Make({{"acme", Role::kUser, codec::Sha256("acme-key-1")},
                             {"ops", Role::kOperator, codec::Sha256("ops-key-22")}},
                            KeylessMode::kLoopbackOperator);
  return *std::move(ring);
}

Credentials Bearer(std::string_view value) {
  return {.authorization = value, .x_api_key = {}, .presented = 1, .peer_is_loopback = true};
}

TEST(Keys, BearerAndXApiKeyNameTheTenantAndRole) {
  const auto ring = Ring();
  const auto caller = ring->Authenticate(Bearer("Bearer acme-key-1"));
  ASSERT_TRUE(caller.ok());
  EXPECT_EQ(caller->tenant, "acme");
  EXPECT_EQ(caller->role, Role::kUser);
  const auto other = ring->Authenticate({.authorization = {}, .x_api_key = "ops-key-22",
                                         .presented = 1, .peer_is_loopback = false});
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->tenant, "ops");
  EXPECT_EQ(other->role, Role::kOperator);
  EXPECT_TRUE(ring->Authenticate(Bearer("bearer  acme-key-1")).ok());  // scheme without case
}

TEST(Keys, TheWeightOfATenantComesWithItsKeyAndIsOne) {
  const auto make = [](std::vector<KeyRecord> records) {
    return KeyRing::Make(std::move(records), KeylessMode::kLoopbackOperator);
  };
  const KeyRecord heavy{"acme", Role::kUser, codec::Sha256("acme-key-1"), 4};
  const KeyRecord light{"acme", Role::kUser, codec::Sha256("acme-key-2"), 1};
  const auto ring = make({heavy});
  ASSERT_TRUE(ring.ok());
  EXPECT_EQ((*ring)->Authenticate(Bearer("Bearer acme-key-1"))->weight, 4);
  EXPECT_FALSE((*ring)->has_several_tenants());
  EXPECT_FALSE(make({heavy, light}).ok());
  for (const double weight : {0., -1., kWeightMin / 2, kWeightMax * 2, std::nan("")}) {
    EXPECT_FALSE(make({{"a", Role::kUser, codec::Sha256("acme-key-1"), weight}}).ok()) << weight;
  }
  for (const double weight : {kWeightMin, kWeightMax}) {
    EXPECT_TRUE(make({{"a", Role::kUser, codec::Sha256("acme-key-1"), weight}}).ok()) << weight;
  }
  EXPECT_TRUE((*make({heavy, {"b", Role::kUser, codec::Sha256("acme-key-2")}}))
                  ->has_several_tenants());
}

// Row E 31/33/34: nothing but a whole, right key gets in, and no answer repeats what was sent.
TEST(Keys, WrongCredentialsAreRefusedWithoutEcho) {
  const auto ring = Ring();
  const std::string long_key(kKeyBytesMax + 1, 'k');
  for (const std::string& bad :
       {std::string("Bearer "), std::string("Bearer"), std::string(""), std::string("Basic YTpi"),
        std::string("Bearer acme-key-"), std::string("Bearer acme-key-11"),
        std::string("Bearer acme-key-1 x"), std::string("acme-key-1"),
        std::string("Bearer ' OR 1=1 --"), std::string("Bearer ACME-KEY-1"),
        "Bearer " + long_key, std::string("Bearer acme-key-1,ops-key-22")}) {
    const auto caller = ring->Authenticate(Bearer(bad));
    ASSERT_FALSE(caller.ok()) << bad;
    EXPECT_EQ(caller.status().code(), StatusCode::kUnauthenticated);
    EXPECT_EQ(caller.status().message().find("acme-key"), std::string::npos);
  }
  EXPECT_FALSE(ring->Authenticate({}).ok());
}

TEST(Keys, TwoCredentialsAreRefusedEvenWhenOneIsRight) {
  const auto ring = Ring();
  EXPECT_FALSE(ring->Authenticate({.authorization = "Bearer acme-key-1", .x_api_key = "ops-key-22",
                                   .presented = 2, .peer_is_loopback = true}).ok());
}

TEST(Keys, ADigestIsNoKey) {
  const auto ring = Ring();
  EXPECT_FALSE(ring->Authenticate(
      Bearer("Bearer " + codec::EncodeHex(codec::Sha256("acme-key-1")))).ok());
}

TEST(Keys, WithoutKeysLoopbackIsOperatorAndOthersAreUsers) {
  auto loopback = KeyRing::Make({}, KeylessMode::kLoopbackOperator);
  EXPECT_EQ((*loopback)->Authenticate({.authorization = {}, .x_api_key = {}, .presented = 0,
                                       .peer_is_loopback = true})->role, Role::kOperator);
  EXPECT_EQ((*loopback)->Authenticate({})->role, Role::kUser);
  auto open = KeyRing::Make({}, KeylessMode::kEveryoneUser);
  EXPECT_EQ((*open)->Authenticate({.authorization = {}, .x_api_key = {}, .presented = 0,
                                   .peer_is_loopback = true})->role, Role::kUser);
}

TEST(Keys, TheSameKeyTwiceAndBadTenantsAreRefused) {
  const KeyRecord record{"a", Role::kUser, codec::Sha256("abcdefgh")};
  EXPECT_FALSE(KeyRing::Make({record, record}, KeylessMode::kEveryoneUser).ok());
  EXPECT_FALSE(KeyRing::Make({{"", Role::kUser, {}}}, KeylessMode::kEveryoneUser).ok());
  EXPECT_TRUE(KeyRing::Make({{std::string(64, 't'), Role::kUser, {}}},
                            KeylessMode::kEveryoneUser).ok());
  EXPECT_FALSE(KeyRing::Make({{std::string(65, 't'), Role::kUser, {}}},
                             KeylessMode::kEveryoneUser).ok());
}

class KeyFile : public ::testing::Test {
 protected:
  std::string Write(const std::string& text, mode_t mode) {
    const std::string path = ::testing::TempDir() + "pelton_keys_" +
        ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
    return path;
  }
};

TEST_F(KeyFile, OneKeyALineIsDefaultOperator) {
  const auto records = ReadKeyFile(Write("# mine\n\nfirst-key\r\nsecond-key", 0600));
  ASSERT_TRUE(records.ok()) << records.status().message();
  ASSERT_EQ(records->size(), 2u);
  EXPECT_EQ((*records)[0].tenant, "default");
  EXPECT_EQ((*records)[0].role, Role::kOperator);
  EXPECT_EQ((*records)[0].sha256, codec::Sha256("first-key"));
  EXPECT_EQ((*records)[1].sha256, codec::Sha256("second-key"));
}

TEST_F(KeyFile, RefusedWhenOthersCanReadIt) {
  for (const mode_t mode : {0640, 0604, 0620, 0601, 0777}) {
    const auto records = ReadKeyFile(Write("first-key\n", mode));
    ASSERT_FALSE(records.ok()) << mode;
    EXPECT_EQ(records.status().code(), StatusCode::kPermissionDenied);
    EXPECT_NE(records.status().message().find("chmod 600"), std::string::npos);
  }
}

TEST_F(KeyFile, ShortSpacedOrMissingKeysAreRefused) {
  EXPECT_TRUE(ReadKeyFile(Write("12345678", 0600)).ok());
  EXPECT_FALSE(ReadKeyFile(Write("1234567", 0600)).ok());
  EXPECT_FALSE(ReadKeyFile(Write("two words", 0600)).ok());
  EXPECT_FALSE(ReadKeyFile(Write("# none\n", 0600)).ok());
  EXPECT_FALSE(ReadKeyFile("/nonexistent/keys").ok());
  EXPECT_FALSE(ReadKeyFile(::testing::TempDir()).ok());
}

}  // namespace
}  // namespace pelton::identity
