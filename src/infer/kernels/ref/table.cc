#include "kernels/ref/ref.h"

#include "kernels/packed.h"

namespace pelton::kernels {

const KernelTable kRefTable = {
    .name = "ref",
    .usable = [](const CpuFeatures&) { return true; },
    .quantized_row_bytes = ref::QuantizedRowBytes,
    .quantize_rows = ref::QuantizeRows,
    .takes_quantized = IsIntegerMatrix,
    .gemm_int = ref::GemmInt,
    .gemm_float = ref::GemmFloat,
    .rms_norm = ref::RmsNorm,
    .rope = ref::Rope,
    .silu_mul = ref::SiluMul,
    .gelu_tanh_mul = ref::GeluTanhMul,
    .add = ref::Add,
    .scale = ref::Scale,
    .soft_cap = ref::SoftCap,
    .kv_write = ref::KvWrite,
    .attention = ref::Attention,
    .attention_segment = ref::AttentionSegment,
    .attention_join = ref::AttentionJoin,
    .max_sum_exp = ref::MaxSumExp,
    .argmax = ref::Argmax,
};

}  // namespace pelton::kernels
