// The cache of packed weights: what is loaded from it is bit for bit what was packed, and whatever is
// wrong with a file, the model is packed anew.
#include "models/packed_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "base/disk_file.h"
#include "models/model.h"
#include "models/testing/model_maker.h"

namespace pelton::models {
namespace {

namespace fs = std::filesystem;

class PackedCacheTest : public testing::Test {
 protected:
  PackedCacheTest() {
    std::string pattern = (fs::temp_directory_path() / "pelton-packed-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    model_path_ = folder_ + "/model.gguf";
    cache_ = Cache(uint64_t{1} << 30);
    WriteModel(maker_);
  }
  ~PackedCacheTest() override {
    std::error_code error;
    fs::remove_all(folder_, error);
  }

  std::unique_ptr<PackedCache> Cache(uint64_t bytes_max) {
    return std::make_unique<PackedCache>(PackedCacheOptions{
        .folder = folder_ + "/cache", .bytes_max = bytes_max, .model_bytes_min = 0});
  }
  void WriteModel(const ModelMaker& maker) {
    ASSERT_TRUE(maker.Make().Write(model_path_).ok());
    // As if it had been there for long: its identity may be trusted.
    changed_ago_ = false;
  }
  void AgeModel() {
    if (!changed_ago_) std::this_thread::sleep_for(std::chrono::milliseconds(3100));
    changed_ago_ = true;
  }

  // Loads the model; `from_cache` says whether the cache had it. Keeps its bits in `bits`.
  std::unique_ptr<Model> Load(bool expect_cached, std::optional<tensor::DType> quantize = {}) {
    auto file = format::ModelFile::Open(model_path_);
    EXPECT_TRUE(file.ok());
    file_ = *std::move(file);
    auto model = LoadModel(*file_, {.table = kernels::AllTables().back(), .packed = cache_.get(),
                                    .quantize = quantize}, team_);
    EXPECT_TRUE(model.ok()) << model.status().message();
    EXPECT_EQ((*model)->info().weights_from_cache, expect_cached);
    EXPECT_EQ((*model)->packed_image() == nullptr, expect_cached);
    return *std::move(model);
  }
  std::vector<float> Logits(Model& model) {
    const std::vector<int32_t> ids = {1, 5, 9, 2}, table = {0}, rows = {3};
    auto kv = kv::KvStorage::Create(model.info().layers, 1, model.info().kv_block_bytes);
    EXPECT_TRUE(kv.ok());
    const SequenceRows sequence{.row_begin = 0, .rows = 4, .position = 0, .block_table = table};
    std::vector<float> logits(static_cast<size_t>(model.info().vocab_size));
    nn::Team::Turn turn(team_);
    model.Forward({.tokens = ids, .sequences = {&sequence, 1}, .logit_rows = rows}, *kv, team_, logits);
    return logits;
  }
  void LoadAndKeep() {
    auto model = Load(false);
    const Status status = cache_->Write(*model->packed_image(), {});
    ASSERT_TRUE(status.ok()) << status.message();
  }
  std::string OnlyFile() {
    const auto files = cache_->List();
    EXPECT_EQ(files.size(), 1u);
    return files.empty() ? "" : files[0].path;
  }
  void FlipByte(const std::string& path, int64_t at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at, at < 0 ? std::ios::end : std::ios::beg);
    const auto position = file.tellg();
    const char byte = static_cast<char>(file.get());
    file.seekp(position);
    file.put(static_cast<char>(byte ^ 4));
  }

