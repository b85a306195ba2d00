// Acceptance by RFC 8259, case by case, after the manner of "Parsing JSON is a Minefield"
// (N. Seriot, 2016): what the grammar allows must be read, what it does not must be refused.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "codec/json.h"

namespace pelton::codec {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::string_view kMustAccept[] = {
    "[[]   ]"sv, "[\"\"]"sv, "[]"sv, "[\"a\"]"sv, "[false]"sv, "[null, 1, \"1\", {}]"sv, "[null]"sv,
    "[1\n]"sv, " [1]"sv, "[1,null,null,null,2]"sv, "[2] "sv, "[123e65]"sv, "[0e+1]"sv, "[0e1]"sv,
    "[ 4]"sv, "[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]"sv,
    "[20e1]"sv, "[-0]"sv, "[-123]"sv, "[-1]"sv, "[1E22]"sv, "[1E-2]"sv, "[1E+2]"sv, "[123e45]"sv,
    "[123.456e78]"sv, "[1e-2]"sv, "[1e+2]"sv, "[123]"sv, "[123.456789]"sv,
    "{\"asd\":\"sdf\", \"dfg\":\"fgh\"}"sv, "{\"asd\":\"sdf\"}"sv, "{}"sv, "{\"\":0}"sv,
    "{\"foo\\u0000bar\": 42}"sv, "{ \"min\": -1.0e+28, \"max\": 1.0e+28 }"sv,
    "{\"title\":\"\\u041f\\u043e\\u043b\"}"sv, "{\n\"a\": \"b\"\n}"sv,
    "[\"\\u0060\\u012a\\u12AB\"]"sv, "[\"\\uD801\\udc37\"]"sv, "[\"\\ud83d\\ude39\\ud83d\\udc8d\"]"sv,
    "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]"sv, "[\"\\\\u0000\"]"sv, "[\"\\\"\"]"sv, "[\"a/*b*/c/*d//e\"]"sv,
    "[\"\\\\a\"]"sv, "[\"\\\\n\"]"sv, "[\"\\u0012\"]"sv, "[\"\\uFFFF\"]"sv, "[ \"asd\"]"sv,
    "[\"\\uDBFF\\uDFFF\"]"sv, "[\"new\\u00A0line\"]"sv, "[\"\xF4\x8F\xBF\xBF\"]"sv,
    "[\"\xEF\xBF\xBF\"]"sv, "[\"\\u0000\"]"sv, "[\"\\u002c\"]"sv, "[\"\xCF\x80\"]"sv, "[\"asd \"]"sv,
    "\" \""sv, "[\"\\uD834\\uDd1e\"]"sv, "[\"\\u0821\"]"sv, "[\"\xE2\x80\xA8\"]"sv,
    "[\"\xE2\x80\xA9\"]"sv, "[\"\x7F\"]"sv, "[\"\\uA66D\"]"sv, "[\"\xE2\x8D\x82\xE3\x88\xB4\"]"sv,
    "false"sv, "42"sv, "-0.1"sv, "null"sv, "\"asd\""sv, "true"sv, "\"\""sv, "[\"a\"]\n"sv, "[true]"sv,
    " [] "sv, "\t[\r\n]"sv,
};

constexpr std::string_view kMustRefuse[] = {
    "[1 true]"sv, "[a\xE5]"sv, "[\"\": 1]"sv, "[\"\"],"sv, "[,1]"sv, "[1,,2]"sv, "[\"x\",,]"sv,
    "[\"x\"]]"sv, "[\"\",]"sv, "[\"x\""sv, "[x"sv, "[3[4]]"sv, "[\xFF]"sv, "[1:2]"sv, "[,]"sv, "[-]"sv,
    "[   , \"\"]"sv, "[\"a\",\n4\n,1,"sv, "[1,]"sv, "[\"\x0B" "a\"\\f]"sv, "[*]"sv, "[\"\""sv, "[1,"sv,
    "[1,\n1\n,1"sv, "[{}"sv, "[fals]"sv, "[nul]"sv, "[tru]"sv, "[++1234]"sv, "[+1]"sv, "[+Inf]"sv,
    "[-01]"sv, "[-1.0.]"sv, "[-2.]"sv, "[-NaN]"sv, "[.-1]"sv, "[.2e-3]"sv, "[0.1.2]"sv, "[0.3e+]"sv,
    "[0.3e]"sv, "[0.e1]"sv, "[0E+]"sv, "[0E]"sv, "[0e+]"sv, "[0e]"sv, "[1.0e+]"sv, "[1.0e-]"sv,
    "[1.0e]"sv, "[1 000.0]"sv, "[1eE2]"sv, "[2.e+3]"sv, "[2.e-3]"sv, "[2.e3]"sv, "[9.e+]"sv, "[Inf]"sv,
    "[NaN]"sv, "[\xEF\xBC\x91]"sv, "[1+2]"sv, "[0x1]"sv, "[0x42]"sv, "[Infinity]"sv, "[0e+-1]"sv,
    "[-123.123foo]"sv, "[123\xE5]"sv, "[1e1\xE5]"sv, "[0\xE5]\n"sv, "[-Infinity]"sv, "[-foo]"sv,
    "[- 1]"sv, "[-012]"sv, "[-.123]"sv, "[-1x]"sv, "[1ea]"sv, "[1e\xE5]"sv, "[1.]"sv, "[.123]"sv,
    "[1.2a-3]"sv, "[1.8011670033376514H-308]"sv, "[012]"sv, "[\"x\", truth]"sv, "{[: \"x\"}\n"sv,
    "{\"x\", null}"sv, "{\"x\"::\"b\"}"sv, "{\xF0\x9F\x87\xA8\xF0\x9F\x87\xAD}"sv, "{\"a\":\"a\" 123}"sv,
    "{key: 'value'}"sv, "{\"\xB9\":\"0\",}"sv, "{\"a\" b}"sv, "{:\"b\"}"sv, "{\"a\" \"b\"}"sv,
    "{\"a\":"sv, "{\"a\""sv, "{1:1}"sv, "{9999E9999:1}"sv, "{null:null,null:null}"sv,
    "{\"id\":0,,,,,}"sv, "{'a':0}"sv, "{\"id\":0,}"sv, "{\"a\":\"b\"}/**/"sv, "{\"a\":\"b\"}/**//"sv,
    "{\"a\":\"b\"}//"sv, "{\"a\":\"b\"}/"sv, "{\"a\":\"b\",,\"c\":\"d\"}"sv, "{a: \"b\"}"sv,
    "{\"a\":\"a"sv, "{ \"foo\" : \"bar\", \"a\" }"sv, "{\"a\":\"b\"}#"sv, " "sv, "[\"\\uD800\\\"]"sv,
    "[\"\\uD800\\u\"]"sv, "[\"\\uD800\\u1\"]"sv, "[\"\\uD800\\u1x\"]"sv, "[\xC3\xA9]"sv, "[\"\\x00\"]"sv,
    "[\"\\\\\\\"]"sv, "[\"\\\t\"]"sv, "[\"\\\xF0\x9F\x8C\x80\"]"sv, "[\"\\\"]"sv, "[\"\\u00A\"]"sv,
    "[\"\\uD834\\uDd\"]"sv, "[\"\\uD800\\uD800\\x\"]"sv, "[\"\\u\xE5\"]"sv, "[\"\\a\"]"sv,
    "[\"\\uqqqq\"]"sv, "[\"\\\xE5\"]"sv, "[\\u0020\"asd\"]"sv, "[\\n]"sv, "\""sv, "['single quote']"sv,
    "abc"sv, "[\"\\"sv, "[\"a\0a\"]"sv, "[\"new\nline\"]"sv, "[\"\t\"]"sv, "\"\\UA66D\""sv, "\"\"x"sv,
    "<.>"sv, "[<null>]"sv, "[1]x"sv, "[1]]"sv, "[\"asd]"sv, "a\xC3\xA5"sv, "[True]"sv, "1]"sv,
    "{\"x\": true,"sv, "[][]"sv, "]"sv, "\xEF\xBB{}"sv, "\xE5"sv, "["sv, ""sv, "[\0]"sv, "2@"sv, "{}}"sv,
    "{\"\":"sv, "{\"a\":/*comment*/\"b\"}"sv, "{\"a\": true} \"x\""sv, "['"sv, "[,"sv, "[{"sv, "[\"a"sv,
    "[\"a\""sv, "{"sv, "{]"sv, "{,"sv, "{["sv, "{\"a"sv, "{'a'"sv, "[\"\\{[\"\\{[\"\\{[\"\\{"sv,
    "\xC3\xA9"sv, "*"sv, "{\"a\":\"b\"}#{}"sv, "[\\u000A\"\"]"sv, "[1"sv, "[ false, nul"sv,
    "[ true, fals"sv, "[ false, tru"sv, "{\"asd\":\"asd\""sv, "\xE2\x81\xA0"sv, "\xEF\xBB\xBF"sv,
    "\x0C[]"sv, "[\xE2\x81\xA0]"sv, "[\x0C]"sv, "\0"sv, "[]\0"sv,
};

// Where the standard leaves a choice, ours is to refuse.
constexpr std::string_view kChosenToRefuse[] = {
    "[123.456e99999]"sv, "[-1e+9999]"sv, "[\"\\uDADA\"]"sv, "[\"\\uD888\\u1234\"]"sv,
    "[\"\\uD800\\uD800\\n\"]"sv, "[\"\\ud800abc\"]"sv, "[\"\\uDd1ea\"]"sv, "[\"\xFF\"]"sv,
    "[\"\xE9\"]"sv, "[\"\xED\xA0\x80\"]"sv, "[\"\xC0\xAF\"]"sv, "[\"\xF4\xBF\xBF\xBF\"]"sv,
    "[\"\x81\"]"sv, "[\"\xE6\x97\xA5\xD1\x88\xFA\"]"sv, "\xEF\xBB\xBF{}"sv, "{\"a\":\"b\",\"a\":\"c\"}"sv,
    "\xFF\xFE[\0\"\0\xE9\0\"\0]\0"sv,
};

TEST(JsonSuite, EveryValidTextIsRead) {
  for (std::string_view text : kMustAccept) {
    const Result<Json> json = ParseJson(text);
    EXPECT_TRUE(json.ok()) << testing::PrintToString(text) << ": " << json.status().message();
  }
}

TEST(JsonSuite, EveryInvalidTextIsRefused) {
  for (std::string_view text : kMustRefuse) {
    EXPECT_FALSE(ParseJson(text).ok()) << testing::PrintToString(text);
  }
  for (std::string_view text : kChosenToRefuse) {
    EXPECT_FALSE(ParseJson(text).ok()) << testing::PrintToString(text);
  }
}

TEST(JsonSuite, EveryCutOfAValidTextIsRefused) {
  const std::string text = R"({"a":[1,-2.5e3,true,null,"x\u00e9\n\ud83d\ude00"],"b":{"c":"é"}})";
  ASSERT_TRUE(ParseJson(text).ok());
  for (size_t n = 0; n < text.size(); ++n) EXPECT_FALSE(ParseJson(text.substr(0, n)).ok()) << n;
}

}  // namespace
}  // namespace pelton::codec
