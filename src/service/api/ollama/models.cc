// What models there are, and what is known of them.
#include <fmt/core.h>
#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "api/generate.h"
#include "api/ollama/error.h"
#include "api/ollama/handlers.h"
#include "api/ollama/moment.h"
#include "api/ollama/names.h"
#include "api/ollama/parse.h"
#include "codec/json_write.h"
#include "codec/sha256.h"

namespace pelton::api::ollama {
namespace {

using codec::JsonWriter;
using serving::ModelView;

// The release of Ollama whose API this one follows. Clients ask it to learn what a server understands.
constexpr std::string_view kApiVersion = "0.12.11";
// What Ollama says of models that stay in memory.
constexpr std::string_view kNever = "2318-01-01T00:00:00.000000000Z";
constexpr int kFolderFilesMax = 10'000;

struct FileFacts {
  int64_t bytes = 0;
  int64_t modified_ns = 0;
  std::string digest;  // differs when the file does; not a digest of its content, which would be slow
};

int64_t BytesOfFolder(const std::string& path) {
  int64_t bytes = 0;
  int files = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    std::error_code none;  // of one file: it counts as empty
    const auto size = it->is_regular_file(none) ? it->file_size(none) : 0;
    if (!none) bytes += static_cast<int64_t>(size);
    if (++files == kFolderFilesMax) break;
  }
  return bytes;
}

FileFacts FactsOf(const ModelView& model) {
  FileFacts facts;
  struct stat file {};
  if (::stat(model.path.c_str(), &file) == 0) {
    facts.bytes = S_ISDIR(file.st_mode) ? BytesOfFolder(model.path) : static_cast<int64_t>(file.st_size);
    facts.modified_ns = int64_t{file.st_mtim.tv_sec} * 1'000'000'000 + file.st_mtim.tv_nsec;
  } else if (model.served) {
    facts.modified_ns = model.served->created_s * 1'000'000'000;
  }
  facts.digest = codec::EncodeHex(
      codec::Sha256(fmt::format("{}\n{}\n{}\n{}", model.name, model.path, facts.bytes, facts.modified_ns)));
  return facts;
}

std::string_view FormatOf(const ModelView& model) {
  if (model.path.ends_with(".gguf")) return "gguf";
  return model.path.starts_with("sim:") ? "sim" : "safetensors";
}

// 134515008 → "134.52M".
std::string ShortCount(uint64_t count) {
  const auto value = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.1f}B", value / 1e9);
  if (count >= 1'000'000) return fmt::format("{:.2f}M", value / 1e6);
  return fmt::format("{}", count);
}

// What is not in memory has a format and no other details.
void WriteDetails(const ModelView& model, JsonWriter* w) {
  const backend::Facts facts = model.served ? model.served->backend->facts() : backend::Facts{};
  w->Key("details").Object().Key("parent_model").Value("").Key("format").Value(FormatOf(model));
  w->Key("family").Value(facts.architecture).Key("families").Array();
  if (!facts.architecture.empty()) w->Value(facts.architecture);
  w->End().Key("parameter_size").Value(facts.parameters == 0 ? std::string() : ShortCount(facts.parameters));
  w->Key("quantization_level").Value(facts.quantization).End();
}

// Names, size and details, of an object that is begun.
void WriteModel(const ModelView& model, const FileFacts& facts, JsonWriter* w) {
  const std::string name = WithTag(model.name);
  w->Key("name").Value(name).Key("model").Value(name);
  w->Key("size").Value(facts.bytes).Key("digest").Value(facts.digest);
  WriteDetails(model, w);
}

std::string TagsJson(const Call& call) {
  std::string body;
  JsonWriter w(&body);
  w.Object().Key("models").Array();
  for (const ModelView& model : call.app.service.catalogue().Views()) {
    const FileFacts facts = FactsOf(model);
    w.Object();
    WriteModel(model, facts, &w);
    w.Key("modified_at").Value(Rfc3339(facts.modified_ns)).End();
  }
  w.End().End();
  return body;
}

// When an idle model leaves memory, at the soonest: requests put it off.
std::string ExpiryOf(const serving::Catalogue& catalogue) {
  const double idle_s = catalogue.options().idle_unload_s;
  return idle_s > 0 ? Rfc3339(WallNs() + static_cast<int64_t>(idle_s * 1e9)) : std::string(kNever);
}

std::string RunningJson(const Call& call) {
  const serving::Catalogue& catalogue = call.app.service.catalogue();
  std::string body;
  JsonWriter w(&body);
  w.Object().Key("models").Array();
  for (const ModelView& model : catalogue.Views()) {
    if (!model.served) continue;
    w.Object();
    WriteModel(model, FactsOf(model), &w);
    w.Key("expires_at").Value(ExpiryOf(catalogue)).Key("size_vram").Value(0);
    w.Key("context_length").Value(model.served->backend->facts().context).End();
  }
  w.End().End();
  return body;
}

