#include "kernels/x86/amx/table.h"

#include "kernels/ref/ref.h"
#include "kernels/tiles.h"
#include "kernels/x86/amx/self_check.h"
#include "kernels/x86/avx512/table.h"
#include "kernels/x86/vnni/table.h"

namespace pelton::kernels {
namespace {

bool Int8Usable(const CpuFeatures& cpu) {
  if (!cpu.amx_int8 || !cpu.avx512_vnni) return false;
  static const bool agrees = ChecksOut(kAmxInt8Table);
  return agrees;
}

bool Usable(const CpuFeatures& cpu) {
  if (!cpu.amx_bf16 || !cpu.avx512_bf16 || !cpu.avx512_fp16) return false;
  static const bool agrees = ChecksOut(kAmxTable);
  return agrees;
}

// For few rows, on the KV blocks of "amx". Not among AllTables: nobody chooses it.
const KernelTable kFewRowsTable = {
    .name = "amx_few_rows",
    .usable = Usable,
    .quantized_row_bytes = vnni::QuantizedRowBytes,
    .quantize_rows = vnni::QuantizeRows,
    .takes_quantized = IsIntegerMatrix,
    .gemm_int = vnni::GemmInt,
    .gemm_float = avx512::GemmFloat,
    .rms_norm = avx512::RmsNorm,
    .rope = avx512::Rope,
    .silu_mul = avx512::SiluMul,
    .gelu_tanh_mul = avx512::GeluTanhMul,
    .add = avx512::AddTo,
    .scale = avx512::ScaleBy,
    .soft_cap = avx512::SoftCap,
    .kv_write = amx::TileKvWrite,
    .attention = amx::FewAttention,
    .attention_segment = amx::FewAttentionSegment,
    .attention_join = avx512::AttentionJoin,
    .max_sum_exp = avx512::MaxSumExp,
    .argmax = avx512::Argmax,
};

}  // namespace

const KernelTable kAmxTable = {
    .name = "amx",
    .usable = Usable,
    .quantized_row_bytes = amx::QuantizedRowBytes,
    .quantize_rows = amx::QuantizeRows,
    .takes_quantized = OnTiles,
    .gemm_int = amx::GemmInt,
    .gemm_float = avx512::GemmFloat,
    .rms_norm = avx512::RmsNorm,
    .rope = avx512::Rope,
    .silu_mul = avx512::SiluMul,
    .gelu_tanh_mul = avx512::GeluTanhMul,
    .add = avx512::AddTo,
    .scale = avx512::ScaleBy,
    .soft_cap = avx512::SoftCap,
    .kv_write = amx::TileKvWrite,
    .attention = amx::TileAttention,
    .attention_segment = amx::TileAttentionSegment,
    .attention_join = avx512::AttentionJoin,
    .max_sum_exp = avx512::MaxSumExp,
    .argmax = avx512::Argmax,
    .definition = &kRefBf16Table,
    .gates = amx::Gates,
    .gemm_gated = amx::GemmGated,
    .few_rows = &kFewRowsTable,  // its work grows with the rows, that of tiles does not
    .few_rows_max = 3,
};

const KernelTable kAmxInt8Table = {
    .name = "amx_int8",
    .usable = Int8Usable,
    .quantized_row_bytes = vnni::QuantizedRowBytes,
    .quantize_rows = vnni::QuantizeRows,
    .takes_quantized = IsIntegerMatrix,
    .gemm_int = amx::ExactGemmInt,
    .gemm_float = avx512::GemmFloat,
    .rms_norm = avx512::RmsNorm,
    .rope = avx512::Rope,
    .silu_mul = avx512::SiluMul,
    .gelu_tanh_mul = avx512::GeluTanhMul,
    .add = avx512::AddTo,
    .scale = avx512::ScaleBy,
    .soft_cap = avx512::SoftCap,
    .kv_write = avx512::KvWrite,
    .attention = avx512::Attention,
    .attention_segment = avx512::AttentionSegment,
    .attention_join = avx512::AttentionJoin,
    .max_sum_exp = avx512::MaxSumExp,
    .argmax = avx512::Argmax,
};

}  // namespace pelton::kernels
