// Each loop is one block of assembly. Registers: accumulators 0 … 9, products 10 … 13, operands 14
// and 15. Ten chains hide a latency of five cycles at two a cycle.
#include "roofline/loops.h"

namespace pelton::roofline {
namespace {

#define PELTON_TEN(OP) OP(0) OP(1) OP(2) OP(3) OP(4) OP(5) OP(6) OP(7) OP(8) OP(9)
#define PELTON_CLOBBERS                                                                        \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",     \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc"
#define PELTON_LOOP(SET_UP, BODY)                                                        \
  __asm__ volatile(SET_UP ".p2align 5\n1:\n" BODY "dec %[turns]\njnz 1b\nvzeroupper\n"   \
                   : [turns] "+r"(turns)                                                 \
                   : [operand] "m"(operand)                                              \
                   : PELTON_CLOBBERS)

constexpr float kHalf = 0.5f;
constexpr int32_t kSmall = 0x01010101;  // bytes of 1, words of 257
constexpr int32_t kHalves = 0x3f003f00;  // two bf16 of 0.5

}  // namespace

namespace avx2 {

void Read(const std::byte* data, size_t bytes) {
  const std::byte* end = data + bytes;
  // 4 KiB ahead; past the end a prefetch does nothing.
  __asm__ volatile(
      ".p2align 5\n1:\n"
      "prefetcht0 4096(%[at])\nprefetcht0 4160(%[at])\nprefetcht0 4224(%[at])\nprefetcht0 "
      "4288(%[at])\n"
      "vpxor (%[at]), %%ymm0, %%ymm0\nvpxor 32(%[at]), %%ymm1, %%ymm1\n"
      "vpxor 64(%[at]), %%ymm2, %%ymm2\nvpxor 96(%[at]), %%ymm3, %%ymm3\n"
      "vpxor 128(%[at]), %%ymm4, %%ymm4\nvpxor 160(%[at]), %%ymm5, %%ymm5\n"
      "vpxor 192(%[at]), %%ymm6, %%ymm6\nvpxor 224(%[at]), %%ymm7, %%ymm7\n"
      "add $256, %[at]\ncmp %[end], %[at]\njne 1b\nvzeroupper\n"
      : [at] "+r"(data)
      : [end] "r"(end)
      : PELTON_CLOBBERS, "memory");
}

void FmaF32(int64_t turns) {
  const float& operand = kHalf;
#define OP(n) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #n "\n"
#define CLEAR(n) "vxorps %%ymm" #n ", %%ymm" #n ", %%ymm" #n "\n"
  PELTON_LOOP(
      PELTON_TEN(CLEAR) "vbroadcastss %[operand], %%ymm14\nvbroadcastss %[operand], %%ymm15\n",
      PELTON_TEN(OP));
#undef OP
}

void MaddI16(int64_t turns) {
  const int32_t& operand = kSmall;
#define OP(n) "vpmaddwd %%ymm14, %%ymm15, %%ymm10\nvpaddd %%ymm10, %%ymm" #n ", %%ymm" #n "\n"
  PELTON_LOOP(
      PELTON_TEN(CLEAR) "vpbroadcastd %[operand], %%ymm14\nvpbroadcastd %[operand], %%ymm15\n",
      PELTON_TEN(OP));
#undef OP
}

// Bytes by way of words, as engines with 8-bit activations do it without VNNI.
void MaddubsI8(int64_t turns) {
  const int32_t& operand = kSmall;
#define OP(n)                                                                    \
  "vpmaddubsw %%ymm14, %%ymm15, %%ymm10\nvpmaddwd %%ymm14, %%ymm10, %%ymm11\n"   \
  "vpaddd %%ymm11, %%ymm" #n ", %%ymm" #n "\n"
  PELTON_LOOP(
      PELTON_TEN(CLEAR) "vpbroadcastd %[operand], %%ymm14\nvpbroadcastd %[operand], %%ymm15\n",
      PELTON_TEN(OP));
#undef OP
}

}  // namespace avx2

namespace avx512 {

void Read(const std::byte* data, size_t bytes) {
  const std::byte* end = data + bytes;
  __asm__ volatile(
      ".p2align 5\n1:\n"
      "prefetcht0 4096(%[at])\nprefetcht0 4160(%[at])\nprefetcht0 4224(%[at])\nprefetcht0 "
      "4288(%[at])\n"
      "prefetcht0 4352(%[at])\nprefetcht0 4416(%[at])\nprefetcht0 4480(%[at])\nprefetcht0 "
      "4544(%[at])\n"
      "vpxord (%[at]), %%zmm0, %%zmm0\nvpxord 64(%[at]), %%zmm1, %%zmm1\n"
      "vpxord 128(%[at]), %%zmm2, %%zmm2\nvpxord 192(%[at]), %%zmm3, %%zmm3\n"
      "vpxord 256(%[at]), %%zmm4, %%zmm4\nvpxord 320(%[at]), %%zmm5, %%zmm5\n"
      "vpxord 384(%[at]), %%zmm6, %%zmm6\nvpxord 448(%[at]), %%zmm7, %%zmm7\n"
      "add $512, %[at]\ncmp %[end], %[at]\njne 1b\nvzeroupper\n"
      : [at] "+r"(data)
      : [end] "r"(end)
      : PELTON_CLOBBERS, "memory");
}

void FmaF32(int64_t turns) {
  const float& operand = kHalf;
#define OP(n) "vfmadd231ps %%zmm14, %%zmm15, %%zmm" #n "\n"
  PELTON_LOOP(
      PELTON_TEN(CLEAR) "vbroadcastss %[operand], %%zmm14\nvbroadcastss %[operand], %%zmm15\n",
      PELTON_TEN(OP));
#undef OP
}

void MaddI16(int64_t turns) {
  const int32_t& operand = kSmall;
#define OP(n) "vpmaddwd %%zmm14, %%zmm15, %%zmm10\nvpaddd %%zmm10, %%zmm" #n ", %%zmm" #n "\n"
  PELTON_LOOP(
      PELTON_TEN(CLEAR) "vpbroadcastd %[operand], %%zmm14\nvpbroadcastd %[operand], %%zmm15\n",
      PELTON_TEN(OP));
#undef OP
}

void VnniI8(int64_t turns) {
  const int32_t& operand = kSmall;
#define OP(n) "vpdpbusd %%zmm14, %%zmm15, %%zmm" #n "\n"
  PELTON_LOOP(
      PELTON_TEN(CLEAR) "vpbroadcastd %[operand], %%zmm14\nvpbroadcastd %[operand], %%zmm15\n",
      PELTON_TEN(OP));
#undef OP
}

void DotBf16(int64_t turns) {
  const int32_t& operand = kHalves;
#define OP(n) "vdpbf16ps %%zmm14, %%zmm15, %%zmm" #n "\n"
  PELTON_LOOP(
      PELTON_TEN(CLEAR) "vpbroadcastd %[operand], %%zmm14\nvpbroadcastd %[operand], %%zmm15\n",
      PELTON_TEN(OP));
#undef OP
}

}  // namespace avx512
#undef CLEAR

namespace amx {

// Palette 1: every tile 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Two by two: accumulators 0 … 3, operands 4 … 7. The configuration is an operand of the block, so
// the stores that fill it come before.
#define PELTON_TILES(OP)                                                                  \
  __asm__ volatile(                                                                       \
      "ldtilecfg %[config]\n"                                                             \
      "tilezero %%tmm0\ntilezero %%tmm1\ntilezero %%tmm2\ntilezero %%tmm3\n"              \
      "tilezero %%tmm4\ntilezero %%tmm5\ntilezero %%tmm6\ntilezero %%tmm7\n"              \
      ".p2align 5\n1:\n" OP " %%tmm6, %%tmm4, %%tmm0\n" OP " %%tmm7, %%tmm4, %%tmm1\n" OP \
      " %%tmm6, %%tmm5, %%tmm2\n" OP                                                      \
      " %%tmm7, %%tmm5, %%tmm3\ndec %[turns]\njnz 1b\ntilerelease\n"                      \
      : [turns] "+r"(turns)                                                               \
      : [config] "m"(config)                                                              \
      : "cc")

void TilesI8(int64_t turns) {
  const TileConfig config;
  PELTON_TILES("tdpbssd");
}

void TilesBf16(int64_t turns) {
  const TileConfig config;
  PELTON_TILES("tdpbf16ps");
}

}  // namespace amx

namespace {

constexpr MultiplyLoop kLoops[] = {
    {"avx2_fma_f32", "AVX2 FMA, fp32", [](const CpuFeatures& f) { return f.avx2; }, avx2::FmaF32,
     10 * 16},
    {"avx2_madd_i16", "AVX2 vpmaddwd, 16 bits", [](const CpuFeatures& f) { return f.avx2; },
     avx2::MaddI16, 10 * 32},
    {"avx2_maddubs_i8", "AVX2 vpmaddubsw, 8 bits", [](const CpuFeatures& f) { return f.avx2; },
     avx2::MaddubsI8, 10 * 64},
    {"avx512_fma_f32", "AVX-512 FMA, fp32", [](const CpuFeatures& f) { return f.avx512; },
     avx512::FmaF32, 10 * 32},
    {"avx512_madd_i16", "AVX-512 vpmaddwd, 16 bits", [](const CpuFeatures& f) { return f.avx512; },
     avx512::MaddI16, 10 * 64},
    {"avx512_vnni_i8", "AVX512-VNNI, 8 bits", [](const CpuFeatures& f) { return f.avx512_vnni; },
     avx512::VnniI8, 10 * 128},
    {"avx512_bf16", "AVX512-BF16", [](const CpuFeatures& f) { return f.avx512_bf16; },
     avx512::DotBf16, 10 * 64},
    {"amx_bf16", "AMX tiles, bf16", [](const CpuFeatures& f) { return f.amx_bf16; }, amx::TilesBf16,
     4 * 16 * 16 * 64},
    {"amx_i8", "AMX tiles, 8 bits", [](const CpuFeatures& f) { return f.amx_int8; }, amx::TilesI8,
     4 * 16 * 16 * 128},
};

}  // namespace

ReadLoop BestReadX86(const CpuFeatures& features) {
  if (features.avx512) return avx512::Read;
  return features.avx2 ? avx2::Read : nullptr;
}

std::span<const MultiplyLoop> MultiplyLoopsX86() { return kLoops; }

}  // namespace pelton::roofline