// What the model's file wishes, as lines of a Modelfile.
std::string ParametersOf(const backend::SamplingDefaults& wish) {
  std::string out;
  const auto line = [&out](std::string_view name, const auto& value) {
    if (value) out += fmt::format("{}{:<30} {}", out.empty() ? "" : "\n", name, *value);
  };
  line("temperature", wish.temperature);
  line("top_p", wish.top_p);
  line("min_p", wish.min_p);
  line("top_k", wish.top_k);
  line("repeat_penalty", wish.repetition_penalty);
  return out;
}

void WriteModelInfo(const backend::Facts& facts, JsonWriter* w) {
  const std::string& family = facts.architecture;
  w->Key("general.architecture").Value(family).Key("general.parameter_count").Value(facts.parameters);
  w->Key("general.type").Value("model").Key(family + ".context_length").Value(facts.context);
  w->Key(family + ".vocab_size").Value(facts.vocab_size);
}

std::string ShowJson(const ModelView& model) {
  const FileFacts file = FactsOf(model);
  std::string body;
  JsonWriter w(&body);
  w.Object().Key("modelfile").Value("FROM " + model.name).Key("template").Value("").Key("parameters");
  w.Value(model.served ? ParametersOf(model.served->backend->facts().sampling) : std::string());
  WriteDetails(model, &w);
  w.Key("model_info").Object();
  if (model.served) WriteModelInfo(model.served->backend->facts(), &w);
  w.End().Key("capabilities").Array().Value("completion").Value("tools");
  if (model.served && model.served->backend->facts().thinks) w.Value("thinking");
  w.End();
  w.Key("modified_at").Value(Rfc3339(file.modified_ns)).End();
  return body;
}

// The answer to a request about one model.
using NamedAnswer = Result<net::Response> (*)(const Call& call, const ParsedName& parsed);

Result<net::Response> AnswerNamed(const Call& call, Endpoint endpoint, NamedAnswer answer) {
  auto parsed = ParseName(call.exchange->body(), endpoint, call.app.options.strict_api);
  if (!parsed.ok()) return parsed.status();
  parsed->model = NameIn(call.app.service.catalogue(), parsed->model);
  auto response = answer(call, *parsed);
  if (const std::string names = IgnoredHeader(parsed->ignored); response.ok() && !names.empty()) {
    response->headers.Add("x-pelton-ignored", names);
  }
  return response;
}

Result<net::Response> ShowOne(const Call& call, const ParsedName& parsed) {
  const auto model = call.app.service.catalogue().View(parsed.model);
  if (!model) return NotFound("The model does not exist; GET /api/tags lists what is served");
  return JsonResponse(ShowJson(*model));
}

Result<net::Response> PullOne(const Call& call, const ParsedName& parsed) {
  if (!call.app.service.catalogue().NameFor(parsed.model)) {
    return Unimplemented("this server fetches no models for its clients. Its operator does: 'pelton pull' on its "
                         "machine, then --model NAME=FILE at the start or POST /v1/admin/models/NAME/load");
  }
  net::Response response = JsonResponse("{\"status\":\"success\"}");
  if (parsed.stream) {
    response.headers = {};
    response.headers.Add("content-type", "application/x-ndjson");
    response.body.push_back('\n');
  }
  return response;
}

// Files are looked at, so not on an io thread.
template <typename Work>
void OnPrep(const Call& call, Work work) {
  const bool queued = call.app.service.prep().TryRun([call, work] {
    Result<net::Response> response = work(call);
    call.exchange->Respond(response.ok() ? *std::move(response) : ErrorResponse(response.status()));
  });
  if (!queued) call.exchange->Respond(ErrorResponse(PrepFull()));
}

}  // namespace

void Version(const Call& call) {
  std::string body;
  JsonWriter w(&body);
  w.Object().Key("version").Value(kApiVersion).Key("pelton").Value(call.app.version).End();
  call.exchange->Respond(JsonResponse(std::move(body)));
}

void Tags(const Call& call) {
  OnPrep(call, [](const Call& c) -> Result<net::Response> { return JsonResponse(TagsJson(c)); });
}

void Running(const Call& call) {
  OnPrep(call, [](const Call& c) -> Result<net::Response> { return JsonResponse(RunningJson(c)); });
}

void Show(const Call& call) {
  OnPrep(call, [](const Call& c) { return AnswerNamed(c, kShow, ShowOne); });
}

void Pull(const Call& call) {
  OnPrep(call, [](const Call& c) { return AnswerNamed(c, kPull, PullOne); });
}

}  // namespace pelton::api::ollama
