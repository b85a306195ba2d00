// tokenizer.json, tokenizer_config.json → the vocabulary as GGUF has it: pieces by id, their kinds,
// merges or scores, the word pattern by name. What would tokenize differently than the file says is
// refused by name.
// Sources: the files' structure as the `tokenizers` library writes it; for scores, SentencePiece's
// rule that the piece of highest score is merged first, which the merges of a converted vocabulary
// keep as their order.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "format/gguf.h"
#include "format/gguf_limits.h"
#include "format/hf_json.h"

namespace pelton::format {
namespace {

using codec::Json;

constexpr std::string_view kEscapedSpace = "\xe2\x96\x81";
constexpr uint64_t kTokensMax = 1u << 21;
enum Kind : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

Status NotSupported(std::string_view what) {
  return Unimplemented(fmt::format("tokenizer.json: {} is not supported", what));
}
Status Wrong(std::string_view what) { return InvalidArgument(fmt::format("tokenizer.json: {}", what)); }

// The elements of `json`, flattened: of a {"type": "Sequence", <key>: […]} its parts.
std::vector<const Json*> Parts(const Json* json, std::string_view key) {
  if (json == nullptr) return {};
  if (TextMember(json, "type") != "Sequence") return {json};
  std::vector<const Json*> out;
  const Json* list = Member(json, key);
  if (list == nullptr || list->AsArray() == nullptr) return {json};
  for (const Json& part : *list->AsArray()) out.push_back(&part);
  return out;
}

// ---- Byte-level BPE: the word pattern ---------------------------------------------------------

struct Pattern {
  std::string_view regex, name, name_of_whole_words;  // the second where ignore_merges is set
};
constexpr Pattern kPatterns[] = {
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     "glm4", "llama-bpe"},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     "qwen2", ""},
    {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     "", "tekken"},
};

Result<std::string_view> PatternName(const Json* pre_tokenizer, bool whole_words) {
  const std::vector<const Json*> parts = Parts(pre_tokenizer, "pretokenizers");
  if (parts.empty() || TextMember(parts.back(), "type") != "ByteLevel" ||
      BoolMember(parts.back(), "add_prefix_space", true)) {
    return NotSupported("a pre_tokenizer that does not end in ByteLevel without add_prefix_space");
  }
  const bool own_regex = BoolMember(parts.back(), "use_regex", true);
  const Json* first = parts.front();
  if (parts.size() == 1 && own_regex && !whole_words) return std::string_view("gpt-2");
  if (parts.size() == 2 && own_regex && !whole_words && TextMember(first, "type") == "Digits" &&
      BoolMember(first, "individual_digits", false)) {
    return std::string_view("smollm");
  }
  const bool split = parts.size() == 2 && !own_regex && TextMember(first, "type") == "Split" &&
                     TextMember(first, "behavior") == "Isolated" && !BoolMember(first, "invert", false);
  const std::string_view regex = split ? TextMember(Member(first, "pattern"), "Regex") : "";
  for (const Pattern& pattern : kPatterns) {
    const std::string_view name = whole_words ? pattern.name_of_whole_words : pattern.name;
    if (!regex.empty() && regex == pattern.regex && !name.empty()) return name;
  }
  return NotSupported("this pre_tokenizer");
}

// ---- SentencePiece ----------------------------------------------------------------------------

// Whether a space is put in front of every text; spaces must become U+2581 in any case.
Result<bool> SpacePrefix(const Json& tokenizer) {
  bool prefix = false, escapes = false;
  for (const Json* part : Parts(Member(&tokenizer, "normalizer"), "normalizers")) {
    const std::string_view type = TextMember(part, "type");
    if (type == "Prepend" && TextMember(part, "prepend") == kEscapedSpace) {
      prefix = true;
    } else if (type == "Replace" && TextMember(Member(part, "pattern"), "String") == " " &&
               TextMember(part, "content") == kEscapedSpace) {
      escapes = true;
    } else {
      return NotSupported(fmt::format("normalizer \"{}\"", ShownName(type)));
    }
  }
  for (const Json* part : Parts(Member(&tokenizer, "pre_tokenizer"), "pretokenizers")) {
    const std::string_view type = TextMember(part, "type");
    if (type == "Split" && TextMember(Member(part, "pattern"), "String") == " " && escapes) continue;
    const std::string_view scheme = TextMember(part, "prepend_scheme", "always");
    if (type != "Metaspace" || TextMember(part, "replacement") != kEscapedSpace || scheme == "first" ||
        BoolMember(part, "split", true)) {
      return NotSupported(fmt::format("pre_tokenizer \"{}\" {}", ShownName(type), ShownName(scheme)));
    }
    escapes = true;
    prefix = prefix || scheme == "always";
  }
  if (!escapes) return NotSupported("a vocabulary of another kind than byte-level BPE and SentencePiece");
  return prefix;
}

