#include "api/status_map.h"

#include <gtest/gtest.h>

#include "codec/json.h"

namespace pelton::api {
namespace {

TEST(StatusMap, EveryCodeHasAnHttpStatusAndAType) {
  for (int code = 1; code <= 16; ++code) {
    const ErrorLook look = LookOf(Status(static_cast<StatusCode>(code), "m"));
    EXPECT_GE(look.http, 400) << code;
    EXPECT_LT(look.http, 600) << code;
    EXPECT_FALSE(look.type.empty()) << code;
  }
  EXPECT_EQ(LookOf(InvalidArgument("m")).http, 400);
  EXPECT_EQ(LookOf(Unauthenticated("m")).http, 401);
  EXPECT_EQ(LookOf(ResourceExhausted("m")).http, 429);
  EXPECT_EQ(LookOf(Unavailable("m")).http, 503);
  EXPECT_EQ(LookOf(OutOfRange("m")).code, "context_length_exceeded");
}

TEST(StatusMap, TheBodyHasOpenAisFourMembers) {
  const auto json =
      codec::ParseJson(ErrorBody(InvalidArgument("say \"x\"\n").WithParam("temperature")));
  ASSERT_TRUE(json.ok());
  const codec::Json& error = *json->Find("error");
  EXPECT_EQ(*error.Find("message")->AsString(), "say \"x\"\n");
  EXPECT_EQ(*error.Find("param")->AsString(), "temperature");
  EXPECT_EQ(*error.Find("type")->AsString(), "invalid_request_error");
  EXPECT_TRUE(codec::ParseJson(ErrorBody(Internal("m")))->Find("error")->Find("param")->is_null());
}

TEST(StatusMap, RetryAfterIsWholeSecondsRoundedUp) {
  const auto header = [](int64_t ms) {
    return std::string(
        *ErrorResponse(Unavailable("m").WithRetryAfter(ms)).headers.Find("retry-after"));
  };
  EXPECT_EQ(header(1), "1");
  EXPECT_EQ(header(1000), "1");
  EXPECT_EQ(header(1001), "2");
  EXPECT_FALSE(ErrorResponse(Unavailable("m")).headers.Find("retry-after").has_value());
  EXPECT_TRUE(ErrorResponse(Unauthenticated("m")).headers.Find("www-authenticate").has_value());
}

}  // namespace
}  // namespace pelton::api
