#include "config/node.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/parser.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <exception>
#include <sstream>
#include <string>

namespace pelton::config {

Node::Node() = default;
Node::Node(const Node&) = default;
Node::Node(Node&&) noexcept = default;
Node& Node::operator=(const Node&) = default;
Node& Node::operator=(Node&&) noexcept = default;
Node::~Node() = default;

namespace {

std::string AtLine(int line, std::string text) {
  return "line " + std::to_string(line) + ": " + std::move(text);
}

// Recursion is bounded by kYamlDepthMax, and work by kYamlNodesMax.
Status Convert(const YAML::Node& from, int depth, size_t* budget, Node* to) {
  to->line = from.Mark().line + 1;
  if (depth > kYamlDepthMax) return InvalidArgument(AtLine(to->line, "nested too deeply"));
  if (*budget == 0) return InvalidArgument(AtLine(to->line, "too many values"));
  --*budget;
  switch (from.Type()) {
    case YAML::NodeType::Undefined:
    case YAML::NodeType::Null:
      to->kind = Node::Kind::kNull;
      return OkStatus();
    case YAML::NodeType::Scalar:
      to->kind = Node::Kind::kScalar;
      to->scalar = from.Scalar();
      return OkStatus();
    case YAML::NodeType::Sequence:
      to->kind = Node::Kind::kList;
      for (const auto& item : from) {
        RETURN_IF_ERROR(Convert(item, depth + 1, budget, &to->items.emplace_back()));
      }
      return OkStatus();
    case YAML::NodeType::Map:
      break;
  }
  to->kind = Node::Kind::kMap;
  for (const auto& member : from) {
    if (!member.first.IsScalar()) return InvalidArgument(AtLine(to->line, "a key must be a word"));
    const std::string key = member.first.Scalar();
    const int line = member.first.Mark().line + 1;
    const bool seen = std::any_of(to->members.begin(), to->members.end(),
                                  [&](const auto& m) { return m.first == key; });
    if (seen) return InvalidArgument(AtLine(line, "'" + key + "' is given twice"));
    Node value;
    RETURN_IF_ERROR(Convert(member.second, depth + 1, budget, &value));
    value.line = line;
    to->members.emplace_back(key, std::move(value));
  }
  return OkStatus();
}

// yaml-cpp recurses on flow collections; refuse absurd nesting before it sees the text.
bool NestsTooDeeply(std::string_view text) {
  int depth = 0;
  for (const char c : text) {
    if (c == '[' || c == '{') {
      if (++depth > 64) return true;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

// Block collections nest by indentation ("- - - -"): a line of many dashes is the same attack.
bool LongDashRun(std::string_view text) {
  int run = 0;
  for (const char c : text) {
    if (c == '-' || c == '?' || c == ':') {
      if (++run > 64) return true;
    } else if (c != ' ') {
      run = 0;
    }
  }
  return false;
}

class IgnoreEvents : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

// Not YAML::LoadAll: on text that starts no node, such as ",", the library (0.7) finds one empty
// document after another at the same place and never ends.
bool MoreThanOneDocument(const std::string& text) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  IgnoreEvents ignore;
  return parser.HandleNextDocument(ignore) && parser.HandleNextDocument(ignore);
}

}  // namespace

Result<Node> ParseYaml(std::string_view text) {
  if (text.size() > kYamlBytesMax) return InvalidArgument("the file is larger than 1 MiB");
  if (NestsTooDeeply(text) || LongDashRun(text)) return InvalidArgument("nested too deeply");
  try {
    const std::string copy(text);
    if (MoreThanOneDocument(copy)) return InvalidArgument("more than one document, or text after it");
    Node root;
    size_t budget = kYamlNodesMax;
    RETURN_IF_ERROR(Convert(YAML::Load(copy), 0, &budget, &root));
    return root;
  } catch (const YAML::Exception& error) {
    return InvalidArgument(AtLine(error.mark.line + 1, error.msg));
  } catch (const std::exception& error) {
    return InvalidArgument(std::string("not readable as YAML: ") + error.what());
  }
}

}  // namespace pelton::config
