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
  bool bare;  // an answer may be a call without the opener
};

Marks MarksOf(ToolSyntax syntax) {
  switch (syntax) {
    case ToolSyntax::kTags: return {"<tool_call>", "</tool_call>", false};
    case ToolSyntax::kJson: return {"<|python_tag|>", "", true};
    case ToolSyntax::kMistral: return {"[TOOL_CALLS]", "", false};
    case ToolSyntax::kPhi: return {"<|tool_call|>", "<|/tool_call|>", false};
  }
  return {};
}

bool IsSpace(char c) { return kSpace.find(c) != std::string_view::npos; }

// Bytes at the end of `text` that may begin `mark`.
size_t Begun(std::string_view text, std::string_view mark) {
  for (size_t n = std::min(text.size(), mark.size() - 1); n > 0; --n) {
    if (mark.starts_with(text.substr(text.size() - n))) return n;
  }
  return 0;
}

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
    case State::kThinking:
      FinishThinking();
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
  held_.push_back(text->front());
  text->remove_prefix(1);
  std::string_view seen = held_;
  seen.remove_prefix(std::min(seen.find_first_not_of(kSpace), seen.size()));
  if (kThink.starts_with(seen)) {
    if (seen.size() < kThink.size()) return;
    held_.clear();
    state_ = State::kThinking;
    return;
  }
  state_ = State::kText;
  const std::string again = std::exchange(held_, {});
  std::string_view rest = again;
  while (!rest.empty()) Step(&rest);
}

void AnswerReader::Think(std::string_view* text) {
  held_.append(*text);
  *text = {};
  const size_t end = held_.find(kThinkEnd);
  std::string_view thought = std::string_view(held_).substr(0, end);
  if (end == std::string::npos) thought.remove_suffix(Begun(thought, kThinkEnd));
  // White space at both ends goes; inside it waits for what follows.
  const size_t first = thought.find_first_not_of(kSpace);
  const size_t last = thought.find_last_not_of(kSpace);
  const bool begins = fresh_;
  if (first != std::string_view::npos) {
    Emit(AnswerPart::Kind::kReasoning, thought.substr(begins ? first : 0, last + 1 - (begins ? first : 0)));
    fresh_ = false;
  }
  if (end != std::string::npos) {
    const std::string rest = held_.substr(end + kThinkEnd.size());
    held_.clear();
    fresh_ = true;
    state_ = State::kAfterThinking;
    std::string_view more = rest;
    while (!more.empty()) Step(&more);
    return;
  }
  if (first != std::string_view::npos) held_.erase(0, last + 1);
}

// Cut off inside its thoughts: what could have been the mark's beginning is one of them.
void AnswerReader::FinishThinking() {
  const size_t first = held_.find_first_not_of(kSpace);
  if (first == std::string::npos) return;
  Emit(AnswerPart::Kind::kReasoning, std::string_view(held_).substr(fresh_ ? first : 0));
  held_.clear();
}

void AnswerReader::Text(std::string_view* text) {
  if (rules_.tools.empty()) {
    Emit(AnswerPart::Kind::kText, *text);
    *text = {};
    return;
  }
  const Marks marks = MarksOf(rules_.syntax);
  if (marks.bare && fresh_ && held_.empty()) {
    while (!text->empty() && IsSpace(text->front())) {
      space_.push_back(text->front());
      text->remove_prefix(1);
    }
    if (text->empty()) return;
    if (text->front() == '{') {
      state_ = State::kOpened;
      return;
    }
  }
  held_.append(*text);
  *text = {};
  const size_t at = held_.find(marks.opener);
  if (at == std::string::npos) {
    const size_t keep = Begun(held_, marks.opener);
    const std::string tail = held_.substr(held_.size() - keep);
    held_.resize(held_.size() - keep);
    EmitText(std::exchange(held_, tail));
    return;
  }
  const std::string rest = held_.substr(at + marks.opener.size());
  held_.resize(at);
  EmitText(std::exchange(held_, std::string(marks.opener)));
  state_ = State::kOpened;
  std::string_view more = rest;
  while (!more.empty()) Step(&more);
}

// Behind the opener: white space, a list's bracket, then an object, or Mistral's name.
void AnswerReader::Opened(std::string_view* text) {
  const char c = text->front();
  const bool list = rules_.syntax == ToolSyntax::kMistral || rules_.syntax == ToolSyntax::kPhi;
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
    if (!begun_) held_.push_back(c);
    const bool wrong = json_.bad() || (json_.has_name() && !IsTool(json_.name()));
    if (!begun_ && (wrong || held_.size() > kCallHeldMax)) {
      GiveBack();
      return;
    }
    if (!begun_ && json_.has_name()) {
      begun_ = true;
      held_.clear();
      space_.clear();
      fresh_ = false;
      parts_->push_back({.kind = AnswerPart::Kind::kCall, .text = json_.name(), .call = calls_++});
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
  const std::string_view closer = MarksOf(rules_.syntax).closer;
  const std::string next = held_ + c;
  if (!closer.empty() && closer.starts_with(next)) {
    held_ = next == closer ? std::string() : next;
    if (next == closer) state_ = State::kText;
    text->remove_prefix(1);
    return;
  }
  if (held_.empty() && (IsSpace(c) || c == ',' || c == ';' || c == ']')) {
    text->remove_prefix(1);
    return;
  }
  if (held_.empty() && c == '{') {
    BeginObject(CallJson());
    return;
  }
  state_ = State::kText;
  const std::string again = std::exchange(held_, {});
  std::string_view rest = again;
  while (!rest.empty()) Step(&rest);
}

void AnswerReader::GiveBack() {
  state_ = State::kText;
  EmitText(std::exchange(held_, {}));
}

// White space at the end waits: before a call it goes.
void AnswerReader::EmitText(std::string_view text) {
  if (text.empty()) return;
  if (text.find_first_not_of(kSpace) == std::string_view::npos) {
    space_ += text;
    return;
  }
  if (after_call_) text.remove_prefix(text.find_first_not_of(kSpace));
  if (!after_call_) Emit(AnswerPart::Kind::kText, space_);
  after_call_ = false;
  space_.clear();
  fresh_ = false;
  const size_t end = text.find_last_not_of(kSpace) + 1;
  Emit(AnswerPart::Kind::kText, text.substr(0, end));
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

}  // namespace pelton::api::turn
