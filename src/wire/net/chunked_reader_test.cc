#include "net/chunked_reader.h"

#include <gtest/gtest.h>

namespace pelton::net {
namespace {

using std::string_view_literals::operator""sv;

struct Read {
  int status = 0;  // 200 whole, 0 more is needed, else refused
  std::string body;
  std::string rest;
};

Read ReadChunks(std::string_view bytes, uint64_t body_bytes_max = 1 << 20,
                size_t piece = SIZE_MAX) {
  ChunkedReader reader;
  Read read;
  auto event = ChunkedReader::Event::kNeedMore;
  while (event == ChunkedReader::Event::kNeedMore && !bytes.empty()) {
    std::string_view part = bytes.substr(0, piece);
    const size_t before = part.size();
    event = reader.Next(&part, &read.body, body_bytes_max);
    bytes.remove_prefix(before - part.size());
  }
  if (event == ChunkedReader::Event::kDone) read.status = 200;
  if (event == ChunkedReader::Event::kRefused) read.status = reader.refusal().status;
  read.rest = bytes;
  return read;
}

TEST(ChunkedReader, ReadsChunksExtensionsAndTrailersInAnyPieces) {
  constexpr auto kBytes =
      "4\r\nWiki\r\n6;a=\"b\"\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nX: y\r\nZ:\r\n\r\nGET"sv;
  for (size_t piece = 1; piece < kBytes.size(); ++piece) {
    const Read read = ReadChunks(kBytes, 1 << 20, piece);
    EXPECT_EQ(read.status, 200);
    EXPECT_EQ(read.body, "Wikipedia in \r\n\r\nchunks.");
    EXPECT_EQ(read.rest, "GET");
  }
  EXPECT_EQ(ReadChunks("0\r\n\r\n").status, 200);
  EXPECT_EQ(ReadChunks("0\r\n").status, 0);
  EXPECT_EQ(ReadChunks("00A\r\n0123456789\r\n000\r\n\r\n").body, "0123456789");
}

TEST(ChunkedReader, RefusesBadSizes) {
  for (auto bad :
       {"-2\r\n"sv, "+2\r\n"sv, "0x2\r\n"sv, " 2\r\n"sv, "2 \r\n"sv, "\t2\r\n"sv, "g\r\n"sv,
        "\r\n"sv, ";a\r\n"sv, "2\n"sv, "2\rX"sv, "2;a\nb"sv, "2;a\rb"sv, "2;\0\r\n"sv, "2.0\r\n"sv,
        "2,3\r\n"sv, "10000000000000000\r\n"sv, "00000000000000001\r\n"sv, "\x01\r\n"sv}) {
    EXPECT_EQ(ReadChunks(bad).status, 400) << testing::PrintToString(bad);
  }
  EXPECT_EQ(ReadChunks("ffffffffffffffff\r\n").status, 413);  // fits 64 bits, not the body
}

TEST(ChunkedReader, RefusesChunksThatAreNotTheirSize) {
  for (auto bad :
       {"2\r\nabc\r\n"sv, "2\r\nab\n"sv, "2\r\nab\rX"sv, "2\r\nabX\r\n"sv, "1\r\na0\r\n"sv}) {
    EXPECT_EQ(ReadChunks(bad).status, 400) << testing::PrintToString(bad);
  }
}

TEST(ChunkedReader, BothSidesOfTheBodyLimit) {
  EXPECT_EQ(ReadChunks("5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n", 10).status, 200);
  EXPECT_EQ(ReadChunks("5\r\nhello\r\n6\r\n", 10).status, 413);  // before the chunk is read
  EXPECT_EQ(ReadChunks("1\r\n", 0).status, 413);
  EXPECT_EQ(ReadChunks("0\r\n\r\n", 0).status, 200);
}

TEST(ChunkedReader, BothSidesOfTheExtensionLimits) {
  const auto chunk = [](size_t extension) {
    return "1;" + std::string(extension, 'x') + "\r\na\r\n";
  };
  EXPECT_EQ(ReadChunks(chunk(256) + "0\r\n\r\n").status, 200);
  EXPECT_EQ(ReadChunks(chunk(257)).status, 400);
  std::string many;
  for (int i = 0; i < 64; ++i) many += chunk(256);
  EXPECT_EQ(ReadChunks(many + "0\r\n\r\n").status, 200);
  EXPECT_EQ(ReadChunks(many + chunk(1)).status, 400);
}

TEST(ChunkedReader, BothSidesOfTheTrailerLimits) {
  const auto trailers = [](int count, size_t line) {
    std::string bytes = "0\r\n";
    for (int i = 0; i < count; ++i) bytes += "X: " + std::string(line - 5, 'y') + "\r\n";
    return bytes + "\r\n";
  };
  EXPECT_EQ(ReadChunks(trailers(8, 512)).status, 200);
  EXPECT_EQ(ReadChunks(trailers(8, 513)).status, 431);
  EXPECT_EQ(ReadChunks(trailers(9, 10)).status, 431);
  for (auto bad : {"0\r\nX y\r\n\r\n"sv, "0\r\n X: y\r\n\r\n"sv, "0\r\nX : y\r\n\r\n"sv,
                   "0\r\nX: y\n\r\n"sv, "0\r\n\n"sv, "0\r\nX: \0\r\n\r\n"sv}) {
    EXPECT_EQ(ReadChunks(bad).status, 400) << testing::PrintToString(bad);
  }
}

}  // namespace
}  // namespace pelton::net
