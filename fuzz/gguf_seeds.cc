// Writes the seeds of the GGUF target:  gguf_seeds FOLDER
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "format/gguf_writer.h"
#include "tensor/quantize.h"

namespace {

using pelton::format::GgufWriter;
using pelton::tensor::DType;

void Save(const std::string& path, const GgufWriter& writer) {
  const std::vector<std::byte> bytes = writer.Bytes();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

bool AddRamp(GgufWriter* writer, const std::string& name, DType type, std::vector<int64_t> shape) {
  int64_t elems = 1;
  for (const int64_t size : shape) elems *= size;
  std::vector<float> values(static_cast<size_t>(elems));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 17) - 8.0F;
  std::vector<std::byte> data(*pelton::tensor::RowBytes(type, static_cast<uint64_t>(elems)));
  pelton::tensor::QuantizeRow(type, values.data(), elems, data.data());
  return writer->AddTensor(name, type, std::move(shape), std::move(data)).ok();
}

bool WriteAll(const std::string& folder) {
  GgufWriter empty;
  Save(folder + "/empty", empty);

  GgufWriter keys(64);
  keys.Set("general.architecture", std::string_view("llama"));
  keys.Set("llama.block_count", uint64_t{2});
  keys.Set("llama.rope.freq_base", 10000.0);
  keys.Set("tokenizer.ggml.add_bos_token", true);
  keys.Set("tokenizer.ggml.tokens", std::vector<std::string_view>{"<s>", "a", "", "\xc4\xa0x"});
  keys.Set("tokenizer.ggml.scores", std::vector<double>{0, -1, -2, -3});
  keys.Set("tokenizer.ggml.token_type", std::vector<int64_t>{3, 1, 1, 6});
  keys.Set("big", uint64_t{1} << 40);
  keys.Set("negative", int64_t{-1});
  keys.Set("flags", std::vector<bool>{true, false});
  Save(folder + "/keys", keys);

  bool ok = true;
  for (int i = 0; i <= static_cast<int>(DType::kQ6_K); ++i) {
    const auto type = static_cast<DType>(i);
    GgufWriter writer;
    writer.Set("general.architecture", std::string_view("llama"));
    const int64_t inner = pelton::tensor::InfoOf(type).block_elems;
    ok = ok && AddRamp(&writer, "a", type, {inner}) &&
         AddRamp(&writer, "b.weight", type, {1, 2, inner});
    Save(folder + "/" + std::string(pelton::tensor::InfoOf(type).name), writer);
  }
  GgufWriter split;
  split.Set("split.no", uint64_t{0});
  split.Set("split.count", uint64_t{2});
  ok = ok && AddRamp(&split, "t", DType::kF32, {1, 1, 1, 8});
  Save(folder + "/split", split);
  return ok;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: gguf_seeds FOLDER\n", stderr);
    return 2;
  }
  return WriteAll(argv[1]) ? 0 : 1;
}
