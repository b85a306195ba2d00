// A GGUF file made field by field, remembering where each number lies, so that a test can put any
// value into any of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pelton::cve {

struct Field {
  size_t offset;
  size_t width;  // 4 or 8
  std::string what;
};

class GgufBytes {
 public:
  GgufBytes& Text(std::string_view text) {
    bytes_.append(text);
    return *this;
  }
  GgufBytes& U8(uint8_t v) { return Raw(&v, 1); }
  GgufBytes& U32(uint32_t v, std::string what) {
    fields_.push_back({bytes_.size(), 4, std::move(what)});
    return Raw(&v, 4);
  }
  GgufBytes& U64(uint64_t v, std::string what) {
    fields_.push_back({bytes_.size(), 8, std::move(what)});
    return Raw(&v, 8);
  }
  GgufBytes& F32(float v) { return Raw(&v, 4); }
  GgufBytes& String(std::string_view text, const std::string& what) {
    return U64(text.size(), what + " length").Text(text);
  }
  GgufBytes& Header(uint64_t tensors, uint64_t keys) {
    return Text("GGUF").U32(3, "version").U64(tensors, "tensor count").U64(keys, "key count");
  }
  // A key and the type number of its value; the value is the next call.
  GgufBytes& Key(const std::string& key, uint32_t type) {
    return String(key, key + " key").U32(type, key + " type");
  }
  GgufBytes& ArrayHead(const std::string& key, uint32_t element_type, uint64_t count) {
    return U32(element_type, key + " element type").U64(count, key + " count");
  }
  GgufBytes& Tensor(const std::string& name, std::initializer_list<uint64_t> dims, uint32_t type,
                    uint64_t offset) {
    String(name, name + " name").U32(static_cast<uint32_t>(dims.size()), name + " dims");
    for (const uint64_t d : dims) U64(d, name + " size");
    return U32(type, name + " type").U64(offset, name + " offset");
  }
  GgufBytes& Align(size_t alignment) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment, '\0');
    return *this;
  }
  GgufBytes& Data(size_t n, char fill = 'd') {
    bytes_.append(n, fill);
    return *this;
  }

  void Put(const Field& field, uint64_t value) {
    std::memcpy(bytes_.data() + field.offset, &value, field.width);  // little-endian
  }

  const std::string& bytes() const { return bytes_; }
  std::span<const std::byte> span() const { return std::as_bytes(std::span(bytes_)); }
  const std::vector<Field>& fields() const { return fields_; }

 private:
  GgufBytes& Raw(const void* p, size_t n) {
    bytes_.append(static_cast<const char*>(p), n);
    return *this;
  }

  std::string bytes_;
  std::vector<Field> fields_;
};

// Value type numbers of the specification.
inline constexpr uint32_t kU8 = 0, kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kString = 8, kArray = 9,
                          kU64 = 10;

// Every kind of field: scalars, a string, arrays of each width, tensors of three types.
inline GgufBytes EveryField() {
  GgufBytes f;
  f.Header(3, 7);
  f.Key("general.architecture", kString).String("llama", "architecture");
  f.Key("general.alignment", kU32).U32(32, "alignment");
  f.Key("n", kU64).U64(7, "n");
  f.Key("tokens", kArray)
      .ArrayHead("tokens", kString, 2)
      .String("a", "token")
      .String("<s>", "token");
  f.Key("scores", kArray).ArrayHead("scores", kF32, 2).F32(0).F32(-1);
  f.Key("kinds", kArray).ArrayHead("kinds", kI32, 2).U32(1, "kind").U32(3, "kind");
  f.Key("flag", kBool).U8(1);
  f.Tensor("norm", {8}, 0, 0);
  f.Tensor("weight", {32, 2}, 2, 32);
  f.Tensor("head", {256, 1}, 14, 96);
  return f.Align(32).Data(96 + 210);
}

}  // namespace pelton::cve