  std::string folder_, model_path_;
  bool changed_ago_ = false;
  ModelMaker maker_{.layers = 2, .dim = 64, .feed_forward = 96, .dtype = tensor::DType::kQ4_1};
  std::unique_ptr<PackedCache> cache_;
  std::unique_ptr<format::ModelFile> file_;
  nn::Team team_{{.threads = 2, .pin = false}};
};

TEST_F(PackedCacheTest, WhatIsLoadedIsWhatWasPackedBitForBit) {
  for (const char* architecture : {"llama", "gemma3"}) {
    for (const tensor::DType type : {tensor::DType::kQ4_0, tensor::DType::kQ8_0, tensor::DType::kBF16}) {
      maker_.architecture = architecture;
      maker_.dtype = type;
      WriteModel(maker_);
      auto packed = Load(false);
      const std::vector<float> want = Logits(*packed);
      ASSERT_TRUE(cache_->Write(*packed->packed_image(), {}).ok());
      auto cached = Load(true);
      EXPECT_EQ(Logits(*cached), want);
    }
  }
  EXPECT_EQ(cache_->List().size(), 6u);
}

TEST_F(PackedCacheTest, FilesAreTheUsersAloneAndSayWhoseTheyAre) {
  LoadAndKeep();
  struct stat info {};
  ASSERT_EQ(stat(OnlyFile().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(cache_->List()[0].label, model_path_);
  EXPECT_EQ(cache_->Wipe(), static_cast<uint64_t>(info.st_size));
  EXPECT_TRUE(cache_->List().empty());
  Load(false);
}

TEST_F(PackedCacheTest, ADamagedFileIsDroppedAndTheModelPackedAnew) {
  LoadAndKeep();
  const std::string path = OnlyFile();
  const std::vector<float> want = Logits(*Load(true));
  const auto size = static_cast<int64_t>(fs::file_size(path));
  for (const int64_t at : {int64_t{0}, int64_t{20}, int64_t{60}, int64_t{85}, int64_t{200}, int64_t{4096},
                           size / 2, size - 1}) {
    FlipByte(path, at);
    auto model = Load(false);
    EXPECT_EQ(Logits(*model), want) << at;
    EXPECT_FALSE(fs::exists(path)) << at;
    ASSERT_TRUE(cache_->Write(*model->packed_image(), {}).ok());
  }
  for (const int64_t cut : {int64_t{0}, int64_t{100}, int64_t{4096}, size - 1}) {
    ASSERT_EQ(truncate(path.c_str(), cut), 0);
    auto model = Load(false);
    EXPECT_FALSE(fs::exists(path)) << cut;
    ASSERT_TRUE(cache_->Write(*model->packed_image(), {}).ok());
  }
  Load(true);
}

// One weight differs, outside what the key samples, and time stamps are put back.
TEST_F(PackedCacheTest, AChangedModelFileIsNoticed) {
  maker_.dim = 512;
  maker_.vocab = 4000;
  WriteModel(maker_);
  AgeModel();
  LoadAndKeep();
  const std::string path = OnlyFile();
  struct stat before {};
  ASSERT_EQ(stat(model_path_.c_str(), &before), 0);
  FlipByte(model_path_, -40'001);
  const timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, model_path_.c_str(), times, 0), 0);
  auto model = Load(false);
  ASSERT_TRUE(cache_->Write(*model->packed_image(), {}).ok());
  Load(true);
  EXPECT_EQ(OnlyFile(), path);  // the key is the same: it was the content's hash that told
}

TEST_F(PackedCacheTest, AMovedOrTouchedModelFileIsTheSame) {
  LoadAndKeep();
  fs::copy(model_path_, folder_ + "/copy.gguf");
  model_path_ = folder_ + "/copy.gguf";
  Load(true);   // all of its bytes were looked at
  AgeModel();
  Load(true);   // and now its identity is known
  std::ifstream file(OnlyFile(), std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  const auto head_bytes = format::PackedHeadBytes(std::as_bytes(std::span(bytes)), bytes.size());
  ASSERT_TRUE(head_bytes.ok());
  const auto head =
      format::ParsePackedHead(std::as_bytes(std::span(bytes)).first(*head_bytes), bytes.size());
  ASSERT_TRUE(head.ok());
  EXPECT_NE(head->identity.source, 0u);
}

TEST_F(PackedCacheTest, ASourceThatChangesWhilePackedIsNotKept) {
  auto model = Load(false);
  std::ofstream(model_path_, std::ios::app) << "more";
  EXPECT_EQ(cache_->Write(*model->packed_image(), {}).code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(cache_->List().empty());
  EXPECT_TRUE(fs::is_empty(folder_ + "/cache"));
}

TEST_F(PackedCacheTest, QuantisingOnLoadIsAnotherKey) {
  maker_.dtype = tensor::DType::kBF16;
  WriteModel(maker_);
  auto plain = Load(false);
  ASSERT_TRUE(cache_->Write(*plain->packed_image(), {}).ok());
  EXPECT_EQ(plain->info().quantization, "BF16");
  auto eight = Load(false, tensor::DType::kQ8_0);
  EXPECT_EQ(eight->info().quantization, "Q8_0");
  EXPECT_LT(eight->info().weight_bytes, plain->info().weight_bytes * 7 / 10);
  const std::vector<float> want = Logits(*eight);
  ASSERT_TRUE(cache_->Write(*eight->packed_image(), {}).ok());
  EXPECT_EQ(Logits(*Load(true, tensor::DType::kQ8_0)), want);
  Load(true);
  auto four = Load(false, tensor::DType::kQ4_1);
  EXPECT_LT(four->info().weight_bytes, eight->info().weight_bytes);
}

TEST_F(PackedCacheTest, TheLongestUnusedGoesFirstAndTooLargeIsNotKept) {
  LoadAndKeep();
  const uint64_t one = fs::file_size(OnlyFile());
  const auto keep_another = [&](uint64_t seed) {
    maker_.seed = seed;
    WriteModel(maker_);
    auto model = Load(false);
    EXPECT_TRUE(cache_->Write(*model->packed_image(), {}).ok());
    return cache_->PathOf(model->packed_image()->head);
  };
  const std::string first = OnlyFile();
  cache_ = Cache(one * 2);
  const std::string second = keep_another(2);
  const timespec old[2] = {{1000, 0}, {1000, 0}};
  utimensat(AT_FDCWD, second.c_str(), old, 0);
  const std::string third = keep_another(3);
  EXPECT_TRUE(fs::exists(first));
  EXPECT_FALSE(fs::exists(second));
  EXPECT_TRUE(fs::exists(third));
  cache_ = Cache(1000);
  maker_.seed = 4;
  WriteModel(maker_);
  auto model = Load(false);
  EXPECT_EQ(cache_->Write(*model->packed_image(), {}).code(), StatusCode::kOutOfRange);
  EXPECT_EQ(cache_->List().size(), 2u);
}

TEST_F(PackedCacheTest, OneProcessWritesAndAStopLeavesNothing) {
  auto model = Load(false);
  ASSERT_TRUE(fs::create_directory(folder_ + "/cache"));
  {
    auto other = PartialFile::Create(cache_->PathOf(model->packed_image()->head));
    ASSERT_TRUE(other.ok());
    EXPECT_EQ(cache_->Write(*model->packed_image(), {}).code(), StatusCode::kAborted);
  }
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(cache_->Write(*model->packed_image(), stop.get_token()).code(), StatusCode::kAborted);
  EXPECT_TRUE(fs::is_empty(folder_ + "/cache"));
}

TEST_F(PackedCacheTest, AFolderThatCannotBeWrittenCostsNothingButTheCache) {
  cache_ = std::make_unique<PackedCache>(PackedCacheOptions{
      .folder = "/proc/pelton", .bytes_max = uint64_t{1} << 30, .model_bytes_min = 0});
  auto model = Load(false);
  EXPECT_FALSE(cache_->Write(*model->packed_image(), {}).ok());
  std::ofstream(folder_ + "/file") << "x";
  cache_ = std::make_unique<PackedCache>(PackedCacheOptions{
      .folder = folder_ + "/file/cache", .bytes_max = uint64_t{1} << 30, .model_bytes_min = 0});
  model = Load(false);
  EXPECT_FALSE(cache_->Write(*model->packed_image(), {}).ok());
}

}  // namespace
}  // namespace pelton::models
