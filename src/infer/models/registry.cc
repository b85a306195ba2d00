// Families by the name that a file gives in general.architecture.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <array>
#include <string_view>

#include "format/gguf.h"
#include "models/decoder.h"
#include "models/model.h"

namespace pelton::models {
namespace {

struct Family {
  std::string_view architecture;
  std::unique_ptr<Decoder> (*make)();
};

constexpr std::array kFamilies = {
    Family{"llama", MakeLlama},
    Family{"gemma2", MakeGemma2},
    Family{"gemma3", MakeGemma3},
    Family{"olmo2", MakeOlmo2},
    Family{"phi3", MakePhi3},
    Family{"qwen2", MakeQwen2},
    Family{"qwen3", MakeQwen3},
};

}  // namespace

std::vector<std::string> KnownArchitectures() {
  std::vector<std::string> out;
  for (const Family& family : kFamilies) out.emplace_back(family.architecture);
  return out;
}

Result<std::unique_ptr<Model>> LoadModel(const format::ModelFile& file, const LoadOptions& options,
                                         nn::Team& team) {
  auto architecture = file.metadata().String("general.architecture");
  RETURN_IF_ERROR(architecture.status());
  for (const Family& family : kFamilies) {
    if (family.architecture != *architecture) continue;
    std::unique_ptr<Decoder> model = family.make();
    if (Status status = Decoder::Load(*model, file, options, team); !status.ok()) return status;
    return std::unique_ptr<Model>(std::move(model));
  }
  return Unimplemented(fmt::format("general.architecture \"{}\" is not supported; this build knows {}",
                                   format::ShownName(*architecture), fmt::join(KnownArchitectures(), ", ")));
}

}  // namespace pelton::models