class TokenizerReader {
 public:
  TokenizerReader(const HfTokenizerFiles& files, HfStore& store, Metadata& metadata)
      : files_(files), tokenizer_(*files.tokenizer), store_(store), metadata_(metadata) {}

  Status Read() {
    const Json* model = Member(&tokenizer_, "model");
    if (TextMember(model, "type", "BPE") != "BPE" || Member(model, "vocab") == nullptr) {
      return NotSupported("another model than BPE");
    }
    byte_level_ = false;
    for (const Json* part : Parts(Member(&tokenizer_, "pre_tokenizer"), "pretokenizers")) {
      byte_level_ = byte_level_ || TextMember(part, "type") == "ByteLevel";
    }
    RETURN_IF_ERROR(ReadPieces(*model));
    RETURN_IF_ERROR(ReadAdded());
    RETURN_IF_ERROR(byte_level_ ? ReadByteLevel(*model) : ReadSentencePiece(*model));
    RETURN_IF_ERROR(ReadNamedIds());
    ReadTemplate();
    Store();
    return OkStatus();
  }

 private:
  Status Place(uint64_t id, std::string_view piece, Kind kind);
  Status ReadPieces(const Json& model);
  Status ReadAdded();
  Status ReadByteLevel(const Json& model);
  Status ReadSentencePiece(const Json& model);
  Status ReadNamedIds();
  bool PutsBosInFront(std::string_view bos) const;
  void ReadTemplate();
  void Store();
  std::string_view Copy(std::string_view text) { return store_.Keep(std::string(text)); }
  int64_t IdOf(std::string_view piece) const {
    const auto it = ids_.find(piece);
    return it == ids_.end() ? -1 : it->second;
  }

  const HfTokenizerFiles& files_;
  const Json& tokenizer_;
  HfStore& store_;
  Metadata& metadata_;
  bool byte_level_ = false;
  std::vector<std::string_view> pieces_;
  std::vector<int64_t> kinds_;
  std::map<std::string_view, int64_t> ids_;
};

Status TokenizerReader::Place(uint64_t id, std::string_view piece, Kind kind) {
  if (id >= kTokensMax) return Wrong(fmt::format("id {}; at most {} tokens are read", id, kTokensMax));
  if (id >= pieces_.size()) {
    pieces_.resize(static_cast<size_t>(id) + 1);
    kinds_.resize(static_cast<size_t>(id) + 1, kUnused);
  }
  const auto i = static_cast<size_t>(id);
  if (!pieces_[i].empty() && pieces_[i] != piece) {
    return Wrong(fmt::format("id {} is \"{}\" and \"{}\"", id, ShownName(pieces_[i]), ShownName(piece)));
  }
  if (pieces_[i].empty()) pieces_[i] = Copy(piece);
  kinds_[i] = kind;
  ids_.emplace(pieces_[i], static_cast<int64_t>(id));
  return OkStatus();
}

Status TokenizerReader::ReadPieces(const Json& model) {
  const Json::Object* vocab = Member(&model, "vocab")->AsObject();
  if (vocab == nullptr || vocab->empty() || vocab->size() > kTokensMax) return Wrong("vocab is not an object of tokens");
  const bool byte_fallback = BoolMember(&model, "byte_fallback", false);
  const std::string_view unknown = TextMember(&model, "unk_token");
  // Ids are dense but for a few holes: nobody makes a vocabulary of one token with id 2,000,000.
  const uint64_t id_max = vocab->size() * 2 + 65536;
  for (const auto& [piece, json] : *vocab) {
    const auto id = json.AsUint();
    if (!id || *id > id_max || piece.empty()) return Wrong(fmt::format("token \"{}\" has no id in range", ShownName(piece)));
    const bool byte = byte_fallback && piece.size() == 6 && piece.starts_with("<0x") && piece.ends_with(">");
    const bool is_unknown = !byte_level_ && !unknown.empty() && piece == unknown;
    RETURN_IF_ERROR(Place(*id, piece, byte ? kByte : is_unknown ? kUnknown : kNormal));
  }
  return OkStatus();
}

