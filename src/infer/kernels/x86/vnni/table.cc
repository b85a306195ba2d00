#include "kernels/x86/vnni/table.h"

#include "kernels/packed.h"
#include "kernels/x86/avx512/table.h"


namespace pelton::kernels {

const KernelTable kVnniTable = {
    .name = "avx512_vnni",
    .usable = [](const CpuFeatures& cpu) { return cpu.avx512_vnni; },
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
    .kv_write = avx512::KvWrite,
    .attention = avx512::Attention,
    .attention_segment = avx512::AttentionSegment,
    .attention_join = avx512::AttentionJoin,
    .max_sum_exp = avx512::MaxSumExp,
    .argmax = avx512::Argmax,
};

}  // namespace pelton::kernels
