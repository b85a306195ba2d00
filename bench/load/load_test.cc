// The pure parts: options, target, bodies, responses, events, arithmetic.
#include <gtest/gtest.h>

#include "codec/json.h"
#include "load/delta.h"
#include "load/plan.h"
#include "load/response_reader.h"
#include "load/summary.h"

namespace pelton::load {
namespace {

Result<Options> Parse(std::vector<const char*> words) { return ParseArguments(words); }

StatusCode CodeOfUrl(std::string url, bool allow_remote = false) {
  Options options;
  options.url = std::move(url);
  options.allow_remote = allow_remote;
  return ResolveTarget(options).status().code();
}

TEST(Arguments, LimitsHoldOnBothSides) {
  EXPECT_EQ(Parse({"--streams", "1024"})->streams, 1024);
  EXPECT_FALSE(Parse({"--streams", "1025"}).ok());
  EXPECT_FALSE(Parse({"--streams", "0"}).ok());
  EXPECT_EQ(Parse({"--prompt-tokens", "1048576"})->prompt_tokens, 1 << 20);
  EXPECT_FALSE(Parse({"--prompt-tokens", "1048577"}).ok());
  EXPECT_FALSE(Parse({"--streams", "8x"}).ok());
  EXPECT_FALSE(Parse({"--streams"}).ok());
  EXPECT_FALSE(Parse({"--no-such", "1"}).ok());
  EXPECT_FALSE(Parse({"--api", "embeddings"}).ok());
  EXPECT_FALSE(Parse({"--prompt-tokens", "8", "--prompt-shared", "9"}).ok());
  const auto range = Parse({"--token-range", "1000-1007"});
  ASSERT_TRUE(range.ok());
  EXPECT_EQ(range->token_low, 1000);
  EXPECT_EQ(range->token_high, 1007);
  EXPECT_FALSE(Parse({"--token-range", "7-6"}).ok());
}

TEST(Target, OnlyThisMachineUnlessAllowed) {
  EXPECT_EQ(CodeOfUrl("http://127.0.0.1:8080"), StatusCode::kOk);
  EXPECT_EQ(CodeOfUrl("http://127.255.0.9"), StatusCode::kOk);
  EXPECT_EQ(CodeOfUrl("http://[::1]:8080/base/"), StatusCode::kOk);
  EXPECT_EQ(CodeOfUrl("http://localhost:1"), StatusCode::kOk);
  for (const char* url : {"http://128.0.0.1", "http://10.0.0.1:8080", "http://[::2]",
                          "http://0.0.0.0", "http://example.org", "http://localhost.example.org",
                          "http://127.0.0.1.example.org", "http://2130706433x"}) {
    EXPECT_EQ(CodeOfUrl(url), StatusCode::kPermissionDenied) << url;
  }
  EXPECT_EQ(CodeOfUrl("http://10.0.0.1:8080", true), StatusCode::kOk);
  for (const char* url : {"https://127.0.0.1", "127.0.0.1:80", "http://", "http://127.0.0.1:0",
                          "http://127.0.0.1:65536", "http://127.0.0.1:x", "http://a@127.0.0.1",
                          "http://127.0.0.1\r\nX: y"}) {
    EXPECT_EQ(CodeOfUrl(url), StatusCode::kInvalidArgument) << url;
  }
}

TEST(Body, SameSeedSameBytesAndExactlyTheTokensAskedFor) {
  Options options;
  options.prompt_tokens = 12;
  options.prompt_shared = 4;
  options.token_low = 1000;
  options.token_high = 1003;
  options.extra = R"({"cache_prompt": false, "n_probs": 1})";
  const auto plan = Plan::Make(options);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->Body(5), plan->Body(5));
  EXPECT_NE(plan->Body(5), plan->Body(6));
  const auto a = codec::ParseJson(plan->Body(5));
  const auto b = codec::ParseJson(plan->Body(6));
  ASSERT_TRUE(a.ok() && b.ok());
  const auto& ids = *a->Find("prompt")->AsArray();
  const auto& others = *b->Find("prompt")->AsArray();
  ASSERT_EQ(ids.size(), 12u);
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_TRUE(*ids[i].AsInt() >= 1000 && *ids[i].AsInt() <= 1003);
    if (i < 4) {
      EXPECT_EQ(ids[i], others[i]);
    }
  }
  EXPECT_EQ(a->Find("cache_prompt")->AsBool(), false);
  EXPECT_EQ(a->Find("ignore_eos")->AsBool(), true);
  EXPECT_EQ(a->Find("max_tokens")->AsInt(), 64);
}

