// Tile instructions decoded from their bytes, in a SIGILL handler (encodings: Intel's manual).
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/testing/tile_emulator.h"

namespace pelton::kernels::testing {
namespace {

std::atomic<uint64_t> emulated{0};

// VEX prefix of three bytes: C4, ~R ~X ~B mmmmm, W ~vvvv L pp; then the opcode, ModRM, and for memory
// SIB and displacement.
struct Decoded {
  int opcode = 0;
  int prefix = 0;  // pp: 0 none, 1 66, 2 F3, 3 F2
  int reg = 0;     // ModRM.reg
  int rm = 0;      // register operand, when not memory
  int vvvv = 0;
  bool memory = false;
  uint64_t address = 0;  // base + displacement
  int64_t index = 0;     // index register << scale: the stride of a tile in memory
  int length = 0;
  bool ok = false;
};

uint64_t Register(const ucontext_t& context, int number) {
  static constexpr int kOrder[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                     REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                     REG_R12, REG_R13, REG_R14, REG_R15};
  return static_cast<uint64_t>(context.uc_mcontext.gregs[kOrder[number]]);
}

int64_t Displacement(const uint8_t* p, int bytes) {
  if (bytes == 1) return static_cast<int8_t>(*p);
  int32_t wide = 0;
  std::memcpy(&wide, p, 4);
  return wide;
}

void DecodeMemory(const ucontext_t& context, const uint8_t* at, int mod, int rm, bool high_index,
                  bool high_base, Decoded& d) {
  const uint8_t* p = at + 5;
  int base = rm | (high_base ? 8 : 0);
  bool has_base = true;
  if (rm == 4) {  // SIB
    const int sib = *p++;
    const int index = ((sib >> 3) & 7) | (high_index ? 8 : 0);
    base = (sib & 7) | (high_base ? 8 : 0);
    if (index != 4) d.index = static_cast<int64_t>(Register(context, index) << (sib >> 6));
    has_base = mod != 0 || (sib & 7) != 5;
  } else if (mod == 0 && rm == 5) {
    has_base = false;  // relative to the next instruction, added below
  }
  const int bytes = mod == 1 ? 1 : mod == 2 || !has_base ? 4 : 0;
  const int64_t displacement = bytes == 0 ? 0 : Displacement(p, bytes);
  p += bytes;
  d.length = static_cast<int>(p - at);
  uint64_t start = has_base ? Register(context, base) : 0;
  if (!has_base && rm == 5) start = reinterpret_cast<uint64_t>(p);
  d.address = start + static_cast<uint64_t>(displacement);
}

Decoded Decode(const ucontext_t& context) {
  const auto* at = reinterpret_cast<const uint8_t*>(context.uc_mcontext.gregs[REG_RIP]);
  Decoded d;
  if (at[0] != 0xc4 || (at[1] & 0x1f) != 2) return d;  // map 0F38
  if ((at[2] & 0x84) != 0) return d;                   // W0, 128 bits
  d.prefix = at[2] & 3;
  d.vvvv = (~at[2] >> 3) & 15;
  d.opcode = at[3];
  const int mod = at[4] >> 6;
  d.reg = ((at[4] >> 3) & 7) | ((at[1] & 0x80) != 0 ? 0 : 8);
  d.memory = mod != 3;
  d.ok = true;
  if (d.memory) {
    DecodeMemory(context, at, mod, at[4] & 7, (at[1] & 0x40) == 0, (at[1] & 0x20) == 0, d);
  } else {
    d.rm = (at[4] & 7) | ((at[1] & 0x20) != 0 ? 0 : 8);
    d.length = 5;
  }
  return d;
}

bool EmulateConfigGroup(const Decoded& d) {  // opcode 49
  auto* address = reinterpret_cast<std::byte*>(d.address);
  if (d.memory && d.reg == 0 && d.prefix == 0) {
    EmulateConfigure(address);
  } else if (d.memory && d.reg == 0 && d.prefix == 1) {
    EmulateStoreConfig(address);
  } else if (!d.memory && d.prefix == 0 && d.reg == 0 && d.rm == 0) {
    EmulateRelease();
  } else if (!d.memory && d.prefix == 3 && d.rm == 0) {
    EmulateZero(d.reg);
  } else {
    return false;
  }
  return true;
}

bool EmulateMove(const Decoded& d) {  // opcode 4B
  auto* address = reinterpret_cast<std::byte*>(d.address);
  if (!d.memory || d.prefix == 0) return false;
  if (d.prefix == 2) {
    EmulateStore(d.reg, address, d.index);
  } else {
    EmulateLoad(d.reg, address, d.index);  // F2 tileloadd, 66 tileloaddt1
  }
  return true;
}

bool EmulateProduct(const Decoded& d) {  // opcodes 5C, 5E
  if (d.memory) return false;
  if (d.opcode == 0x5c) {
    if (d.prefix != 2) return false;
    EmulateDot(TileDotKind::kBf16, d.reg, d.rm, d.vvvv);
    return true;
  }
  static constexpr TileDotKind kKinds[4] = {TileDotKind::kUU, TileDotKind::kUS, TileDotKind::kSU,
                                            TileDotKind::kSS};
  EmulateDot(kKinds[d.prefix], d.reg, d.rm, d.vvvv);
  return true;
}

void OnIllegalInstruction(int, siginfo_t*, void* opaque) {
  auto* context = static_cast<ucontext_t*>(opaque);
  const Decoded d = Decode(*context);
  const bool done = d.ok && (d.opcode == 0x49   ? EmulateConfigGroup(d)
                             : d.opcode == 0x4b ? EmulateMove(d)
                             : d.opcode == 0x5c || d.opcode == 0x5e ? EmulateProduct(d)
                                                                    : false);
  if (!done) {
    static constexpr char kText[] = "tile trap: an illegal instruction that is no tile instruction\n";
    (void)!write(2, kText, sizeof kText - 1);
    std::abort();
  }
  emulated.fetch_add(1, std::memory_order_relaxed);
  context->uc_mcontext.gregs[REG_RIP] += d.length;
}

}  // namespace

TileTrap::TileTrap() {
  struct sigaction action = {};
  action.sa_sigaction = OnIllegalInstruction;
  action.sa_flags = SA_SIGINFO;
  if (sigaction(SIGILL, &action, &before_) != 0) std::abort();
}

TileTrap::~TileTrap() { sigaction(SIGILL, &before_, nullptr); }

uint64_t TileTrap::count() { return emulated.load(); }

}  // namespace pelton::kernels::testing
