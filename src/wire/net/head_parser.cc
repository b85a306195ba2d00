#include "net/head_parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>

#include <algorithm>
#include <charconv>

#include "net/syntax.h"

namespace pelton::net {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

std::string Text(string_view s) { return std::string(s.data(), s.size()); }

// Collects what Beast finds in a head. The body never gets here.
class Collector final : public http::basic_parser<true> {
 public:
  explicit Collector(RequestHead* head) : head_(*head) {}

 private:
  void on_request_impl(http::verb, string_view method, string_view target, int,
                       error_code&) override {
    head_.method = Text(method);
    head_.target = Text(target);
  }
  void on_field_impl(http::field, string_view name, string_view value, error_code&) override {
    head_.headers.Add(Text(name), Text(value));
  }
  void on_response_impl(int, string_view, int, error_code&) override {}
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(boost::optional<uint64_t> const&, error_code&) override {}
  size_t on_body_impl(string_view body, error_code&) override { return body.size(); }
  void on_chunk_header_impl(uint64_t, string_view, error_code&) override {}
  size_t on_chunk_body_impl(uint64_t, string_view body, error_code&) override {
    return body.size();
  }
  void on_finish_impl(error_code&) override {}

  RequestHead& head_;
};

std::optional<Refusal> ParseLength(const Headers& headers, RequestHead* head) {
  const auto text = headers.Find("content-length");
  if (!text) return std::nullopt;
  if (headers.Count("content-length") > 1) return Refusal{400, "more than one Content-Length"};
  uint64_t length = 0;
  const char* const end = text->data() + text->size();
  const auto read = std::from_chars(text->data(), end, length);
  if (text->empty() || !IsDigit(text->front()) || read.ptr != end || read.ec != std::errc()) {
    return Refusal{400, "Content-Length is not a number"};
  }
  head->content_length = length;
  return std::nullopt;
}

std::optional<Refusal> FindFraming(const RequestHead& head, HeadFacts* facts) {
  if (const auto coding = head.headers.Find("transfer-encoding")) {
    if (head.content_length) return Refusal{400, "both Content-Length and Transfer-Encoding"};
    if (facts->http_1_0) return Refusal{400, "Transfer-Encoding in HTTP/1.0"};
    if (head.headers.Count("transfer-encoding") > 1 || !EqualIgnoringCase(*coding, "chunked")) {
      return Refusal{400, "a Transfer-Encoding other than chunked"};
    }
    facts->framing = BodyFraming::kChunked;
  } else if (head.content_length.value_or(0) > 0) {
    facts->framing = BodyFraming::kLength;
  }
  const auto coding = head.headers.Find("content-encoding");
  if (coding && (head.headers.Count("content-encoding") > 1 ||
                 !EqualIgnoringCase(*coding, "identity"))) {
    return Refusal{415, "compressed bodies are not read"};
  }
  return std::nullopt;
}

std::optional<Refusal> CheckHostAndTarget(RequestHead* head, bool http_1_0) {
  const auto host = head->headers.Find("host");
  if (head->headers.Count("host") > 1) return Refusal{400, "more than one Host"};
  if (!host && !http_1_0) return Refusal{400, "no Host"};
  if (host && !ValidHost(*host)) return Refusal{400, "Host is not valid"};
  Target target;
  if (const auto refusal =
          ParseTarget(head->method, head->target, host.value_or(std::string_view()), &target)) {
    return refusal;
  }
  head->path = std::move(target.path);
  head->query = std::move(target.query);
  return std::nullopt;
}

}  // namespace

bool MayBeRequestLine(std::string_view line) {
  const size_t space = line.find(' ');
  const std::string_view method = line.substr(0, space);
  return method.size() <= kMethodBytesMax && (IsToken(method) || line.empty());
}

std::optional<Refusal> CheckRequestLine(std::string_view line, size_t target_bytes_max) {
  const size_t first = line.find(' ');
  if (first == std::string_view::npos || !MayBeRequestLine(line)) {
    return Refusal{400, "the method is not valid"};
  }
  const size_t second = line.find(' ', first + 1);
  if (second == std::string_view::npos) return Refusal{400, "the request line has no version"};
  const std::string_view target = line.substr(first + 1, second - first - 1);
  if (target.size() > target_bytes_max) return Refusal{414, "the request target is too long"};
  if (target.empty()) return Refusal{400, "the request target is empty"};
  const std::string_view version = line.substr(second + 1);
  if (version.size() != 8 || !version.starts_with("HTTP/") || !IsDigit(version[5]) ||
      version[6] != '.' || !IsDigit(version[7])) {
    return Refusal{400, "the request line's version is not valid"};
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return Refusal{505, "only HTTP/1.1 and 1.0"};
  return std::nullopt;
}

std::optional<Refusal> ParseHead(std::string_view bytes, RequestHead* head, HeadFacts* facts) {
  facts->http_1_0 = bytes.substr(0, bytes.find('\r')).ends_with("1.0");
  Collector parser(head);
  parser.header_limit(UINT32_MAX);  // the bounds were applied while the bytes came in
  parser.skip(true);
  error_code ec;
  parser.put(boost::asio::buffer(bytes.data(), bytes.size()), ec);
  // The framing is found below; here only what Beast sees in it and we would not name.
  if (ec == http::error::bad_content_length || ec == http::error::multiple_content_length) {
    return Refusal{400, "Content-Length is not a number, or there is more than one"};
  }
  if (ec == http::error::bad_transfer_encoding) {
    return Refusal{400, "Transfer-Encoding twice, or beside Content-Length"};
  }
  if (ec || !parser.is_header_done()) return Refusal{400, "the request's head is not valid"};
  facts->keep_alive = parser.keep_alive();
  if (const auto refusal = ParseLength(head->headers, head)) return refusal;
  if (const auto refusal = FindFraming(*head, facts)) return refusal;
  if (const auto refusal = CheckHostAndTarget(head, facts->http_1_0)) return refusal;
  if (const auto expect = head->headers.Find("expect"); expect && !facts->http_1_0) {
    if (!EqualIgnoringCase(*expect, "100-continue")) {
      return Refusal{417, "an expectation other than 100-continue"};
    }
    facts->expects_continue = facts->framing != BodyFraming::kNone;
  }
  return std::nullopt;
}

}  // namespace pelton::net
