#include "format/model_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <limits>
#include <string>

#include "format/gguf_writer.h"
#include "format/shards.h"

namespace pelton::format {
namespace {

using tensor::DType;

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "pelton-format-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::vector<std::byte> Zeros(size_t n) { return std::vector<std::byte>(n); }

TEST(ModelFile, OpensWhatTheWriterWroteAndDropsPages) {
  Folder folder;
  GgufWriter writer;
  writer.Set("general.architecture", std::string_view("llama"));
  ASSERT_TRUE(
      writer.AddTensor("a", DType::kQ8_0, {3, 32}, std::vector<std::byte>(3 * 34, std::byte{7}))
          .ok());
  ASSERT_TRUE(writer.AddTensor("b", DType::kF32, {5000}, Zeros(20000)).ok());
  ASSERT_TRUE(writer.Write(folder / "m.gguf").ok());
  const auto model = ModelFile::Open(folder / "m.gguf");
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  EXPECT_EQ((*model)->total_bytes(), writer.file_bytes());
  EXPECT_EQ((*model)->path(), folder / "m.gguf");
  const Tensor* a = (*model)->Find("a");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->shape, (std::vector<int64_t>{3, 32}));
  EXPECT_EQ(a->data.size(), 102u);
  EXPECT_EQ(a->data[101], std::byte{7});
  EXPECT_EQ((*model)->Find("c"), nullptr);
  (*model)->DropPages((*model)->Find("b")->data);
  EXPECT_EQ(a->data[0], std::byte{7});
  EXPECT_FALSE(std::filesystem::exists(folder / "m.gguf.part"));
}

TEST(ModelFile, RequireNamesTensorAndBothShapes) {
  Folder folder;
  GgufWriter writer;
  ASSERT_TRUE(writer.AddTensor("w", DType::kF32, {4, 8}, Zeros(128)).ok());
  ASSERT_TRUE(writer.Write(folder / "m.gguf").ok());
  const auto model = ModelFile::Open(folder / "m.gguf");
  ASSERT_TRUE(model.ok());
  EXPECT_TRUE((*model)->Require("w", std::vector<int64_t>{4, 8}).ok());
  const auto wrong = (*model)->Require("w", std::vector<int64_t>{8, 4});
  EXPECT_EQ(wrong.status().message(), "tensor w has shape [4, 8], not [8, 4]");
  EXPECT_EQ((*model)->Require("v", std::vector<int64_t>{1}).status().code(), StatusCode::kNotFound);
}

TEST(ModelFile, SaysWhatIsWrongWithThePath) {
  Folder folder;
  EXPECT_EQ(ModelFile::Open(folder / "none.gguf").status().code(), StatusCode::kNotFound);
  const Status empty = ModelFile::Open(folder / "").status();
  EXPECT_EQ(empty.code(), StatusCode::kNotFound);
  EXPECT_NE(empty.message().find("has no config.json"), std::string::npos) << empty.message();
}

struct Split {
  std::vector<uint64_t> numbers = {0, 1, 2};
  uint64_t count = 3;
  uint64_t tensors = 3;
  std::string last_tensor = "t2";
};

// Writes m-0000i-of-00003.gguf with one tensor each and opens the first.
Result<std::unique_ptr<ModelFile>> OpenSplit(const Folder& folder, const Split& split) {
  for (uint64_t i = 0; i < 3; ++i) {
    GgufWriter writer;
    if (i == 0) writer.Set("general.architecture", std::string_view("llama"));
    writer.Set("split.no", split.numbers[i]);
    writer.Set("split.count", split.count);
    writer.Set("split.tensors.count", split.tensors);
    const std::string name = i == 2 ? split.last_tensor : "t" + std::to_string(i);
    EXPECT_TRUE(
        writer.AddTensor(name, DType::kF32, {8}, std::vector<std::byte>(32, std::byte(i))).ok());
    EXPECT_TRUE(
        writer.Write(folder / ShardName{"m", 1, 3}.Path(static_cast<uint32_t>(i + 1))).ok());
  }
  return ModelFile::Open(folder / "m-00001-of-00003.gguf");
}

TEST(Shards, AreOneModel) {
  Folder folder;
  const auto model = OpenSplit(folder, {});
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  ASSERT_EQ((*model)->tensors().size(), 3u);
  for (int i = 0; i < 3; ++i) {
    const Tensor* t = (*model)->Find("t" + std::to_string(i));
    ASSERT_NE(t, nullptr);
    EXPECT_EQ(t->file, static_cast<uint32_t>(i));
    EXPECT_EQ(t->data[31], std::byte(i));
    (*model)->DropPages(t->data);
  }
  EXPECT_EQ((*model)->metadata().String("general.architecture").value(), "llama");
}

TEST(Shards, ThatDoNotFitTogetherAreRefusedWithTheReason) {
  const auto message = [](const Split& split) {
    Folder folder;
    const auto model = OpenSplit(folder, split);
    return model.ok() ? std::string("opened") : model.status().message();
  };
  EXPECT_NE(message({.count = 4}).find("split.count says 4 files, the name says 3"),
            std::string::npos);
  EXPECT_NE(message({.count = 0}).find("split.count"), std::string::npos);
  EXPECT_NE(message({.numbers = {0, 2, 1}}).find("split.no is 2"), std::string::npos);
  EXPECT_NE(message({.tensors = 4}).find("says 4 tensors, the shards have 3"), std::string::npos);
  EXPECT_NE(message({.last_tensor = "t0"}).find("tensor t0 is in an earlier shard too"),
            std::string::npos);
}

TEST(Shards, MissingOrWronglyOpenedOnesAreNamed) {
  Folder folder;
  ASSERT_TRUE(OpenSplit(folder, {}).ok());
  EXPECT_NE(ModelFile::Open(folder / "m-00002-of-00003.gguf")
                .status()
                .message()
                .find("m-00001-of-00003.gguf"),
            std::string::npos);
  std::filesystem::copy(folder / "m-00001-of-00003.gguf", folder / "alone.gguf");
  EXPECT_NE(
      ModelFile::Open(folder / "alone.gguf").status().message().find("NAME-00001-of-0000N.gguf"),
      std::string::npos);
  std::filesystem::remove(folder / "m-00003-of-00003.gguf");
  const auto missing = ModelFile::Open(folder / "m-00001-of-00003.gguf");
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound);
  EXPECT_NE(missing.status().message().find("m-00003-of-00003.gguf"), std::string::npos);
  for (const char* name :
       {"m-00000-of-00003.gguf", "m-00004-of-00003.gguf", "m-00001-of-00000.gguf",
        "m-00001-of-00513.gguf", "m-99999-of-99999.gguf"}) {
    EXPECT_EQ(ModelFile::Open(folder / name).status().code(), StatusCode::kInvalidArgument) << name;
  }
}

