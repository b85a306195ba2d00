// Rows 31 to 34 and 36: who may do what.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <string>
#include <vector>

#include "api/openai/parse.h"
#include "base/random.h"
#include "server/routes.h"
#include "server/steps/steps.h"

namespace pelton::cve {
namespace {

constexpr std::string_view kUser = "user-key-0123456789abcdef";
constexpr std::string_view kOperator = "operator-key-0123456789ab";

class AccessCve : public ::testing::Test {
 protected:
  AccessCve() {
    catalogue_ = *serving::Catalogue::Make({{"sim", "sim:"}});
    service_ = std::make_unique<serving::Service>(serving::ServingOptions{}, *catalogue_,
                                                  registry_, SystemClock());
    app_.reset(new api::App{*service_, registry_, api_, "0"});
    UseKeys(true);
  }

  void UseKeys(bool some) {
    std::vector<identity::KeyRecord> records;
    if (some) {
      records.push_back({"acme", identity::Role::kUser, codec::Sha256(kUser)});
      records.push_back({"ops", identity::Role::kOperator, codec::Sha256(kOperator)});
    }
    keys_ = *identity::KeyRing::Make(std::move(records), identity::KeylessMode::kLoopbackOperator);
  }

  // What the steps answer; 0: the request goes on to its handler.
  int Ask(std::string_view method, std::string_view path,
          const std::vector<std::pair<std::string, std::string>>& headers) {
    net::RequestHead head;
    head.method = method;
    head.path = path;
    head.peer_is_loopback = true;
    for (const auto& [name, value] : headers) head.headers.Add(name, value);
    facts_ = {};
    const auto refusal = server::RunSteps({options_, *keys_, *app_, !keys_->has_keys()}, head,
                                          &facts_);
    return refusal ? refusal->status : 0;
  }
  static std::string Path(const server::Route& route) {
    std::string path(route.pattern);
    const size_t brace = path.find('{');
    return brace == std::string::npos ? path : path.substr(0, brace) + "sim";
  }

