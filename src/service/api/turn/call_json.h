// One call of a tool, read while it is being written: {"name": "f", "arguments": {…}}. The members may
// stand in any order; arguments leave as soon as the name is known. Lenient: what is no JSON ends as bad or
// as arguments that are no JSON, never elsewhere. Linear in the text, and holds no more than it was given.
#pragma once

#include <string>
#include <string_view>

namespace pelton::api::turn {

class CallJson {  // thread-compatible
 public:
  CallJson() = default;
  // The object itself is the arguments; the name was written before it.
  explicit CallJson(std::string name) : whole_(true), has_name_(true), name_(std::move(name)) {}

  // The next character; the first is '{'. Nothing may follow done or bad.
  void Feed(char c);

  bool done() const { return done_; }
  bool bad() const { return bad_; }  // not the object of a call
  bool has_name() const { return has_name_; }
  const std::string& name() const { return name_; }
  // Arguments that have come and were not taken yet. Empty until the name is known.
  std::string TakeArguments();

 private:
  enum class At : uint8_t { kStart, kKey, kColon, kValue, kNext };
  enum class Role : uint8_t { kOther, kName, kArguments };

  void FeedString(char c);
  void FeedOutside(char c);
  void Begin(char c);
  void EndKey();
  void EndValue();
  void Keep(char c);

  bool whole_ = false;
  bool has_name_ = false;
  std::string name_;
  At at_ = At::kStart;
  Role role_ = Role::kOther;
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false;
  std::string token_;      // the key, or the name's value, as written
  std::string arguments_;  // not taken yet
  bool has_arguments_ = false;
  bool text_arguments_ = false;  // written as a string of JSON
  std::string text_;             // that string, as written
  bool done_ = false, bad_ = false;
};

}  // namespace pelton::api::turn