TEST(Shards, NamesAreReadExactly) {
  const auto name = ParseShardName("/models/a-b-00002-of-00010.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->stem, "/models/a-b");
  EXPECT_EQ(name->number, 2u);
  EXPECT_EQ(name->count, 10u);
  EXPECT_EQ(name->Path(3), "/models/a-b-00003-of-00010.gguf");
  for (const char* other :
       {"a.gguf", "a-0001-of-0002.gguf", "a-00001-of-00002.ggu", "a-00001_of-00002.gguf",
        "a-0000x-of-00002.gguf", "a-+0001-of-00002.gguf", "00001-of-00002.gguf", ""}) {
    EXPECT_FALSE(ParseShardName(other)) << other;
  }
}

TEST(Metadata, AnswersByTypeAndNamesTheKey) {
  Metadata m;
  m.Set("u", uint64_t{5});
  m.Set("i", int64_t{6});
  m.Set("neg", int64_t{-1});
  m.Set("f", 0.5);
  m.Set("inf", std::numeric_limits<double>::infinity());
  m.Set("nan", std::numeric_limits<double>::quiet_NaN());
  m.Set("s", std::string_view("text"));
  m.Set("b", true);
  m.Set("ss", std::vector<std::string_view>{"x", "y"});
  m.Set("is", std::vector<int64_t>{1, 2});
  m.Set("fs", std::vector<double>{1.5});
  EXPECT_EQ(m.Uint("u").value(), 5u);
  EXPECT_EQ(m.Uint("i").value(), 6u);
  EXPECT_EQ(m.Uint("neg").status().message(), "key neg is -1, which must not be negative");
  EXPECT_EQ(m.Uint("gone").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(m.Uint("gone").status().message(), "key gone is missing");
  EXPECT_EQ(m.Uint("s").status().message(), "key s is a string, not a whole number");
  EXPECT_EQ(m.Uint("s").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(m.Uint("s").status().param(), "s");
  EXPECT_EQ(m.Float("f").value(), 0.5);
  EXPECT_FALSE(m.Float("inf").ok());
  EXPECT_FALSE(m.Float("nan").ok());
  EXPECT_EQ(m.String("s").value(), "text");
  EXPECT_TRUE(m.Bool("b").value());
  EXPECT_EQ(m.Strings("ss").value()[1], "y");
  EXPECT_EQ(m.Ints("is").value()[1], 2);
  EXPECT_EQ(m.Floats("fs").value()[0], 1.5);
  EXPECT_FALSE(m.Strings("is").ok());
  EXPECT_EQ(m.UintOr("gone", 9).value(), 9u);
  EXPECT_FALSE(m.UintOr("s", 9).ok());
  EXPECT_TRUE(m.BoolOr("gone", true).value());
  EXPECT_EQ(m.FloatOr("gone", 2.5).value(), 2.5);
  EXPECT_EQ(m.StringOr("gone", "d").value(), "d");
  EXPECT_EQ(m.Uint(std::string("a\nb")).status().message(), "key a\\x0ab is missing");
}

}  // namespace
}  // namespace pelton::format