TEST(Body, APeriodMakesTheTextRepeat) {
  Options options;
  options.prompt_tokens = 10;
  options.prompt_period = 3;
  const auto body = codec::ParseJson(Plan::Make(options)->Body(0));
  const auto& ids = *body->Find("prompt")->AsArray();
  for (size_t i = 3; i < ids.size(); ++i) EXPECT_EQ(ids[i], ids[i - 3]);
}

TEST(Body, ExtraMustBeAnObject) {
  Options options;
  options.extra = "[1]";
  EXPECT_FALSE(Plan::Make(options).ok());
  options.extra = R"({"a": })";
  EXPECT_FALSE(Plan::Make(options).ok());
}

struct Read {
  Status status;
  std::string body;
  int code = 0;
  bool done = false;
  Status end;
};
Read ReadInPieces(std::string_view bytes, size_t piece) {
  ResponseReader reader;
  Read read;
  while (!bytes.empty() && read.status.ok()) {
    const std::string_view part = bytes.substr(0, piece);
    bytes.remove_prefix(part.size());
    read.status = reader.Push(part, &read.body);
  }
  read.code = reader.status();
  read.done = reader.done();
  read.end = reader.End();
  return read;
}

TEST(Response, AnyCutGivesTheSame) {
  const std::string chunked =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nX: y\r\n\r\n"
      "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: z\r\n\r\n";
  const std::string sized = "HTTP/1.1 404 Not Found\r\ncontent-length: 11\r\n\r\nhello world";
  for (const size_t piece : {1u, 2u, 7u, 1000u}) {
    for (const auto& [text, code] : {std::pair(chunked, 200), std::pair(sized, 404)}) {
      const Read read = ReadInPieces(text, piece);
      EXPECT_TRUE(read.status.ok() && read.done && read.end.ok()) << read.status.message();
      EXPECT_EQ(read.body, "hello world");
      EXPECT_EQ(read.code, code);
    }
  }
  const Read open = ReadInPieces("HTTP/1.0 200 OK\r\n\r\nhello world", 3);
  EXPECT_TRUE(open.end.ok());
  EXPECT_EQ(open.body, "hello world");
}

TEST(Response, WhatIsCutShortIsNotWhole) {
  for (const char* text :
       {"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"}) {
    EXPECT_EQ(ReadInPieces(text, 4).end.code(), StatusCode::kUnavailable) << text;
  }
}

TEST(Response, WhatIsNoResponseIsRefused) {
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& text :
       {std::string("SSH-2.0-OpenSSH\r\n\r\n"), std::string("HTTP/1.1 99 X\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nnothing\r\n\r\n"), chunked + "x\r\n",
        chunked + "1\r\nab\r\n", chunked + "1\nab", chunked + "11111111111111111\r\n"}) {
    EXPECT_FALSE(ReadInPieces(text, 5).status.ok()) << text;
  }
}

TEST(Response, BoundsHoldOnBothSides) {
  const std::string begin = "HTTP/1.1 200 OK\r\nX: ";
  const std::string fits = begin + std::string(kHeadBytesMax - begin.size() - 4, 'x') + "\r\n\r\n";
  EXPECT_TRUE(ReadInPieces(fits, 1000).status.ok());
  const std::string more = begin + std::string(kHeadBytesMax - begin.size() - 3, 'x') + "\r\n\r\n";
  EXPECT_FALSE(ReadInPieces(more, 1000).status.ok());
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string line =
      head + "1;" + std::string(kChunkLineBytesMax - 4, 'e') + "\r\na\r\n0\r\n\r\n";
  EXPECT_TRUE(ReadInPieces(line, 100).done);
  EXPECT_FALSE(ReadInPieces(head + "1;" + std::string(kChunkLineBytesMax, 'e'), 100).status.ok());
}

TEST(Events, TextUsageEndAndError) {
  EXPECT_TRUE(ReadDelta("[DONE]")->done);
  EXPECT_TRUE(ReadDelta(R"({"choices":[{"text":"a"}]})")->text);
  EXPECT_FALSE(ReadDelta(R"({"choices":[{"text":""}]})")->text);
  EXPECT_TRUE(ReadDelta(R"({"choices":[{"delta":{"content":"a"}}]})")->text);
  EXPECT_TRUE(ReadDelta(R"({"choices":[{"delta":{"reasoning_content":"a"}}]})")->text);
  EXPECT_FALSE(ReadDelta(R"({"choices":[{"delta":{"role":"assistant","content":""}}]})")->text);
  EXPECT_FALSE(ReadDelta(R"({"choices":[{"delta":{"content":null}}],"usage":null})")->text);
  const auto usage =
      ReadDelta(R"({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":7}})");
  EXPECT_EQ(usage->prompt_tokens, 3);
  EXPECT_EQ(usage->completion_tokens, 7);
  const auto error = ReadDelta(R"({"error":{"message":"out\nof memory"}})");
  EXPECT_EQ(error.status().message(), "out of memory");
  EXPECT_FALSE(ReadDelta(R"({"error":""})").status().message().empty());  // found by fuzzing
  for (const char* bad : {"", "{", "[]", "{}", R"({"choices":3})"})
    EXPECT_FALSE(ReadDelta(bad).ok()) << bad;
  EXPECT_EQ(ErrorText(R"({"error":{"message":"m"}})"), "m");
  EXPECT_EQ(ErrorText("plain"), "plain");
}

