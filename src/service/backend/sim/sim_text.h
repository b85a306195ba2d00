// The text side of a simulated model: a byte vocabulary with three control tokens and sixty-four
// words that answers are made of. Pure functions.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"

namespace pelton::backend::sim {

// Ids 0 … 255 are bytes, then the control tokens, then the words.
inline constexpr TokenId kBos = 256;       // "<s>"
inline constexpr TokenId kTurnBegin = 257; // "<|im_start|>"
inline constexpr TokenId kTurnEnd = 258;   // "<|im_end|>"
inline constexpr TokenId kFirstWord = 259;
inline constexpr int kWords = 64;
inline constexpr int kVocabSize = kFirstWord + kWords;

std::vector<TokenId> EncodeText(std::string_view text, const TokenizeOptions& options);
std::vector<TokenId> EncodeChat(const ChatPrompt& prompt);  // ChatML
std::string PieceOf(TokenId id);
// Control tokens give nothing unless `special`; bytes that are not UTF-8 become U+FFFD.
std::string DecodeIds(std::span<const TokenId> ids, bool special);

}  // namespace pelton::backend::sim
