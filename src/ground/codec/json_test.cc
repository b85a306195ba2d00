#include "codec/json.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "codec/json_write.h"
#include "codec/utf8.h"

namespace pelton::codec {
namespace {

std::string ErrorOf(std::string_view text, const JsonLimits& limits = {}) {
  const Result<Json> json = ParseJson(text, limits);
  return json.ok() ? "accepted" : json.status().message();
}

TEST(Json, ReadsEveryKind) {
  const Json json = ParseJson(R"( {"n":null,"t":true,"i":-3,"u":18446744073709551615,"d":1.5,
      "s":"a\u00e9\ud83d\ude00\u0000","a":[1,[],{}]} )").value();
  EXPECT_TRUE(json.Find("n")->is_null());
  EXPECT_EQ(json.Find("t")->AsBool(), true);
  EXPECT_EQ(json.Find("i")->AsInt(), -3);
  EXPECT_EQ(json.Find("u")->AsUint(), UINT64_MAX);
  EXPECT_EQ(json.Find("u")->AsInt(), std::nullopt);
  EXPECT_EQ(json.Find("d")->AsDouble(), 1.5);
  EXPECT_EQ(*json.Find("s")->AsString(), std::string("aé😀\0", 8));
  EXPECT_EQ(json.Find("a")->AsArray()->size(), 3u);
  EXPECT_EQ(json.Find("missing"), nullptr);
  EXPECT_EQ(json.Find("a")->Find("x"), nullptr);
}

TEST(Json, KeepsTheOrderOfMembers) {
  EXPECT_EQ(WriteJson(ParseJson(R"({"z":1,"a":2,"m":[3]})").value()), R"({"z":1,"a":2,"m":[3]})");
}

TEST(Json, WholeDoublesCountAsIntegersAndOthersDoNot) {
  EXPECT_EQ(ParseJson("16.0").value().AsInt(), 16);
  EXPECT_EQ(ParseJson("1e3").value().AsInt(), 1000);
  EXPECT_EQ(ParseJson("16.5").value().AsInt(), std::nullopt);
  EXPECT_EQ(ParseJson("1e300").value().AsInt(), std::nullopt);
  EXPECT_EQ(ParseJson("-1").value().AsUint(), std::nullopt);
  EXPECT_EQ(ParseJson("9223372036854775807").value().AsInt(), INT64_MAX);
  EXPECT_EQ(ParseJson("-9223372036854775808").value().AsInt(), INT64_MIN);
  EXPECT_EQ(ParseJson("18446744073709551616").value().kind(), Json::Kind::kDouble);
}

TEST(Json, NumbersOutOfRangeAreRefused) {
  EXPECT_EQ(ErrorOf("[1e999]"), "line 1, column 7 (byte 6): number out of range");
  for (const char* bad :
       {"-1e999", "1e309", "1.8e308", "1e99999999999999999999", "123123e100000"}) {
    EXPECT_NE(ErrorOf(bad).find("number out of range"), std::string::npos) << bad << ErrorOf(bad);
  }
  EXPECT_NE(ErrorOf(std::string(400, '9')).find("number out of range"), std::string::npos);
  EXPECT_EQ(ParseJson("1.7976931348623157e308").value().AsDouble(),
            std::numeric_limits<double>::max());
  EXPECT_EQ(ParseJson("1e-999").value().AsDouble(), 0.0);
  EXPECT_EQ(ParseJson("5e-324").value().AsDouble(), std::numeric_limits<double>::denorm_min());
}

TEST(Json,
     NumbersRoundCorrectly) {  // cases on which a fast path that multiplies powers of ten errs
  EXPECT_EQ(ParseJson("0.1").value().AsDouble(), 0.1);
  EXPECT_EQ(ParseJson("9007199254740993.0").value().AsDouble(), 9007199254740992.0);
  EXPECT_EQ(ParseJson("1.00000000000000011102230246251565").value().AsDouble(), 1.0);
  EXPECT_EQ(ParseJson("2.2250738585072011e-308").value().AsDouble(), 2.2250738585072011e-308);
}

TEST(Json, DuplicateKeysAreNamed) {
  EXPECT_EQ(ErrorOf(R"({"model":1,"model":2})"),
            "line 1, column 21 (byte 20): the object that ends here has \"model\" twice");
  EXPECT_NE(ErrorOf(R"({"a":{"\u0062":1,"b":2}})").find("\"b\" twice"), std::string::npos);
  std::string many = "{";
  for (int i = 0; i < 500; ++i) many += "\"k" + std::to_string(i) + "\":1,";
  EXPECT_EQ(ErrorOf(many + "\"last\":1}"), "accepted");
  EXPECT_NE(ErrorOf(many + "\"k77\":1}").find("\"k77\" twice"), std::string::npos);
  EXPECT_EQ(ErrorOf(R"([{"a":1},{"a":1}])"), "accepted");
}

TEST(Json, ErrorsSayWhereAndWhat) {
  EXPECT_EQ(ErrorOf("{\n  \"a\": 1,\n  \"b\" 2\n}"),
            "line 3, column 7 (byte 18): '2' cannot stand here");
  EXPECT_EQ(ErrorOf(""), "line 1, column 1 (byte 0): the text is empty");
  EXPECT_EQ(ErrorOf("{\"a\":"), "line 1, column 6 (byte 5): the text ends before the value does");
  EXPECT_EQ(ErrorOf("[1] x"), "line 1, column 5 (byte 4): something follows the value");
  EXPECT_NE(ErrorOf("\"\\ud800\"").find("surrogate"), std::string::npos);
  EXPECT_NE(ErrorOf("\"\\udc00\"").find("surrogate"), std::string::npos);
  EXPECT_NE(ErrorOf("\"\\ud800\\u0041\"").find("surrogate"), std::string::npos);
  EXPECT_NE(ErrorOf("\"a\nb\"").find("a line break cannot stand here"), std::string::npos);
  EXPECT_NE(ErrorOf("[1,]").find("byte 3"), std::string::npos);
}

TEST(Json, BothSidesOfTheDepthLimit) {
  const auto nested = [](int n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_EQ(ErrorOf(nested(64)), "accepted");
  EXPECT_NE(ErrorOf(nested(65)).find("nested more than 64 deep"), std::string::npos);
  EXPECT_NE(ErrorOf(nested(10'000)).find("nested more than 64 deep"), std::string::npos);
  EXPECT_NE(ErrorOf(std::string(1'000'000, '[')).find("nested more than 64 deep"),
            std::string::npos);
  EXPECT_EQ(ErrorOf(nested(3), {.depth_max = 3}), "accepted");
  EXPECT_NE(ErrorOf(nested(4), {.depth_max = 3}).find("nested"), std::string::npos);
}

TEST(Json, BothSidesOfTheSizeAndValueLimits) {
  EXPECT_EQ(ErrorOf("[1]", {.bytes_max = 3}), "accepted");
  EXPECT_EQ(ErrorOf("[1 ]", {.bytes_max = 3}), "4 bytes of JSON; at most 3 are read");
  EXPECT_EQ(ErrorOf("[1,2]", {.values_max = 3}), "accepted");
  EXPECT_NE(ErrorOf("[1,2,3]", {.values_max = 3}).find("more than 3 values"), std::string::npos);
  EXPECT_EQ(ErrorOf(R"({"a":""})", {.values_max = 3}), "accepted");
  EXPECT_NE(ErrorOf(R"({"a":[]})", {.values_max = 2}).find("more than 2 values"),
            std::string::npos);
}

TEST(Json, CopiesAreDeepAndPartsMayReplaceTheWhole) {
  Json a = ParseJson(R"({"x":[1,{"y":"z"}]})").value();
  Json b = a;
  b.Set("x", 5);
  EXPECT_EQ(WriteJson(a), R"({"x":[1,{"y":"z"}]})");
  a = std::move((*a.AsObject())[0].second);
  EXPECT_EQ(WriteJson(a), R"([1,{"y":"z"}])");
  Json c = a;
  c = *&c;
  EXPECT_EQ(c, a);
}

TEST(Json, EqualityIgnoresTheOrderOfMembers) {
  EXPECT_EQ(ParseJson(R"({"a":1,"b":2})").value(), ParseJson(R"({"b":2,"a":1})").value());
  EXPECT_NE(ParseJson(R"({"a":1})").value(), ParseJson(R"({"a":1.5})").value());
  EXPECT_NE(ParseJson("[1,2]").value(), ParseJson("[2,1]").value());
}

TEST(JsonWrite, EscapesAndRepairs) {
  EXPECT_EQ(WriteJson(Json("a\"\\\n\r\t\b\x1f/é")), R"("a\"\\\n\r\t\u0008\u001f/é")");
  EXPECT_EQ(WriteJson(Json(std::string("\0", 1))), R"("\u0000")");
  EXPECT_EQ(WriteJson(Json("x\xFFy")), "\"x\uFFFDy\"");
}

TEST(JsonWrite, NumbersReadBackEqual) {
  EXPECT_EQ(WriteJson(Json(0.1)), "0.1");
  EXPECT_EQ(WriteJson(Json(1.0)), "1.0");
  EXPECT_EQ(WriteJson(Json(UINT64_MAX)), "18446744073709551615");
  EXPECT_EQ(WriteJson(Json(std::nan(""))), "null");
  EXPECT_EQ(WriteJson(Json(INFINITY)), "null");
  std::string out;
  JsonWriter(&out).Array().Value(0.1f).Value(7).Value(true).Null().End();
  EXPECT_EQ(out, "[0.1,7,true,null]");
  Random random(3);
  for (int i = 0; i < 20'000; ++i) {
    const double d = std::bit_cast<double>(random.Next());
    if (!std::isfinite(d)) continue;
    const Json back = ParseJson(WriteJson(Json(d))).value();
    ASSERT_EQ(std::bit_cast<uint64_t>(back.AsDouble().value()), std::bit_cast<uint64_t>(d)) << d;
  }
}

TEST(JsonWrite, WriterPlacesCommasAndColons) {
  std::string out;
  JsonWriter w(&out);
  w.Object().Key("id").Value("x").Key("choices").Array();
  w.Object().Key("i").Value(0).End().Object().End().Value(Json::EmptyArray());
  w.End().Key("raw").Raw("{}").End();
  EXPECT_EQ(out, R"({"id":"x","choices":[{"i":0},{},[]],"raw":{}})");
  EXPECT_TRUE(ParseJson(out).ok());
}

}  // namespace
}  // namespace pelton::codec