Record Make(int stream, int round, int64_t sent_ms, std::vector<int64_t> text_ms, int64_t tokens) {
  Record record;
  record.stream = stream;
  record.round = round;
  record.sent_ns = sent_ms * 1'000'000;
  for (const int64_t ms : text_ms) record.text_ns.push_back(ms * 1'000'000);
  record.end_ns = text_ms.empty() ? record.sent_ns : text_ms.back() * 1'000'000;
  record.prompt_tokens = 10;
  record.completion_tokens = tokens;
  return record;
}

TEST(Arithmetic, QuantilesAreOfTheNearestRank) {
  std::vector<double> values;
  for (int i = 100; i >= 1; --i) values.push_back(i);
  const Quantiles q = QuantilesOf(values);
  EXPECT_EQ(q.p50, 50);
  EXPECT_EQ(q.p95, 95);
  EXPECT_EQ(q.p99, 99);
  EXPECT_EQ(q.max, 100);
  EXPECT_EQ(QuantilesOf({7}).p99, 7);
  EXPECT_EQ(QuantilesOf({}).max, 0);
}

TEST(Arithmetic, DecodingCountsOnlyWhileEveryStreamDecodes) {
  // Stream 0 has its first token at 100 ms and its last at 500; stream 1 from 300 to 700. Between
  // 300 and 500 each makes two tokens.
  const Record records[] = {Make(0, 0, 0, {100, 200, 300, 400, 500}, 5),
                            Make(1, 0, 0, {300, 400, 500, 600, 700}, 5)};
  const Summary s = Summarise(records, true, 0.07);
  ASSERT_EQ(s.decode_tokens_per_s.size(), 1u);
  EXPECT_NEAR(s.decode_tokens_per_s[0], 4 / 0.2, 1e-9);
  EXPECT_NEAR(s.prefill_tokens_per_s[0], 20 / 0.3, 1e-9);
  EXPECT_NEAR(s.tokens_per_s, 10 / 0.7, 1e-9);
  EXPECT_NEAR(s.cpu_share, 0.1, 1e-9);
  EXPECT_NEAR(s.ttft_ms.max, 300, 1e-9);
  EXPECT_NEAR(s.gap_ms.p50, 100, 1e-9);
}

TEST(Arithmetic, EventsOfSeveralTokensCountAsSeveral) {
  const Record record = Make(0, 0, 0, {100, 200, 300}, 9);  // three tokens an event
  const Summary s = Summarise({&record, 1}, true, 0);
  EXPECT_NEAR(s.decode_tokens_per_s[0], 6 / 0.2, 1e-9);
  EXPECT_EQ(s.completion_tokens, 9);
  EXPECT_NEAR(s.events_per_token, 1.0 / 3, 1e-9);
}

TEST(Arithmetic, PausesBetweenRoundsDoNotCount) {
  const Record records[] = {Make(0, 0, 0, {100, 200}, 2), Make(0, 1, 10'000, {10'100, 10'200}, 2)};
  const Summary s = Summarise(records, true, 0);
  EXPECT_NEAR(s.seconds, 0.4, 1e-9);
  EXPECT_EQ(s.decode_tokens_per_s.size(), 2u);
}

TEST(Arithmetic, FailuresAndAnswersWithoutUsageAreSaid) {
  Record failed = Make(0, 0, 0, {}, -1);
  failed.status = Unavailable("gone");
  const Record records[] = {failed, failed, Make(0, 1, 0, {1, 2, 3}, -1)};
  const Summary s = Summarise(records, true, 0);
  EXPECT_EQ(s.requests, 3);
  EXPECT_EQ(s.failed, 2);
  EXPECT_EQ(s.errors, std::vector<std::string>{"gone"});
  EXPECT_EQ(s.uncounted, 1);
  EXPECT_EQ(s.completion_tokens, 3);
  const auto json = codec::ParseJson(SummaryJson(Options{}, s));
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(json->Find("failed")->AsInt(), 2);
}

TEST(Arithmetic, NothingAtAllIsNotAnError) {
  const Summary s = Summarise({}, true, 0);
  EXPECT_EQ(s.tokens_per_s, 0);
  EXPECT_FALSE(s.MedianDecode().has_value());
  EXPECT_TRUE(codec::ParseJson(SummaryJson(Options{}, s)).ok());
}

}  // namespace
}  // namespace pelton::load
