#include "kernels/x86/avx2/table.h"

#include "kernels/packed.h"

namespace pelton::kernels {

const KernelTable kAvx2Table = {
    .name = "avx2",
    .usable = [](const CpuFeatures& cpu) { return cpu.avx2; },
    .quantized_row_bytes = avx2::QuantizedRowBytes,
    .quantize_rows = avx2::QuantizeRows,
    .takes_quantized = IsIntegerMatrix,
    .gemm_int = avx2::GemmInt,
    .gemm_float = avx2::GemmFloat,
    .rms_norm = avx2::RmsNorm,
    .rope = avx2::Rope,
    .silu_mul = avx2::SiluMul,
    .gelu_tanh_mul = avx2::GeluTanhMul,
    .add = avx2::AddTo,
    .scale = avx2::ScaleBy,
    .soft_cap = avx2::SoftCap,
    .kv_write = avx2::KvWrite,
    .attention = avx2::Attention,
    .attention_segment = avx2::AttentionSegment,
    .attention_join = avx2::AttentionJoin,
    .max_sum_exp = avx2::MaxSumExp,
    .argmax = avx2::Argmax,
};

}  // namespace pelton::kernels
