// The tiny models as Hugging Face folders: the logits that transformers gives, whatever the container;
// and the real vocabularies as tokenizer.json: the ids that transformers gives.
#include <cmath>
#include <filesystem>

#include "codec/json.h"
#include "format/hf_json.h"
#include "golden_models.h"
#include "hf_folder.h"
#include "models/evaluate.h"
#include "text/tokenizer.h"

namespace pelton::golden {
namespace {

namespace fs = std::filesystem;

struct TempFolder {
  TempFolder() {
    std::string pattern = (fs::temp_directory_path() / "pelton-hf-XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code error;
    fs::remove_all(path, error);
  }
  std::string path;
};

struct Case {
  const char* name;
  int files;
  const char* rope;
};

class Folder : public testing::TestWithParam<Case> {};

TEST_P(Folder, LogitsAndIdsEqualTheReference) {
  const Case& c = GetParam();
  const TinyLogits want = ReadTinyLogits(DataPath(std::string("tiny.") + c.name + ".logits.bin"));
  const auto gguf = format::ModelFile::Open(DataPath(std::string("tiny.") + c.name + ".gguf"));
  ASSERT_TRUE(gguf.ok());
  const TempFolder temp;
  HfFolderWriter(**gguf, temp.path, c.rope).Write(c.files);
  nn::Team team({.threads = 2, .pin = false});
  Loaded loaded = Load(temp.path, BestTable(), team);
  ASSERT_NE(loaded.model, nullptr);
  EXPECT_EQ(loaded.model->info().vocab_size, want.vocab);
  EXPECT_EQ(loaded.model->info().quantization, "F32");
  LogitErrors errors;
  const Status status = models::RunSequence(
      *loaded.model, team, want.ids, 48, [&](size_t at, std::span<const float> logits) {
        errors.Add(logits, want.logits.data() + at * logits.size());
      });
  ASSERT_TRUE(status.ok()) << status.message();
  ExpectNear(errors, BestTable());

  const auto ours = text::Tokenizer::FromMetadata(loaded.file->metadata());
  const auto theirs = text::Tokenizer::FromMetadata((*gguf)->metadata());
  ASSERT_TRUE(ours.ok() && theirs.ok()) << ours.status().message();
  for (const char* text : {"the other stone in the water", "  12 then\n\n\tétoile 日本", "<|im_start|>user<start_of_turn>"}) {
    for (const bool special : {false, true}) {
      const text::EncodeOptions options{.add_bos = true, .parse_special = special};
      EXPECT_EQ(*(*ours)->Encode(text, options), *(*theirs)->Encode(text, options)) << text;
    }
  }
  EXPECT_EQ((*ours)->vocab_size(), (*theirs)->vocab_size());
  EXPECT_TRUE(std::ranges::equal((*ours)->end_ids(), (*theirs)->end_ids()));
}

INSTANTIATE_TEST_SUITE_P(
    Families, Folder,
    testing::Values(Case{"llama", 1, ""},
                    Case{"llama3", 3, R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                          "high_freq_factor": 4.0, "original_max_position_embeddings": 64})"},
                    Case{"llama-linear", 1, ""}, Case{"mistral", 2, ""}, Case{"gemma3", 1, ""},
                    Case{"gemma2", 1, ""}, Case{"olmo2", 2, ""}, Case{"phi3", 1, ""}, Case{"qwen2", 1, ""},
                    Case{"qwen3", 1, ""},
                    Case{"phi3-long", 1, R"({"rope_type": "longrope", "short_factor": [1, 1.25, 1.5, 1.75, 2, 2.25],
                                             "long_factor": [4, 5, 6, 7, 8, 9]})"}),
    [](const auto& info) {
      std::string name = info.param.name;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace pelton::golden
