// One-line log records on standard error: "2026-11-23T03:40:00.123Z info engine: text key=value".
// Thread-safe; a record is one write(2). Control characters in the text are escaped, so a record
// never spans lines. Never pass a key, a prompt or an answer.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace pelton {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };

void SetLogLevel(LogLevel level);
LogLevel CurrentLogLevel();
void WriteLog(LogLevel level, std::string_view room, std::string_view text);

template <typename... Args>
void Log(LogLevel level, std::string_view room, fmt::format_string<Args...> format, Args&&... args) {
  if (level < CurrentLogLevel()) return;
  WriteLog(level, room, fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void LogInfo(std::string_view room, fmt::format_string<Args...> format, Args&&... args) {
  Log(LogLevel::kInfo, room, format, std::forward<Args>(args)...);
}
template <typename... Args>
void LogWarn(std::string_view room, fmt::format_string<Args...> format, Args&&... args) {
  Log(LogLevel::kWarn, room, format, std::forward<Args>(args)...);
}
template <typename... Args>
void LogError(std::string_view room, fmt::format_string<Args...> format, Args&&... args) {
  Log(LogLevel::kError, room, format, std::forward<Args>(args)...);
}

}  // namespace pelton
