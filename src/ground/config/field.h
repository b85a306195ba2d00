// One declaration an option. A struct of options has one member
//
//   template <typename V> void Fields(V& v) {
//     v.Field("port", port, {.help = "Port to listen on; 0 lets the kernel choose.", .max = 65535});
//   }
//
// and from it come the flag (--port), the environment variable (PELTON_PORT), the YAML key (port),
// --help, shell completion, the JSON schema and the reference page. Names are written with hyphens;
// YAML writes them with underscores. The member's initial value is the default.
//
// Not thread-safe; used while starting and reloading.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/status.h"
#include "config/node.h"

namespace pelton::config {

struct FieldSpec {
  std::string_view help;             // one sentence: what it does, unit, what more or less of it costs
  std::string_view value_name = {};  // shown in --help, "FILE"; by default the type
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  std::vector<std::string_view> choices = {};  // for strings: nothing else is accepted
  bool yaml_only = false;            // no flag and no variable (lists of structs)
  bool secret = false;               // never printed
};

// A type that a flag can write as one word: gives its own parser.
template <typename T>
concept FromWord = requires(std::string_view word) {
  { T::FromFlag(word) } -> std::same_as<Result<T>>;
};

template <typename T>
concept HasFields = std::is_class_v<T> && requires(T t, int& v) { t.template Fields<int>(v); };

struct Field {
  std::string name;      // "tbt-target-ms"
  std::string group;     // heading in --help
  FieldSpec spec;
  std::string type;      // "integer", "number", "string", "boolean", "list of string", "list of object"
  std::string default_text;
  bool repeatable = false;
  bool is_switch = false;  // a boolean: the flag needs no value, --no-name sets false
  std::function<Status(std::string_view word)> set_word;  // appends when repeatable
  std::function<void()> clear;                            // before a source replaces a list
  std::function<Status(const Node& node)> set_node;
  std::vector<Field> members;  // of a list of objects, for the reference page and the schema
};

std::string YamlKey(std::string_view name);         // "tbt_target_ms"
std::string VariableName(std::string_view name);    // "PELTON_TBT_TARGET_MS"

namespace internal {

Result<bool> ParseBool(std::string_view word);
Result<double> ParseNumber(std::string_view word);
Result<int64_t> ParseInteger(std::string_view word);
Status CheckRange(double value, const FieldSpec& spec);
Status CheckChoice(std::string_view value, const FieldSpec& spec);
std::string NumberText(double value);
Result<std::string> ScalarOf(const Node& node);
Status FillMembers(std::vector<Field>& members, const Node& node);

template <typename T>
Status ParseInto(std::string_view word, const FieldSpec& spec, T* out) {
  if constexpr (std::is_same_v<T, bool>) {
    auto value = ParseBool(word);
    if (!value.ok()) return value.status();
    *out = *value;
  } else if constexpr (std::is_same_v<T, std::string>) {
    RETURN_IF_ERROR(CheckChoice(word, spec));
    *out = std::string(word);
  } else if constexpr (std::is_integral_v<T>) {
    auto value = ParseInteger(word);
    if (!value.ok()) return value.status();
    RETURN_IF_ERROR(CheckRange(static_cast<double>(*value), spec));
    if (!std::in_range<T>(*value)) return InvalidArgument("is out of range");
    *out = static_cast<T>(*value);
  } else if constexpr (std::is_floating_point_v<T>) {
    auto value = ParseNumber(word);
    if (!value.ok()) return value.status();
    RETURN_IF_ERROR(CheckRange(*value, spec));
    *out = static_cast<T>(*value);
  } else {
    static_assert(FromWord<T>, "no way to read this type from a word");
    auto value = T::FromFlag(word);
    if (!value.ok()) return value.status();
    *out = std::move(value).value();
  }
  return OkStatus();
}

template <typename T>
constexpr std::string_view TypeName() {
  if constexpr (std::is_same_v<T, bool>) return "boolean";
  else if constexpr (std::is_integral_v<T>) return "integer";
  else if constexpr (std::is_floating_point_v<T>) return "number";
  else if constexpr (HasFields<T>) return "object";
  else return "string";
}

template <typename T>
std::string TextOf(const T& value) {
  if constexpr (std::is_same_v<T, bool>) return value ? "true" : "false";
  else if constexpr (std::is_integral_v<T>) return std::to_string(value);
  else if constexpr (std::is_floating_point_v<T>) return NumberText(value);
  else if constexpr (std::is_same_v<T, std::string>) return value;
  else return "";
}

}  // namespace internal

// The visitor: collects the fields of one or more structs, bound to the very objects visited, which
// must outlive the binder.
class Binder {
 public:
  void Group(std::string_view heading) { group_ = heading; }

