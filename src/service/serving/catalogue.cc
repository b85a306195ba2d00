#include "serving/catalogue.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/clock.h"

namespace pelton::serving {
namespace {

constexpr int64_t kLoadingRetryMs = 1000;

bool ValidName(std::string_view name) {
  return !name.empty() && name.size() <= kModelNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || std::string_view("._:/@+-").find(static_cast<char>(c)) !=
                                              std::string_view::npos;
         });
}

}  // namespace

std::string NameOfPath(std::string_view path) {
  if (path.starts_with("sim:")) return "sim";
  const size_t slash = path.rfind('/');
  if (slash != std::string_view::npos) path.remove_prefix(slash + 1);
  if (path.ends_with(".gguf")) path.remove_suffix(5);
  std::string name(path);
  for (char& c : name) {
    if (!ValidName(std::string_view(&c, 1))) c = '_';
  }
  return name.substr(0, kModelNameBytesMax);
}

Result<ModelSource> ModelSource::FromFlag(std::string_view word) {
  ModelSource source;
  const size_t equals = word.find('=');
  // "sim:?rate=5" has '=' and no name; a name never has '?'.
  if (equals != std::string_view::npos && ValidName(word.substr(0, equals))) {
    source.name = word.substr(0, equals);
    word.remove_prefix(equals + 1);
  }
  if (word.empty()) return InvalidArgument("a model needs a file: [NAME=]FILE");
  source.path = word;
  return source;
}

Result<std::unique_ptr<Catalogue>> Catalogue::Make(std::vector<ModelSource> sources) {
  if (sources.empty()) return InvalidArgument("no model to serve; give --model FILE");
  if (sources.size() > kModelsMax) {
    return InvalidArgument(fmt::format("{} models; at most {}", sources.size(), kModelsMax));
  }
  std::vector<std::string> names;
  for (ModelSource& source : sources) {
    if (source.path.empty()) return InvalidArgument("a model of the catalogue has no path");
    if (source.name.empty()) source.name = NameOfPath(source.path);
    if (!ValidName(source.name)) {
      return InvalidArgument(fmt::format(
          "model name \"{}\" must have 1 to {} letters, digits or . _ : / @ + -", source.name,
          kModelNameBytesMax));
    }
    names.push_back(source.name);
  }
  std::sort(names.begin(), names.end());
  if (const auto twin = std::adjacent_find(names.begin(), names.end()); twin != names.end()) {
    return InvalidArgument(
        fmt::format("two models are called \"{}\"; name them: --model NAME=FILE", *twin));
  }
  return std::unique_ptr<Catalogue>(new Catalogue(std::move(sources)));
}

Status Catalogue::LoadAll(const Opener& open, const std::function<void(const Served&)>& loaded) {
  for (size_t i = 0; i < sources_.size(); ++i) {
    Result<std::unique_ptr<backend::Backend>> opened = open(sources_[i]);
    if (!opened.ok()) return opened.status();
    auto served = std::make_shared<Served>();
    served->name = sources_[i].name;
    served->path = sources_[i].path;
    served->created_s = SystemClock().WallS();
    served->backend = *std::move(opened);
    loaded(*served);
    const std::lock_guard lock(mutex_);
    if (closed_) served->backend->CloseIntake();
    served_[i] = std::move(served);
  }
  return OkStatus();
}

Result<std::shared_ptr<const Served>> Catalogue::Find(std::string_view name) const {
  if (name.empty() && sources_.size() != 1) {
    return std::move(InvalidArgument("\"model\" is required: several models are served"))
        .WithParam("model");
  }
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < sources_.size(); ++i) {
    if (!name.empty() && sources_[i].name != name) continue;
    if (served_[i]) return served_[i];
    return Unavailable(fmt::format("the model '{}' is still loading", sources_[i].name))
        .WithRetryAfter(kLoadingRetryMs);
  }
  return NotFound(fmt::format("The model '{}' does not exist; GET /v1/models lists what is served",
                              name.substr(0, kModelNameBytesMax)))
      .WithParam("model");
}

std::vector<std::shared_ptr<const Served>> Catalogue::Ready() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<const Served>> ready;
  for (const auto& served : served_) {
    if (served) ready.push_back(served);
  }
  return ready;
}

bool Catalogue::AllReady() const {
  const std::lock_guard lock(mutex_);
  return std::all_of(served_.begin(), served_.end(), [](const auto& s) { return s != nullptr; });
}

void Catalogue::CloseIntake() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  for (const auto& served : served_) {
    if (served) served->backend->CloseIntake();
  }
}

}  // namespace pelton::serving