Status TokenizerReader::ReadAdded() {
  const Json* added = Member(&tokenizer_, "added_tokens");
  if (added == nullptr) return OkStatus();
  if (added->AsArray() == nullptr) return Wrong("added_tokens is not an array");
  for (const Json& token : *added->AsArray()) {
    const std::string_view text = TextMember(&token, "content");
    const auto id = WholeMember(&token, "id");
    if (text.empty() || !id || *id > pieces_.size() + 65536) return Wrong("an added token without content or id");
    for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
      if (BoolMember(&token, flag, false)) {
        return NotSupported(fmt::format("{} of the added token \"{}\"", flag, ShownName(text)));
      }
    }
    const bool unknown = *id < kinds_.size() && kinds_[static_cast<size_t>(*id)] == kUnknown;
    const Kind kind = unknown ? kUnknown : BoolMember(&token, "special", false) ? kControl : kUserDefined;
    RETURN_IF_ERROR(Place(*id, text, kind));
  }
  return OkStatus();
}

// "left right", as one string or as a pair.
Result<std::pair<std::string_view, std::string_view>> MergeOf(const Json& json) {
  std::pair<std::string_view, std::string_view> out;
  if (const Json::Array* pair = json.AsArray(); pair != nullptr && pair->size() == 2) {
    out = {TextOf(&(*pair)[0]), TextOf(&(*pair)[1])};
  } else if (const std::string* text = json.AsString()) {
    const size_t space = text->find(' ');
    if (space != std::string::npos) {
      out = {std::string_view(*text).substr(0, space), std::string_view(*text).substr(space + 1)};
    }
  }
  if (out.first.empty() || out.second.empty()) return Wrong("a merge that is not two pieces");
  return out;
}

Status TokenizerReader::ReadByteLevel(const Json& model) {
  auto name = PatternName(Member(&tokenizer_, "pre_tokenizer"), BoolMember(&model, "ignore_merges", false));
  RETURN_IF_ERROR(name.status());
  // Qwen's text becomes NFC, its distils' does not; the name says which.
  const std::vector<const Json*> normalizers = Parts(Member(&tokenizer_, "normalizer"), "normalizers");
  const bool nfc = normalizers.size() == 1 && TextMember(normalizers[0], "type") == "NFC" && *name == "qwen2";
  if (!normalizers.empty() && !nfc) return NotSupported("a normalizer");
  if (*name == "qwen2" && !nfc) name = std::string_view("deepseek-r1-qwen");
  const Json* merges = Member(&model, "merges");
  if (merges == nullptr || merges->AsArray() == nullptr) return Wrong("merges is not an array");
  std::vector<std::string_view> out;
  out.reserve(merges->AsArray()->size());
  for (const Json& merge : *merges->AsArray()) {
    const auto pair = MergeOf(merge);
    RETURN_IF_ERROR(pair.status());
    out.push_back(store_.Keep(fmt::format("{} {}", pair->first, pair->second)));
  }
  metadata_.Set("tokenizer.ggml.model", Copy("gpt2"));
  metadata_.Set("tokenizer.ggml.pre", Copy(*name));
  metadata_.Set("tokenizer.ggml.merges", std::move(out));
  return OkStatus();
}

Status TokenizerReader::ReadSentencePiece(const Json& model) {
  const auto prefix = SpacePrefix(tokenizer_);
  RETURN_IF_ERROR(prefix.status());
  const Json* merges = Member(&model, "merges");
  if (merges == nullptr || merges->AsArray() == nullptr) return Wrong("merges is not an array");
  std::vector<double> scores(pieces_.size(), 0.0);
  std::string joined;
  double rank = 0;
  int64_t last = -1;
  for (const Json& merge : *merges->AsArray()) {
    const auto pair = MergeOf(merge);
    RETURN_IF_ERROR(pair.status());
    joined.assign(pair->first).append(pair->second);
    const int64_t id = IdOf(joined);
    if (id < 0) return Wrong(fmt::format("merges make \"{}\", which is no token", ShownName(joined)));
    if (id == last) continue;
    // All merges to one piece stand together, or their order is not one of scores.
    if (scores[static_cast<size_t>(id)] != 0.0) return NotSupported("merges that are not in the order of scores");
    scores[static_cast<size_t>(id)] = --rank;
    last = id;
  }
  metadata_.Set("tokenizer.ggml.model", Copy("llama"));
  metadata_.Set("tokenizer.ggml.pre", Copy("default"));
  metadata_.Set("tokenizer.ggml.scores", std::move(scores));
  metadata_.Set("tokenizer.ggml.add_space_prefix", *prefix);
  return OkStatus();
}

// A token named in tokenizer_config.json: its text, or an object with its content.
std::string_view NamedToken(const Json* json, std::string_view key) {
  const Json* value = Member(json, key);
  return value != nullptr && value->AsObject() != nullptr ? TextMember(value, "content") : TextOf(value);
}

