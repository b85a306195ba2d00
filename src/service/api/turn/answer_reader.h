// What a model's answer is made of: thoughts, text, calls of tools. Reads the text as it comes, in any
// cuts with the same result and at linear cost (tests hold it to both). Text that only looks like a call stays text: nothing
// of an answer is lost but the marks around calls and thoughts and the white space beside them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/turn/call_json.h"
#include "backend/backend.h"

namespace pelton::api::turn {

struct AnswerRules {
  backend::ToolSyntax syntax = backend::ToolSyntax::kTags;
  std::vector<std::string> tools;  // names that may be called; none: calls are text
  bool one_call = false;           // what comes after the first call is dropped
  bool thinks = false;             // may begin with <think>
  bool opens_thinking = false;     // begins inside <think>
};

struct AnswerPart {
  enum class Kind : uint8_t { kText, kReasoning, kCall, kArguments };
  Kind kind = Kind::kText;
  std::string text;  // kCall: the tool's name
  int call = 0;      // of kCall and kArguments: which, from 0
  friend bool operator==(const AnswerPart&, const AnswerPart&) = default;
};

// Longest text that is held back until it is clear whether it is a call.
inline constexpr size_t kCallHeldMax = size_t{256} << 10;

class AnswerReader {  // thread-compatible
 public:
  explicit AnswerReader(AnswerRules rules);
  // Neighbouring parts of one kind are joined.
  void Push(std::string_view text, std::vector<AnswerPart>* parts);
  // The end: what was held back comes out. Once.
  void Finish(std::vector<AnswerPart>* parts);
  int calls() const { return calls_; }
  bool complete() const { return state_ == State::kDrop; }  // nothing that comes will count

 private:
  enum class State : uint8_t { kLead, kThinking, kAfterThinking, kText, kOpened, kName, kObject, kClosed, kDrop };

  void Step(std::string_view* text);
  void Lead(std::string_view* text);
  void Think(std::string_view* text);
  void Text(std::string_view* text);
  void Opened(std::string_view* text);
  void Name(std::string_view* text);
  void Object(std::string_view* text);
  void Closed(std::string_view* text);
  bool Seek(std::string_view mark, void (AnswerReader::*emit)(std::string_view), std::string_view* text);
  void BeginObject(CallJson json);
  void BeginCall();
  void EndCall();
  void Again();
  void GiveBack();  // what was held becomes text
  void EmitText(std::string_view text);
  void EmitThought(std::string_view text);
  void EmitHolding(AnswerPart::Kind kind, std::string_view text, bool leads);
  void Emit(AnswerPart::Kind kind, std::string_view text);
  bool IsTool(std::string_view name) const;

  const AnswerRules rules_;
  State state_;
  std::string held_;     // read, undecided: marks, or a call before its name is known
  std::string space_;    // white space that may stand before a mark
  CallJson json_;
  bool begun_ = false;   // the present call has been named
  bool fresh_ = true;    // no text yet but white space
  bool had_arguments_ = false;
  bool after_call_ = false;  // no text since the last call
  int calls_ = 0;
  std::vector<AnswerPart>* parts_ = nullptr;  // during Push and Finish
};

// A whole answer at once, behind what the model was made to begin with.
std::vector<AnswerPart> ReadAnswer(AnswerReader* reader, std::string_view prefix, std::string_view text);

}  // namespace pelton::api::turn