  obs::Registry registry_;
  std::unique_ptr<serving::Catalogue> catalogue_;
  std::unique_ptr<serving::Service> service_;
  api::ApiOptions api_;
  std::unique_ptr<api::App> app_;
  server::ServerOptions options_;
  std::unique_ptr<identity::KeyRing> keys_;
  server::RequestFacts facts_;
};

// vLLM #58144, #42591; Triton CVE-2026-24206; Ollama CVE-2025-63389; CVE-2023-48022, -2026-27482.
TEST_F(AccessCve, Row31_NoRouteIsOpenForLackOfAPrefix) {
  for (const server::Route& route : server::RouteTable()) {
    for (const char* method : {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}) {
      const bool reads = std::string_view(method) == "GET" || std::string_view(method) == "HEAD";
      const bool open = (route.access == server::Access::kOpen ||
                         route.access == server::Access::kPage) && reads;
      EXPECT_EQ(Ask(method, Path(route), {}), open ? 0 : 401) << method << " " << route.pattern;
    }
  }
  for (const char* path : {"/invocations", "/v2/embed", "/pause", "/resume", "/sleep",
                           "/update_weights", "/collective_rpc", "/load_lora_adapter",
                           "/server_info",
                           "/v2/repository/index", "/api/pull", "/api/delete", "/api/tags",
                           "/slots",
                           "/props", "/lora-adapters", "/config", "/debug", "/docs", "/index.html"}) {
    for (const char* method : {"GET", "POST", "DELETE"}) {
      EXPECT_EQ(Ask(method, path, {}), 401) << path;
    }
  }
}

// CVE-2025-59425: time must not tell how much of a key is right. Welch's t over interleaved
// samples, as in dudect (Reparaz et al. 2017); slow outliers are cut for both classes alike.
TEST_F(AccessCve, Row32_Cve_2025_59425_TimeTellsNothingOfTheKey) {
  const std::string near = "Bearer " + std::string(kOperator.substr(0, kOperator.size() - 1)) + "X";
  const std::string far = "Bearer " + std::string(kOperator.size(), 'X');
  constexpr int kSamples = 100'000;
  double mean[2] = {}, m2[2] = {}, count[2] = {};
  Random random(1);
  for (int i = 0; i < kSamples; ++i) {
    const int side = static_cast<int>(random.Below(2));
    const identity::Credentials credentials{.authorization = side ? near : far, .x_api_key = {},
                                            .presented = 1, .peer_is_loopback = false};
    const auto begin = std::chrono::steady_clock::now();
    const bool ok = keys_->Authenticate(credentials).ok();
    const double ns = std::chrono::duration<double, std::nano>(
        std::chrono::steady_clock::now() - begin).count();
    ASSERT_FALSE(ok);
    if (i < 1000 || ns > 50'000) continue;  // warm-up; a sample that lost its CPU
    count[side] += 1;
    const double delta = ns - mean[side];
    mean[side] += delta / count[side];
    m2[side] += delta * (ns - mean[side]);
  }
  const double t = (mean[0] - mean[1]) /
                   std::sqrt(m2[0] / (count[0] - 1) / count[0] + m2[1] / (count[1] - 1) / count[1]);
  EXPECT_LT(std::abs(t), 4.5) << "far " << mean[0] << " ns, near " << mean[1] << " ns";
}

// CVE-2026-42208: a header is never a query.
TEST_F(AccessCve, Row33_Cve_2026_42208_HeadersAreNoQueries) {
  for (const char* text : {"' OR '1'='1", "'; DROP TABLE keys; --", "x' UNION SELECT 1 --", "%27",
                           "\\' OR 1=1 #", "admin'/*", "*", "%", "_", "..", "$(id)", "`id`"}) {
    EXPECT_EQ(Ask("GET", "/v1/models", {{"authorization", std::string("Bearer ") + text}}), 401);
    EXPECT_EQ(Ask("GET", "/v1/models", {{"x-api-key", text}}), 401);
  }
}

// CVE-2026-35030: no part of a key stands for the whole. GHSA-69x8: no digest stands for a key.
TEST_F(AccessCve, Row34_Cve_2026_35030_OnlyTheWholeKeyCounts) {
  for (size_t n = 1; n < kOperator.size(); ++n) {
    EXPECT_EQ(Ask("GET", "/metrics", {{"x-api-key", std::string(kOperator.substr(0, n))}}), 401);
  }
  EXPECT_EQ(Ask("GET", "/metrics", {{"x-api-key", std::string(kOperator) + "0"}}), 401);
  EXPECT_EQ(Ask("GET", "/metrics",
                {{"x-api-key", codec::EncodeHex(codec::Sha256(kOperator))}}), 401);
  EXPECT_EQ(Ask("GET", "/metrics", {{"x-api-key", std::string(kOperator)}}), 0);
}

// CVE-2026-59822: a failed look-up is no identity. CVE-2026-47101, -2025-0628: no header and no
// field of a body raises a role or changes a tenant.
TEST_F(AccessCve, Row34_Cve_2026_47101_RoleAndTenantComeFromTheKeyAlone) {
  const std::vector<std::pair<std::string, std::string>> headers = {
      {"x-api-key", std::string(kUser)}, {"x-role", "operator"}, {"x-tenant", "ops"},
      {"x-user-role", "proxy_admin"}, {"x-forwarded-user", "ops"},
      {"x-forwarded-for", "127.0.0.1"}};
  EXPECT_EQ(Ask("GET", "/metrics", headers), 403);
  EXPECT_EQ(Ask("GET", "/v1/models", headers), 0);
  EXPECT_EQ(facts_.caller.tenant, "acme");
  EXPECT_EQ(facts_.caller.role, identity::Role::kUser);
  const auto parsed = api::openai::ParseChat(
      R"({"messages":[{"role":"user","content":"x"}],"tenant":"ops","role":"operator",
          "user_role":"admin"})", false);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->request.tenant, "");
  EXPECT_EQ(parsed->form.ignored.size(), 3u);
  EXPECT_EQ(parsed->request.tenant_weight, 1);
  EXPECT_FALSE(api::openai::ParseChat(
      R"({"messages":[{"role":"user","content":"x"}],"priority":-1000000})", false).ok());
  EXPECT_EQ(Ask("GET", "/v1/models", {{"x-api-key", "wrong-key-0123456789"}}), 401);
  EXPECT_EQ(facts_.caller.tenant, "");
}

// Ollama CVE-2024-28224, LocalAI CVE-2024-3135: a page of another site reaches loopback.
TEST_F(AccessCve, Row36_Cve_2024_28224_ForeignNamesAndPages) {
  UseKeys(false);
  for (const server::Route& route : server::RouteTable()) {
    for (const char* method : {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"}) {
      EXPECT_EQ(Ask(method, Path(route), {{"host", "rebind.evil.example:8080"}}), 403);
      EXPECT_EQ(Ask(method, Path(route),
                    {{"host", "localhost:8080"}, {"origin", "http://evil.example"}}), 403);
      EXPECT_EQ(Ask(method, Path(route), {{"host", "localhost"}, {"host", "evil.example"}}), 403);
    }
  }
  EXPECT_EQ(Ask("GET", "/v1/models", {{"host", "localhost:8080"}}), 0);
  // A form of a foreign page cannot even without an origin: it is no JSON.
  EXPECT_EQ(Ask("POST", "/v1/chat/completions",
                {{"host", "localhost"}, {"content-type", "text/plain"}}), 415);
}

}  // namespace
}  // namespace pelton::cve
