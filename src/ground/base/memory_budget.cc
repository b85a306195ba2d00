#include "base/memory_budget.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/assert.h"

namespace pelton {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kReserveLeast = 64 * kMiB;
constexpr uint64_t kReserveMost = 1024 * kMiB;
constexpr uint64_t kReserveDivisor = 32;
constexpr double kBytesMax = 1e15;

// The factor of a unit; 0 for an unknown one.
double FactorOf(std::string_view unit) {
  constexpr std::string_view kLetters = "KMGT";
  if (unit.empty() || unit == "B") return 1;
  const size_t power = kLetters.find(static_cast<char>(std::toupper(unit.front())));
  if (power == std::string_view::npos) return 0;
  const std::string_view rest = unit.substr(1);
  const auto exponent = static_cast<double>(power + 1);
  if (rest == "i" || rest == "iB") return std::pow(1024., exponent);
  if (rest.empty() || rest == "B" || rest == "b") return std::pow(1000., exponent);
  return 0;
}

}  // namespace

Result<ByteSize> ByteSize::FromFlag(std::string_view word) {
  double number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  std::string_view unit = word.substr(static_cast<size_t>(end - word.data()));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  const double bytes = error == std::errc() ? number * FactorOf(unit) : 0;
  if (!(bytes >= 1) || bytes > kBytesMax) {
    return InvalidArgument(fmt::format("must be a size such as 4GiB or 900MB, not \"{}\"", word));
  }
  return ByteSize{static_cast<uint64_t>(bytes)};
}

std::string MiBText(uint64_t bytes) { return fmt::format("{} MiB", bytes / kMiB + (bytes % kMiB != 0)); }

uint64_t MemoryBudget::ReserveOf(uint64_t limit_bytes) {
  return std::min(kReserveMost, kReserveLeast + limit_bytes / kReserveDivisor);
}

Result<MemoryBudget::Limits> MemoryBudget::ChooseLimits(uint64_t wanted, const MemoryState& state) {
  Limits limits;
  if (wanted > state.limit_bytes) {
    return FailedPrecondition(fmt::format(
        "--memory is {}, but {} leaves {}", MiBText(wanted),
        state.limited_by_cgroup ? "the cgroup's limit" : "this machine", MiBText(state.limit_bytes)));
  }
  if (wanted != 0) {
    limits.limit_bytes = wanted;
    limits.source = "--memory";
  } else {
    limits.limit_bytes =
        std::min(state.limit_bytes, state.available_bytes + state.resident_bytes);
    limits.source = state.limited_by_cgroup ? "cgroup" : "machine";
  }
  limits.reserve_bytes = ReserveOf(limits.limit_bytes);
  if (limits.reserve_bytes >= limits.limit_bytes) {
    return FailedPrecondition(fmt::format(
        "the memory budget is {} ({}), and the program alone is given {}; give it more",
        MiBText(limits.limit_bytes), limits.source, MiBText(limits.reserve_bytes)));
  }
  return limits;
}

MemoryBudget::Hold& MemoryBudget::Hold::operator=(Hold&& other) noexcept {
  std::swap(budget_, other.budget_);
  std::swap(name_, other.name_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MemoryBudget::Hold::~Hold() {
  if (budget_ == nullptr) return;
  const std::lock_guard lock(budget_->mutex_);
  budget_->held_bytes_ -= bytes_;
  const auto holder = budget_->holders_.find(name_);
  if (BUG_IF(holder == budget_->holders_.end(), "memory given back that nobody held")) return;
  holder->second -= bytes_;
  if (holder->second == 0) budget_->holders_.erase(holder);
}

Result<MemoryBudget::Hold> MemoryBudget::Take(std::string name, uint64_t bytes) {
  Hold hold;
  if (bytes == 0) return hold;
  const std::lock_guard lock(mutex_);
  if (bytes > FreeLocked()) {
    return ResourceExhausted(fmt::format("{} needs {} of memory, but {} are free in the {}", name,
                                         MiBText(bytes), MiBText(FreeLocked()), TextLocked()));
  }
  held_bytes_ += bytes;
  holders_[name] += bytes;
  hold.budget_ = this;
  hold.name_ = std::move(name);
  hold.bytes_ = bytes;
  return hold;
}

uint64_t MemoryBudget::FreeLocked() const {
  const uint64_t gone = limits_.reserve_bytes + held_bytes_;
  return limits_.limit_bytes > gone ? limits_.limit_bytes - gone : 0;
}

uint64_t MemoryBudget::held_bytes() const {
  const std::lock_guard lock(mutex_);
  return held_bytes_;
}

uint64_t MemoryBudget::free_bytes() const {
  const std::lock_guard lock(mutex_);
  return FreeLocked();
}

std::vector<std::pair<std::string, uint64_t>> MemoryBudget::Holders() const {
  const std::lock_guard lock(mutex_);
  return {holders_.begin(), holders_.end()};
}

std::string MemoryBudget::TextLocked() const {
  std::string text = fmt::format("budget of {} ({}), {} of it reserved", MiBText(limits_.limit_bytes),
                                 limits_.source, MiBText(limits_.reserve_bytes));
  const char* separator = "; held: ";
  for (const auto& [name, bytes] : holders_) {
    text += fmt::format("{}{} {}", separator, name, MiBText(bytes));
    separator = ", ";
  }
  return text;
}

std::string MemoryBudget::Text() const {
  const std::lock_guard lock(mutex_);
  return TextLocked();
}

Result<MemoryBudget::Hold> MemoryShare::Take(std::string_view part, uint64_t bytes) const {
  if (budget != nullptr) return budget->Take(fmt::format("{}/{}", owner, part), bytes);
  const uint64_t available = ReadMemoryState().available_bytes;
  if (bytes <= available) return MemoryBudget::Hold();
  return ResourceExhausted(fmt::format("the {} need {} of memory, {} are available", part,
                                       MiBText(bytes), MiBText(available)));
}

uint64_t MemoryShare::Free() const {
  const uint64_t available = ReadMemoryState().available_bytes;
  return budget == nullptr ? available : std::min(available, budget->free_bytes());
}

uint64_t MemoryShare::KvDefault() const {
  const uint64_t free = Free();
  return (free - std::min(free, others_bytes)) / (static_cast<uint64_t>(others) + 1);
}

std::string MemoryShare::Text() const {
  return budget == nullptr ? "memory available" : budget->Text();
}

}  // namespace pelton
