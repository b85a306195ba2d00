#include "api/turn/answer_reader.h"

#include <algorithm>
#include <utility>

namespace pelton::api::turn {
namespace {

using backend::ToolSyntax;

constexpr std::string_view kThink = "<think>", kThinkEnd = "</think>";
constexpr std::string_view kSpace = " \n\r\t";
constexpr size_t kNameMax = 256;

struct Marks {
  std::string_view opener, closer;
  std::string_view between;  // what may stand beside calls besides white space
  bool bare = false;         // an answer may be a call without the opener
  bool list = false;         // calls may stand in brackets
};

// The first character of an opener, and of kThinkEnd, does not come again in it: where a match breaks off,
// only the present character can begin another.
Marks MarksOf(ToolSyntax syntax) {
  switch (syntax) {
    case ToolSyntax::kTags: return {.opener = "<tool_call>", .closer = "</tool_call>", .between = ""};
    case ToolSyntax::kJson: return {.opener = "<|python_tag|>", .closer = "", .between = ";", .bare = true};
    case ToolSyntax::kMistral: return {.opener = "[TOOL_CALLS]", .closer = "", .between = ",]", .list = true};
    case ToolSyntax::kPhi:
      return {.opener = "<|tool_call|>", .closer = "<|/tool_call|>", .between = ",]", .list = true};
  }
  return {};
}

bool IsSpace(char c) { return kSpace.find(c) != std::string_view::npos; }

}  // namespace

AnswerReader::AnswerReader(AnswerRules rules)
    : rules_(std::move(rules)),
      state_(rules_.opens_thinking ? State::kThinking : rules_.thinks ? State::kLead : State::kText) {}

void AnswerReader::Push(std::string_view text, std::vector<AnswerPart>* parts) {
  parts_ = parts;
  while (!text.empty()) Step(&text);
  parts_ = nullptr;
}

void AnswerReader::Finish(std::vector<AnswerPart>* parts) {
  parts_ = parts;
  switch (state_) {
    case State::kLead:
    case State::kText:
    case State::kOpened:
    case State::kName:
      GiveBack();
      break;
    case State::kThinking:  // cut off: what could have been the mark's beginning is a thought
      EmitThought(std::exchange(held_, {}));
      space_.clear();
      break;
    case State::kObject:
      if (!begun_) GiveBack();
      break;
    case State::kAfterThinking:
    case State::kClosed:
    case State::kDrop:
      break;
  }
  // White space at the end belongs to the text, unless a call came before it.
  if (calls_ == 0) Emit(AnswerPart::Kind::kText, space_);
  parts_ = nullptr;
}

void AnswerReader::Step(std::string_view* text) {
  switch (state_) {
    case State::kLead: return Lead(text);
    case State::kThinking: return Think(text);
    case State::kAfterThinking: {
      const size_t at = std::min(text->find_first_not_of(kSpace), text->size());
      text->remove_prefix(at);
      if (!text->empty()) state_ = State::kText;
      return;
    }
    case State::kText: return Text(text);
    case State::kOpened: return Opened(text);
    case State::kName: return Name(text);
    case State::kObject: return Object(text);
    case State::kClosed: return Closed(text);
    case State::kDrop: *text = {}; return;
  }
}

// White space, then <think> or anything else.
void AnswerReader::Lead(std::string_view* text) {
  const char c = text->front();
  if (held_.empty() && IsSpace(c)) {
    space_.push_back(c);
    text->remove_prefix(1);
  } else if (c != kThink[held_.size()]) {
    Again();
  } else {
    held_.push_back(c);
    text->remove_prefix(1);
    if (held_.size() < kThink.size()) return;
    held_.clear();
    space_.clear();
    state_ = State::kThinking;
  }
}

// Reads up to `mark` and emits what comes before it. True when the mark is complete: it is in held_.
bool AnswerReader::Seek(std::string_view mark, void (AnswerReader::*emit)(std::string_view), std::string_view* text) {
  while (!text->empty()) {
    if (held_.empty()) {
      const size_t at = std::min(text->find(mark.front()), text->size());
      (this->*emit)(text->substr(0, at));
      text->remove_prefix(at);
      if (text->empty()) return false;
    }
    if (text->front() != mark[held_.size()]) {
      (this->*emit)(std::exchange(held_, {}));
      continue;
    }
    held_.push_back(text->front());
    text->remove_prefix(1);
    if (held_.size() == mark.size()) return true;
  }
  return false;
}

void AnswerReader::Think(std::string_view* text) {
  if (!Seek(kThinkEnd, &AnswerReader::EmitThought, text)) return;
  held_.clear();
  space_.clear();
  fresh_ = true;
  state_ = State::kAfterThinking;
}

void AnswerReader::Text(std::string_view* text) {
  if (rules_.tools.empty()) {
    Emit(AnswerPart::Kind::kText, std::exchange(space_, {}));  // of Lead
    Emit(AnswerPart::Kind::kText, *text);
    *text = {};
    return;
  }
  const Marks marks = MarksOf(rules_.syntax);
  if (marks.bare && fresh_ && held_.empty()) {
    const size_t at = std::min(text->find_first_not_of(kSpace), text->size());
    space_ += text->substr(0, at);
    text->remove_prefix(at);
    if (text->empty()) return;
    if (text->front() == '{') {
      state_ = State::kOpened;
      return;
    }
  }
  if (Seek(marks.opener, &AnswerReader::EmitText, text)) state_ = State::kOpened;
}

// Behind the opener: white space, a list's bracket, then an object, or Mistral's name.
void AnswerReader::Opened(std::string_view* text) {
  const char c = text->front();
  const bool list = MarksOf(rules_.syntax).list;
  if (c == '{') {
    BeginObject(CallJson());
    return;
  }
  if (IsSpace(c) || (c == '[' && list)) {
    held_.push_back(c);
    text->remove_prefix(1);
    if (held_.size() > kNameMax) GiveBack();
  } else if (rules_.syntax == ToolSyntax::kMistral && held_.find('[', 1) == std::string::npos) {
    state_ = State::kName;
  } else {
    GiveBack();
  }
}

// [TOOL_CALLS]name[ARGS]{…}
void AnswerReader::Name(std::string_view* text) {
  const char c = text->front();
  if (c != '{') {
    held_.push_back(c);
    text->remove_prefix(1);
    if (held_.size() > kNameMax) GiveBack();
    return;
  }
  std::string_view name = std::string_view(held_).substr(MarksOf(rules_.syntax).opener.size());
  name = name.substr(0, name.find('['));
  while (!name.empty() && IsSpace(name.front())) name.remove_prefix(1);
  while (!name.empty() && IsSpace(name.back())) name.remove_suffix(1);
  if (IsTool(name)) {
    BeginObject(CallJson(std::string(name)));
  } else {
    GiveBack();
  }
}

void AnswerReader::BeginObject(CallJson json) {
  json_ = std::move(json);
  begun_ = false;
  had_arguments_ = false;
  state_ = State::kObject;
}

void AnswerReader::Object(std::string_view* text) {
  while (!text->empty()) {
    const std::string_view here = *text;
    const char c = text->front();
    text->remove_prefix(1);
    json_.Feed(c);
    if (!begun_) {
      held_.push_back(c);
      const bool wrong = json_.bad() || (json_.has_name() && !IsTool(json_.name()));
      if (wrong || held_.size() > kCallHeldMax) {
        GiveBack();
        return;
      }
      if (json_.has_name()) BeginCall();
    }
    if (json_.done() || json_.bad()) {
      if (json_.bad()) *text = here;  // a brace was forgotten: this belongs to what follows
      EndCall();
      return;
    }
  }
  if (!begun_) return;
  const std::string arguments = json_.TakeArguments();
  had_arguments_ = had_arguments_ || !arguments.empty();
  Emit(AnswerPart::Kind::kArguments, arguments);
}

void AnswerReader::BeginCall() {
  begun_ = true;
  held_.clear();
  space_.clear();
  fresh_ = false;
  parts_->push_back({.kind = AnswerPart::Kind::kCall, .text = json_.name(), .call = calls_++});
}

void AnswerReader::EndCall() {
  std::string arguments = json_.TakeArguments();
  if (arguments.empty() && !had_arguments_) arguments = "{}";
  Emit(AnswerPart::Kind::kArguments, arguments);
  after_call_ = true;
  state_ = rules_.one_call ? State::kDrop : State::kClosed;
}

// Behind a call: white space, the closer, what parts calls, the next call, or text.
void AnswerReader::Closed(std::string_view* text) {
  const char c = text->front();
  const Marks marks = MarksOf(rules_.syntax);
  if (!marks.closer.empty() && c == marks.closer[held_.size()]) {
    held_.push_back(c);
    text->remove_prefix(1);
    if (held_.size() < marks.closer.size()) return;
    held_.clear();
    state_ = State::kText;
  } else if (held_.empty() && (IsSpace(c) || marks.between.find(c) != std::string_view::npos)) {
    text->remove_prefix(1);
  } else if (held_.empty() && c == '{') {
    BeginObject(CallJson());
  } else {
    Again();
  }
}

// What was held for another mark, a few characters at most, is read as text.
void AnswerReader::Again() {
  state_ = State::kText;
  const std::string again = std::exchange(held_, {});
  std::string_view rest = again;
  while (!rest.empty()) Step(&rest);
}

void AnswerReader::GiveBack() {
  state_ = State::kText;
  EmitText(std::exchange(held_, {}));
}

void AnswerReader::EmitText(std::string_view text) {
  EmitHolding(AnswerPart::Kind::kText, text, /*leads=*/after_call_);
  if (text.find_first_not_of(kSpace) != std::string_view::npos) after_call_ = false;
}

void AnswerReader::EmitThought(std::string_view text) {
  EmitHolding(AnswerPart::Kind::kReasoning, text, /*leads=*/fresh_);
}

// White space at the end waits: before a mark it goes. So does what leads, behind a mark.
void AnswerReader::EmitHolding(AnswerPart::Kind kind, std::string_view text, bool leads) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) {
    space_ += text;
    return;
  }
  if (leads) {
    text.remove_prefix(first);
  } else {
    Emit(kind, space_);
  }
  fresh_ = false;
  const size_t end = text.find_last_not_of(kSpace) + 1;
  Emit(kind, text.substr(0, end));
  space_ = text.substr(end);
}

void AnswerReader::Emit(AnswerPart::Kind kind, std::string_view text) {
  if (text.empty()) return;
  const bool call = kind == AnswerPart::Kind::kArguments;
  if (!parts_->empty() && parts_->back().kind == kind && (!call || parts_->back().call == calls_ - 1)) {
    parts_->back().text += text;
    return;
  }
  parts_->push_back({.kind = kind, .text = std::string(text), .call = call ? calls_ - 1 : 0});
}

bool AnswerReader::IsTool(std::string_view name) const {
  return std::find(rules_.tools.begin(), rules_.tools.end(), name) != rules_.tools.end();
}

std::vector<AnswerPart> ReadAnswer(AnswerReader* reader, std::string_view prefix, std::string_view text) {
  std::vector<AnswerPart> parts;
  reader->Push(prefix, &parts);
  reader->Push(text, &parts);
  reader->Finish(&parts);
  return parts;
}

}  // namespace pelton::api::turn
