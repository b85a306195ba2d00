// Whether the time to the first token tells what another tenant asked before: 250 prompts that a victim
// has sent against 250 that nobody has, in random order, two-sample Kolmogorov–Smirnov at 0.001. With
// sharing forced on the same test must notice.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/random.h"
#include "engine/engine.h"
#include "engine/testing/fake_tokenizer.h"
#include "engine/testing/recording_sink.h"
#include "golden_models.h"

namespace pelton::engine {
namespace {

using testing::RecordingSink;

constexpr int kSamples = 250;
constexpr int kPromptTokens = 128;
const double kCritical = 1.949 * std::sqrt(2. / kSamples);  // c(0.001) · sqrt((n + m) / nm)

double LargestDistance(std::vector<double> a, std::vector<double> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  double distance = 0;
  for (const auto* sample : {&a, &b}) {
    for (const double x : *sample) {
      const auto share = [&](const std::vector<double>& v) {
        return static_cast<double>(std::upper_bound(v.begin(), v.end(), x) - v.begin()) / v.size();
      };
      distance = std::max(distance, std::abs(share(a) - share(b)));
    }
  }
  return distance;
}

double Distance(bool share_between_tenants) {
  nn::Team team({.threads = ComputeThreadBudget()});
  golden::Loaded loaded = golden::Load(golden::ModelPath("smollm2"), golden::BestTable(), team);
  if (loaded.model == nullptr) return -1;
  EngineOptions options;
  options.context = 256;
  options.kv_bytes_max = uint64_t{1} << 30;
  options.prefix_test_hooks.share_between_tenants = share_between_tenants;
  auto engine = Engine::Create(std::move(loaded.model), std::make_shared<testing::FakeTokenizer>(),
                               team, golden::BestTable(), options);
  EXPECT_TRUE(engine.ok());
  if (!engine.ok()) return -1;
  Random random(7);
  const auto prompt = [&] {
    std::vector<int32_t> ids;
    for (int i = 0; i < kPromptTokens; ++i) {
      ids.push_back(static_cast<int32_t>(random.Below((*engine)->info().vocab_size)));
    }
    return ids;
  };
  const auto first_token_s = [&](const std::vector<int32_t>& ids, const char* tenant) {
    auto sink = std::make_shared<RecordingSink>();
    EngineRequest request;
    request.id = (*engine)->NextRequestId();
    request.tenant = tenant;
    request.prompt = ids;
    request.max_tokens = 1;
    request.sampling.temperature = 0.f;
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_TRUE((*engine)->Submit(std::move(request), sink).ok());
    EXPECT_TRUE(sink->WaitForFinish(120));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  std::vector<double> asked_before, fresh;
  for (int i = 0; i < kSamples; ++i) {
    const auto known = prompt();
    first_token_s(known, "victim");
    const auto cold = prompt();
    if (random.Below(2) == 0) fresh.push_back(first_token_s(cold, "attacker"));
    asked_before.push_back(first_token_s(known, "attacker"));
    if (fresh.size() < asked_before.size()) fresh.push_back(first_token_s(cold, "attacker"));
  }
  return LargestDistance(asked_before, fresh);
}

TEST(PrefixTimes, TellNothingOfOtherTenants) {
  const double distance = Distance(false);
  std::printf("  largest distance %.3f, critical %.3f\n", distance, kCritical);
  EXPECT_GE(distance, 0);
  EXPECT_LE(distance, kCritical);
}

TEST(PrefixTimes, WouldShowIfTenantsShared) {
  const double distance = Distance(true);
  std::printf("  largest distance %.3f, critical %.3f\n", distance, kCritical);
  EXPECT_GT(distance, kCritical);
}

}  // namespace
}  // namespace pelton::engine
