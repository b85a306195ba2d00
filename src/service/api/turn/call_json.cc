#include "api/turn/call_json.h"

#include <utility>

#include "codec/json.h"

namespace pelton::api::turn {
namespace {

// The string that JSON text in quotes stands for.
bool Decode(const std::string& quoted, std::string* out) {
  auto value = codec::ParseJson(quoted);
  if (!value.ok() || value->AsString() == nullptr) return false;
  *out = *value->AsString();
  return true;
}

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

}  // namespace

void CallJson::Feed(char c) {
  if (in_string_) {
    FeedString(c);
  } else {
    FeedOutside(c);
  }
}

void CallJson::Keep(char c) {
  if (whole_ || role_ == Role::kArguments) {
    (text_arguments_ ? text_ : arguments_).push_back(c);
  } else if (at_ == At::kKey || role_ == Role::kName) {
    token_.push_back(c);
  }
}

void CallJson::FeedString(char c) {
  Keep(c);
  if (escaped_) {
    escaped_ = false;
  } else if (c == '\\') {
    escaped_ = true;
  } else if (c == '"') {
    in_string_ = false;
    if (depth_ != 1 || whole_) return;
    if (at_ == At::kKey) {
      EndKey();
    } else if (at_ == At::kValue) {
      EndValue();
    }
  }
}

void CallJson::FeedOutside(char c) {
  if (depth_ == 0) {
    bad_ = c != '{';
    depth_ = 1;
    at_ = At::kKey;
    if (whole_) Keep(c);
    return;
  }
  if (whole_ || depth_ > 1) {
    Keep(c);
    if (c == '"') in_string_ = true;
    if (c == '{' || c == '[') ++depth_;
    if (c != '}' && c != ']') return;
    --depth_;
    if (whole_) {
      done_ = depth_ == 0;
    } else if (depth_ == 1) {
      EndValue();
    }
    return;
  }
  if (IsSpace(c)) return;
  switch (at_) {
    case At::kKey:
      token_.clear();
      role_ = Role::kOther;
      if (c == '}') {
        done_ = true;
        bad_ = !has_name_;
      } else if (c == '"') {
        in_string_ = true;
        token_.push_back(c);
      } else {
        bad_ = true;
      }
      return;
    case At::kColon:
      bad_ = c != ':';
      at_ = At::kValue;
      return;
    case At::kValue:
      Begin(c);
      return;
    case At::kNext:
      if (c == ',') {
        at_ = At::kKey;
      } else if (c == '}') {
        done_ = true;
        bad_ = !has_name_;
      } else {
        bad_ = true;
      }
      return;
    case At::kStart:
      return;
  }
}

// A value's character at depth 1: its first, or one of a number or word.
void CallJson::Begin(char c) {
  if (c == '"') {
    text_arguments_ = role_ == Role::kArguments;
    in_string_ = true;
    Keep(c);
  } else if (c == '{' || c == '[') {
    ++depth_;
    Keep(c);
    bad_ = role_ == Role::kName;
  } else if (c == ',' || c == '}') {  // after a number or word
    EndValue();
    FeedOutside(c);
  } else if (role_ != Role::kOther) {
    // null and numbers are no arguments, and no name.
    bad_ = role_ == Role::kName;
  }
}

void CallJson::EndKey() {
  std::string key;
  if (!Decode(token_, &key)) {
    bad_ = true;
    return;
  }
  token_.clear();
  role_ = key == "name" ? Role::kName
          : key == "arguments" || key == "parameters" ? Role::kArguments
                                                      : Role::kOther;
  bad_ = (role_ == Role::kName && has_name_) || (role_ == Role::kArguments && has_arguments_);
  at_ = At::kColon;
}

void CallJson::EndValue() {
  if (role_ == Role::kName) {
    has_name_ = Decode(token_, &name_);
    bad_ = bad_ || !has_name_ || name_.empty();
  } else if (role_ == Role::kArguments) {
    has_arguments_ = true;
    if (text_arguments_) bad_ = bad_ || !Decode(text_, &arguments_);
  }
  role_ = Role::kOther;
  at_ = At::kNext;
}

std::string CallJson::TakeArguments() {
  if (!has_name_ || (text_arguments_ && !has_arguments_)) return {};
  return std::exchange(arguments_, {});
}

}  // namespace pelton::api::turn
