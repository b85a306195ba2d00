#include "backend/sim/sim_text.h"

#include <array>

#include "codec/utf8.h"

namespace pelton::backend::sim {
namespace {

constexpr std::array<std::string_view, 3> kControl = {"<s>", "<|im_start|>", "<|im_end|>"};
constexpr std::array<std::string_view, kWords> kWordList = {
    " river",  " stone",  " light",  " paper",  " green",  " north",  " water",  " table",
    " seven",  " under",  " quiet",  " early",  " round",  " grain",  " metal",  " cloud",
    " horse",  " bread",  " glass",  " field",  " sound",  " night",  " house",  " small",
    " white",  " plain",  " sugar",  " above",  " after",  " begin",  " every",  " first",
    " great",  " heart",  " island", " jungle", " kettle", " lemon",  " market", " needle",
    " orange", " pencil", " rabbit", " silver", " timber", " update", " valley", " winter",
    " yellow", " animal", " bridge", " candle", " double", " engine", " forest", " garden",
    " hammer", " insect", " jacket", " ladder", " mirror", " number", " office", " people"};

void AppendBytes(std::string_view text, std::vector<TokenId>* ids) {
  for (const char c : text) ids->push_back(static_cast<unsigned char>(c));
}

}  // namespace

std::vector<TokenId> EncodeText(std::string_view text, const TokenizeOptions& options) {
  std::vector<TokenId> ids;
  ids.reserve(text.size() + 1);
  if (options.add_special) ids.push_back(kBos);
  while (!text.empty()) {
    if (options.parse_special) {
      bool matched = false;
      for (size_t i = 0; i < kControl.size() && !matched; ++i) {
        if (!text.starts_with(kControl[i])) continue;
        ids.push_back(kBos + static_cast<TokenId>(i));
        text.remove_prefix(kControl[i].size());
        matched = true;
      }
      if (matched) continue;
    }
    ids.push_back(static_cast<unsigned char>(text.front()));
    text.remove_prefix(1);
  }
  return ids;
}

std::vector<TokenId> EncodeChat(const ChatPrompt& prompt) {
  std::vector<TokenId> ids = {kBos};
  for (size_t i = 0; i < prompt.messages.size(); ++i) {
    const Message& message = prompt.messages[i];
    ids.push_back(kTurnBegin);
    AppendBytes(message.role, &ids);
    AppendBytes("\n", &ids);
    AppendBytes(message.content, &ids);
    if (prompt.continue_final_message && i + 1 == prompt.messages.size()) return ids;
    ids.push_back(kTurnEnd);
    AppendBytes("\n", &ids);
  }
  if (prompt.add_generation_prompt) {
    ids.push_back(kTurnBegin);
    AppendBytes("assistant\n", &ids);
  }
  return ids;
}

std::string PieceOf(TokenId id) {
  if (id < 0 || id >= kVocabSize) return "";
  if (id < kBos) return std::string(1, static_cast<char>(id));
  if (id < kFirstWord) return std::string(kControl[static_cast<size_t>(id - kBos)]);
  return std::string(kWordList[static_cast<size_t>(id - kFirstWord)]);
}

std::string DecodeIds(std::span<const TokenId> ids, bool special) {
  std::string bytes;
  for (const TokenId id : ids) {
    if (special || id < kBos || id >= kFirstWord) bytes += PieceOf(id);
  }
  return codec::SanitizeUtf8(bytes);
}

}  // namespace pelton::backend::sim
