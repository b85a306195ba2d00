#include "net/response_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <iterator>

#include "base/assert.h"
#include "base/clock.h"
#include "net/syntax.h"

namespace pelton::net {
namespace {

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "";
  }
}

// RFC 9110 section 5.6.7, made once a second and thread.
std::string_view HttpDate() {
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  thread_local int64_t made_at_s = -1;
  thread_local std::string text;
  const int64_t now_s = SystemClock().WallS();
  if (now_s != made_at_s) {
    const std::time_t time = now_s;
    std::tm utc{};
    gmtime_r(&time, &utc);
    text =
        fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[utc.tm_wday], utc.tm_mday,
                    kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
    made_at_s = now_s;
  }
  return text;
}

void AppendField(std::string_view name, std::string_view value, std::string* out) {
  if (BUG_IF(!IsToken(name), "an answer's header has a name that is no token")) return;
  out->append(name).append(": ");
  std::copy_if(value.begin(), value.end(), std::back_inserter(*out), IsValueByte);
  out->append("\r\n");
}

bool IsServersBusiness(std::string_view name) {
  for (std::string_view own : {"content-length", "transfer-encoding", "connection", "date"}) {
    if (EqualIgnoringCase(name, own)) return true;
  }
  return false;
}

}  // namespace

bool StatusHasBody(int status) { return status >= 200 && status != 204 && status != 304; }

std::string WriteHead(int status, const Headers& headers, std::optional<uint64_t> body_bytes,
                      const ResponseShape& shape) {
  std::string out;
  out.reserve(256);
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\nDate: {}\r\n", status,
                 ReasonPhrase(status), HttpDate());
  for (const auto& [name, value] : headers.all()) {
    if (!IsServersBusiness(name)) AppendField(name, value, &out);
  }
  if (StatusHasBody(status)) {
    if (body_bytes) {
      fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n", *body_bytes);
    } else if (!shape.http_1_0) {
      out.append("Transfer-Encoding: chunked\r\n");
    }
  }
  if (!shape.keep_alive) {
    out.append("Connection: close\r\n");
  } else if (shape.http_1_0) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append("\r\n");
  return out;
}

void AppendChunk(std::string_view data, std::string* out) {
  fmt::format_to(std::back_inserter(*out), "{:x}\r\n", data.size());
  out->append(data).append("\r\n");
}

}  // namespace pelton::net