// One id, or a list of them.
void AppendIds(const Json* json, std::string_view key, std::vector<uint64_t>* ids) {
  const Json* value = Member(json, key);
  if (value == nullptr) return;
  const auto add = [&](const Json& id) {
    const auto number = id.AsUint();
    if (number && std::ranges::find(*ids, *number) == ids->end()) ids->push_back(*number);
  };
  if (value->AsArray() == nullptr) return add(*value);
  for (const Json& id : *value->AsArray()) add(id);
}

// By the post-processor, which is what puts it there; the wish alone counts where there is none.
bool TokenizerReader::PutsBosInFront(std::string_view bos) const {
  const Json* processor = Member(&tokenizer_, "post_processor");
  for (const Json* part : Parts(processor, "processors")) {
    if (TextMember(part, "type") != "TemplateProcessing") continue;
    const Json* single = Member(part, "single");
    const Json::Array* list = single == nullptr ? nullptr : single->AsArray();
    if (list == nullptr || list->empty()) return false;
    return !bos.empty() && TextMember(Member(&list->front(), "SpecialToken"), "id") == bos;
  }
  return processor == nullptr && BoolMember(files_.tokenizer_config, "add_bos_token", false);
}

Status TokenizerReader::ReadNamedIds() {
  std::vector<uint64_t> begins, ends;
  const std::string_view bos = NamedToken(files_.tokenizer_config, "bos_token");
  const std::string_view eos = NamedToken(files_.tokenizer_config, "eos_token");
  if (const int64_t id = IdOf(bos); id >= 0) begins.push_back(static_cast<uint64_t>(id));
  if (const int64_t id = IdOf(eos); id >= 0) ends.push_back(static_cast<uint64_t>(id));
  AppendIds(files_.generation, "bos_token_id", &begins);
  AppendIds(files_.config, "bos_token_id", &begins);
  AppendIds(files_.generation, "eos_token_id", &ends);
  AppendIds(files_.config, "eos_token_id", &ends);
  if (!begins.empty()) metadata_.Set("tokenizer.ggml.bos_token_id", begins[0]);
  constexpr std::string_view kEndKeys[] = {"eos", "eot", "eom"};
  if (ends.size() > std::size(kEndKeys)) {
    return NotSupported(fmt::format("{} ids of eos_token_id; at most {} are read", ends.size(), std::size(kEndKeys)));
  }
  for (size_t i = 0; i < ends.size(); ++i) {
    metadata_.Set(fmt::format("tokenizer.ggml.{}_token_id", kEndKeys[i]), ends[i]);
  }
  const auto unknown = std::ranges::find(kinds_, static_cast<int64_t>(kUnknown));
  if (unknown != kinds_.end()) {
    metadata_.Set("tokenizer.ggml.unknown_token_id", static_cast<uint64_t>(unknown - kinds_.begin()));
  }
  const std::string_view first =
      !bos.empty() || begins.empty() || begins[0] >= pieces_.size() ? bos : pieces_[static_cast<size_t>(begins[0])];
  metadata_.Set("tokenizer.ggml.add_bos_token", PutsBosInFront(first));
  return OkStatus();
}

// chat_template.jinja, or the key: a string, or a list of named ones.
void TokenizerReader::ReadTemplate() {
  std::string_view text = files_.chat_template;
  const Json* json = Member(files_.tokenizer_config, "chat_template");
  if (text.empty() && json != nullptr) text = TextOf(json);
  if (text.empty() && json != nullptr && json->AsArray() != nullptr) {
    for (const Json& named : *json->AsArray()) {
      if (TextMember(&named, "name") == "default") text = TextMember(&named, "template");
    }
  }
  if (!text.empty()) metadata_.Set("tokenizer.chat_template", Copy(text));
}

void TokenizerReader::Store() {
  for (size_t id = 0; id < pieces_.size(); ++id) {
    if (pieces_[id].empty()) pieces_[id] = store_.Keep(fmt::format("[PAD{}]", id));
  }
  metadata_.Set("tokenizer.ggml.tokens", std::move(pieces_));
  metadata_.Set("tokenizer.ggml.token_type", std::move(kinds_));
}

}  // namespace

Status ReadHfTokenizer(const HfTokenizerFiles& files, HfStore& store, Metadata& metadata) {
  if (files.tokenizer == nullptr || files.tokenizer->AsObject() == nullptr) return Wrong("not an object");
  return TokenizerReader(files, store, metadata).Read();
}

}  // namespace pelton::format
