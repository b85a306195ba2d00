#include "live_bytes.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace pelton::cve {
namespace {

std::atomic<size_t> live_bytes{0};
std::atomic<size_t> peak_bytes{0};

void* Allocate(size_t size) {
  void* p = std::malloc(size == 0 ? 1 : size);
  if (p == nullptr) throw std::bad_alloc();
  const size_t now = live_bytes += malloc_usable_size(p);
  size_t peak = peak_bytes.load();
  while (now > peak && !peak_bytes.compare_exchange_weak(peak, now)) {
  }
  return p;
}

void Release(void* p) {
  if (p == nullptr) return;
  live_bytes -= malloc_usable_size(p);
  std::free(p);
}

}  // namespace

size_t LiveBytes() { return live_bytes; }
size_t PeakBytes() { return peak_bytes; }
void ResetPeak() { peak_bytes = live_bytes.load(); }

}  // namespace pelton::cve

void* operator new(size_t size) { return pelton::cve::Allocate(size); }
void* operator new[](size_t size) { return pelton::cve::Allocate(size); }
void operator delete(void* p) noexcept { pelton::cve::Release(p); }
void operator delete[](void* p) noexcept { pelton::cve::Release(p); }
void operator delete(void* p, size_t) noexcept { pelton::cve::Release(p); }
void operator delete[](void* p, size_t) noexcept { pelton::cve::Release(p); }
