// UTF-8 and base64. The first byte chooses where the stream is cut: cuts must not change the text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "codec/base64.h"
#include "codec/utf8.h"

namespace codec = pelton::codec;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = 1 + data[0] % 7;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = codec::SanitizeUtf8(bytes);
  if (!codec::ValidUtf8(whole)) std::abort();
  if (codec::ValidUtf8(bytes) && whole != bytes) std::abort();

  codec::Utf8Stream stream;
  std::string pieced;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const std::string out = stream.Push(bytes.substr(at, piece));
    if (!codec::ValidUtf8(out)) std::abort();
    pieced += out;
  }
  pieced += stream.Flush();
  if (pieced != whole) std::abort();

  const auto back = codec::DecodeBase64(codec::EncodeBase64(bytes));
  if (!back.ok() || *back != bytes) std::abort();
  (void)codec::DecodeBase64(bytes);
  return 0;
}