  template <typename T>
  void Field(std::string_view name, T& target, FieldSpec spec) {
    config::Field f = Start(name, std::move(spec), internal::TypeName<T>());
    f.is_switch = std::is_same_v<T, bool>;
    f.default_text = internal::TextOf(target);
    f.set_word = [&target, spec = f.spec](std::string_view w) {
      return internal::ParseInto(w, spec, &target);
    };
    f.set_node = [&target, spec = f.spec](const Node& node) -> Status {
      auto word = internal::ScalarOf(node);
      if (!word.ok()) return word.status();
      return internal::ParseInto(*word, spec, &target);
    };
    fields_.push_back(std::move(f));
  }

  template <typename T>
  void Field(std::string_view name, std::optional<T>& target, FieldSpec spec) {
    config::Field f = Start(name, std::move(spec), internal::TypeName<T>());
    f.set_word = [&target, spec = f.spec](std::string_view w) -> Status {
      T value{};
      RETURN_IF_ERROR(internal::ParseInto(w, spec, &value));
      target = std::move(value);
      return OkStatus();
    };
    f.set_node = [set = f.set_word](const Node& node) -> Status {
      auto word = internal::ScalarOf(node);
      return word.ok() ? set(*word) : word.status();
    };
    fields_.push_back(std::move(f));
  }

  template <typename T>
  void Field(std::string_view name, std::vector<T>& target, FieldSpec spec) {
    config::Field f = Start(name, std::move(spec), internal::TypeName<T>());
    f.type = "list of " + f.type;
    f.repeatable = true;
    f.clear = [&target] { target.clear(); };
    if constexpr (!HasFields<T> || FromWord<T>) {
      if (!f.spec.yaml_only) f.set_word = [&target, spec = f.spec](std::string_view w) -> Status {
        T value{};
        RETURN_IF_ERROR(internal::ParseInto(w, spec, &value));
        target.push_back(std::move(value));
        return OkStatus();
      };
    }
    if constexpr (HasFields<T>) {
      T sample{};
      Binder members;
      sample.Fields(members);
      f.members = std::move(members.fields_);
      f.set_node = [&target](const Node& node) { return FillObjects(target, node); };
    } else {
      f.set_node = [&target, spec = f.spec](const Node& node) -> Status {
        if (node.kind != Node::Kind::kList) return InvalidArgument("must be a list");
        target.clear();
        for (const Node& item : node.items) {
          auto word = internal::ScalarOf(item);
          if (!word.ok()) return word.status();
          T value{};
          RETURN_IF_ERROR(internal::ParseInto(*word, spec, &value));
          target.push_back(std::move(value));
        }
        return OkStatus();
      };
    }
    fields_.push_back(std::move(f));
  }

  std::vector<config::Field>& fields() { return fields_; }

 private:
  config::Field Start(std::string_view name, FieldSpec spec, std::string_view type) {
    config::Field f;
    f.name = name;
    f.group = group_;
    f.spec = std::move(spec);
    f.type = type;
    return f;
  }

  template <typename T>
  static Status FillObjects(std::vector<T>& target, const Node& node) {
    if (node.kind != Node::Kind::kList) return InvalidArgument("must be a list");
    target.clear();
    for (const Node& item : node.items) {
      T value{};
      if (item.kind == Node::Kind::kScalar) {
        if constexpr (FromWord<T>) {
          RETURN_IF_ERROR(internal::ParseInto(item.scalar, FieldSpec{}, &value));
          target.push_back(std::move(value));
          continue;
        }
      }
      Binder members;
      value.Fields(members);
      RETURN_IF_ERROR(internal::FillMembers(members.fields_, item));
      target.push_back(std::move(value));
    }
    return OkStatus();
  }

  std::string group_;
  std::vector<config::Field> fields_;
};

}  // namespace pelton::config
