// Arithmetic on numbers that a file or a client supplied: the result, or nothing on overflow.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>

namespace pelton {

template <std::integral T>
constexpr std::optional<T> CheckedAdd(T a, T b) {
  T out{};
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

template <std::integral T>
constexpr std::optional<T> CheckedMul(T a, T b) {
  T out{};
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

template <std::integral T>
constexpr std::optional<T> CheckedSub(T a, T b) {
  T out{};
  if (__builtin_sub_overflow(a, b, &out)) return std::nullopt;
  return out;
}

// `v` as a To when it fits.
template <std::integral To, std::integral From>
constexpr std::optional<To> CheckedCast(From v) {
  To out{};
  if (__builtin_add_overflow(v, From{0}, &out)) return std::nullopt;
  return out;
}

// The next multiple of `align` (> 0) at or above `v`.
template <std::unsigned_integral T>
constexpr std::optional<T> CheckedAlignUp(T v, T align) {
  if (align == 0) return std::nullopt;
  const T rest = v % align;
  return rest == 0 ? std::optional<T>(v) : CheckedAdd<T>(v, align - rest);
}

}  // namespace pelton
