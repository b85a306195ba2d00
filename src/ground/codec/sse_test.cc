#include "codec/sse.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"

namespace pelton::codec {
namespace {

std::vector<SseEvent> ReadAll(std::string_view stream, size_t piece_bytes = SIZE_MAX) {
  SseParser parser;
  std::vector<SseEvent> events;
  while (!stream.empty()) {
    const std::string_view piece = stream.substr(0, piece_bytes);
    EXPECT_TRUE(parser.Push(piece, [&](const SseEvent& e) { events.push_back(e); }).ok());
    stream.remove_prefix(piece.size());
  }
  return events;
}

TEST(Sse, FramesOneLine) {
  std::string out;
  AppendSseData("{\"a\":1}", &out);
  AppendSseData("[DONE]", &out);
  EXPECT_EQ(out, "data: {\"a\":1}\n\ndata: [DONE]\n\n");
}

TEST(Sse, LineBreaksCannotBreakOutOfAnEvent) {
  std::string out;
  AppendSseEvent("chunk\nid: 7\r", "a\n\nevent: evil\r\ndata: b\rc\n", &out);
  AppendSseComment("x\n\ndata: evil", &out);
  const auto events = ReadAll(out);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].name, "chunkid: 7");
  EXPECT_EQ(events[0].data, "a\n\nevent: evil\ndata: b\nc\n");
  EXPECT_EQ(events[0].id, "");
}

TEST(Sse, EmptyDataIsWrittenAndIgnoredByReaders) {
  std::string out;
  AppendSseData("", &out);
  EXPECT_EQ(out, "data: \n\n");
  EXPECT_EQ(ReadAll(out).size(), 1u);  // one empty data line still is an event with empty data
  EXPECT_TRUE(ReadAll("event: x\n\n").empty());
}

TEST(SseParser, ReadsTheStandardsExamples) {
  const auto events = ReadAll(
      "\xEF\xBB\xBF: test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n"
      "data:  third event\n\ndata: cut");
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].data, "first event");
  EXPECT_EQ(events[0].id, "1");
  EXPECT_EQ(events[1].data, "second event");
  EXPECT_EQ(events[1].id, "");
  EXPECT_EQ(events[2].data, " third event");
  const auto stocks = ReadAll("event: add\rdata: YHOO\rdata: +2\rdata: 10\r\r");
  ASSERT_EQ(stocks.size(), 1u);
  EXPECT_EQ(stocks[0].name, "add");
  EXPECT_EQ(stocks[0].data, "YHOO\n+2\n10");
}

TEST(SseParser, AnyCutGivesTheSameEvents) {
  const std::string stream =
      ": c\r\n\r\nevent: a\r\ndata: 1\r\ndata: 2\r\n\r\ndata: \xE2\x82\xAC\n\nid: 4\rdata: x\r\r";
  const auto whole = ReadAll(stream);
  ASSERT_EQ(whole.size(), 3u);
  for (size_t piece : {1, 2, 3, 5, 7}) {
    const auto cut = ReadAll(stream, piece);
    ASSERT_EQ(cut.size(), whole.size()) << piece;
    for (size_t i = 0; i < whole.size(); ++i) EXPECT_EQ(cut[i].data, whole[i].data);
  }
}

TEST(SseParser, RetryTakesDigitsOnly) {
  SseParser parser;
  const auto none = [](const SseEvent&) {};
  ASSERT_TRUE(parser.Push("retry: -5\nretry: 1x\nretry: 99999999999999999999\n", none).ok());
  EXPECT_EQ(parser.retry_ms(), -1);
  ASSERT_TRUE(parser.Push("retry: 250\n: one\n", none).ok());
  EXPECT_EQ(parser.retry_ms(), 250);
  EXPECT_EQ(parser.comments(), 1u);
}

TEST(SseParser, BothSidesOfItsLimits) {
  const auto none = [](const SseEvent&) {};
  SseParser fits({.line_bytes_max = 10, .event_bytes_max = 10});
  EXPECT_TRUE(fits.Push("data: 1234\ndata: 123\n\n", none).ok());  // 5 + 4 = 9 with their LFs
  SseParser line({.line_bytes_max = 10, .event_bytes_max = 100});
  EXPECT_EQ(line.Push("data: 12345", none).code(), StatusCode::kResourceExhausted);
  EXPECT_FALSE(line.Push("\n", none).ok());
  SseParser event({.line_bytes_max = 100, .event_bytes_max = 10});
  EXPECT_TRUE(event.Push("data: 123456789\n\n", none).ok());
  EXPECT_EQ(event.Push("data: 12345\ndata: 1234\n", none).code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace pelton::codec
