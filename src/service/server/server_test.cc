// Routes, steps and options; the server itself is tested from outside (tests/integration).
#include <gtest/gtest.h>

#include <set>

#include "backend/sim/sim_backend.h"
#include "codec/json.h"
#include "server/decorated_exchange.h"
#include "server/options.h"
#include "server/routes.h"
#include "server/steps/steps.h"

namespace pelton::server {
namespace {

TEST(Routes, EveryRowIsFoundByItsOwnMethodAndNoOther) {
  for (const Route& route : RouteTable()) {
    std::string path(route.pattern);
    if (const size_t brace = path.find('{'); brace != std::string::npos) {
      path.replace(brace, path.find('}') + 1 - brace, "org/name");
    }
    const RouteMatch match = FindRoute(route.method, path);
    ASSERT_NE(match.route, nullptr) << path;
    EXPECT_EQ(match.route->pattern, route.pattern);
    EXPECT_EQ(FindRoute("PUT", path).route, nullptr);
    EXPECT_NE(FindRoute("PUT", path).allow, "");
    EXPECT_EQ(FindRoute("HEAD", path).route != nullptr, route.method == "GET");
  }
  EXPECT_EQ(FindRoute("GET", "/v1/models/a/b").parameter, "a/b");
}

// CVE-2026-48746, CVE-2026-49468 and their kind: what is not exactly a route is none.
TEST(Routes, NearMissesAreNoRoutes) {
  for (const char* path : {"/assets", "/assets/", "/index.html", "/v1", "/v1/", "/v1/models/", "/V1/models", "/v1/models?x",
                           "/healthz/", "/healthz/x", "//healthz", "/metrics;x", "/admin",
                           "/invocations", "/v2/embed", "/pause", "*", "",
                           "/v1/admin/models/", "/v1/admin/models//load",
                           "/v1/admin/models/x/load/", "/v1/admin/models/x"}) {
    EXPECT_EQ(FindRoute("GET", path).route, nullptr) << path;
  }
}

TEST(Routes, OnlyProbesAndThePlaygroundAreOpen) {
  std::set<std::string_view> open;
  for (const Route& route : RouteTable()) {
    if (route.access != Access::kUser && route.access != Access::kOperator) {
      open.insert(route.pattern);
    }
  }
  EXPECT_EQ(open, (std::set<std::string_view>{"/healthz", "/readyz", "/health", "/ping", "/",
                                              "/assets/{file}"}));
}

TEST(Routes, TheDescriptionHasExactlyTheTableWithoutPages) {
  const auto json = codec::ParseJson(OpenApiText("1"));
  ASSERT_TRUE(json.ok()) << json.status().message();
  std::set<std::string> described, table;
  for (const auto& [path, item] : *json->Find("paths")->AsObject()) described.insert(path);
  for (const Route& route : RouteTable()) {
    if (route.access != Access::kPage) table.emplace(route.pattern);
  }
  EXPECT_EQ(described, table);
}

TEST(Options, LoopbackIsLoopbackOnly) {
  for (const char* host : {"localhost", "127.0.0.1", "127.255.0.9", "::1", "[::1]"}) {
    EXPECT_TRUE(IsLoopbackHost(host)) << host;
  }
  for (const char* host : {"0.0.0.0", "::", "127.0.0.1.evil.com", "127.evil.com", "127.0.0",
                           "127.0.0.", "127.0..1", "localhost.evil.com", "", "10.0.0.1",
                           "127.0.0.1:80", "1270.0.0.1"}) {
    EXPECT_FALSE(IsLoopbackHost(host)) << host;
  }
}

TEST(Options, AnotherHostNeedsKeysOrTheFlag) {
  ServerOptions options;
  EXPECT_TRUE(MakeKeyRing(options).ok());
  options.net.host = "0.0.0.0";
  const Status refused = MakeKeyRing(options).status();
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("--allow-unauthenticated"), std::string::npos);
  options.allow_unauthenticated = true;
  const auto open = MakeKeyRing(options);
  ASSERT_TRUE(open.ok());
  EXPECT_EQ((*open)->Authenticate({.authorization = {}, .x_api_key = {}, .presented = 0,
                                   .peer_is_loopback = true})->role, identity::Role::kUser);
  options.allow_unauthenticated = false;
  options.keys = {{.tenant = "a", .role = "user", .sha256 = std::string(64, 'a')}};
  EXPECT_TRUE(MakeKeyRing(options).ok());
  options.keys[0].role = "admin";
  EXPECT_FALSE(MakeKeyRing(options).ok());
  options.keys[0] = {.tenant = "a", .role = "user", .sha256 = "zz"};
  EXPECT_FALSE(MakeKeyRing(options).ok());
}

class Steps : public ::testing::Test {
 protected:
  Steps() {
    auto catalogue = serving::Catalogue::Make({{"sim", "sim:"}});
    catalogue_ = *std::move(catalogue);
    service_ = std::make_unique<serving::Service>(serving::ServingOptions{}, *catalogue_,
                                                  registry_, SystemClock());
    app_.reset(new api::App{*service_, registry_, api_, "0"});
    Keys({});
    head_.method = "GET";
    head_.path = "/v1/models";
    head_.peer_is_loopback = true;
    head_.headers.Add("host", "localhost:8080");
  }
  void Keys(std::vector<identity::KeyRecord> records) {
    keys_ = *identity::KeyRing::Make(std::move(records),
                                     identity::KeylessMode::kLoopbackOperator);
  }
  // The status the steps refuse with; 0 when they let it through.
  int Status() {
    const StepContext context{options_, *keys_, *app_, !keys_->has_keys()};
    facts_ = {};
    const Refusal refusal = RunSteps(context, head_, &facts_);
    last_ = refusal.value_or(net::Response{});
    return refusal ? last_.status : 0;
  }
  void Head(const std::string& method, const std::string& path) {
    head_.method = method;
    head_.path = path;
  }
  void Header(const std::string& name, const std::string& value) {
    net::Headers kept;
    for (const auto& [n, v] : head_.headers.all()) {
      if (n != name) kept.Add(n, v);
    }
    kept.Add(name, value);
    head_.headers = kept;
  }

  obs::Registry registry_;
  std::unique_ptr<serving::Catalogue> catalogue_;
  std::unique_ptr<serving::Service> service_;
  api::ApiOptions api_;
  std::unique_ptr<api::App> app_;
  ServerOptions options_;
  std::unique_ptr<identity::KeyRing> keys_;
  net::RequestHead head_;
  RequestFacts facts_;
  net::Response last_;
};

TEST_F(Steps, WithoutKeysLoopbackMayDoEverything) {
  EXPECT_EQ(Status(), 0);
  Head("GET", "/metrics");
  EXPECT_EQ(Status(), 0);
  EXPECT_EQ(facts_.caller.tenant, "default");
  head_.peer_is_loopback = false;
  EXPECT_EQ(Status(), 403);
}

// CVE-2024-28224, CVE-2024-3135: DNS rebinding and foreign pages, on every method and route.
TEST_F(Steps, ForeignHostsAndOriginsAreRefusedOnLoopback) {
  for (const char* host : {"evil.example", "evil.example:8080", "localhost.evil.example",
                           "127.0.0.1.evil.example", "localhost@evil.example", "", "localhost:x",
                           "[::2]:80"}) {
    Header("host", host);
    for (const char* method : {"GET", "HEAD", "POST", "OPTIONS", "DELETE"}) {
      Head(method, "/healthz");
      EXPECT_EQ(Status(), 403) << host << " " << method;
    }
  }
  for (const char* host : {"localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080", "[::1]"}) {
    Header("host", host);
    Head("GET", "/healthz");
    EXPECT_EQ(Status(), 0) << host;
  }
  for (const char* origin : {"http://evil.example", "null", "https://localhost.evil.example",
                             "http://127.0.0.1.evil.example:80", "file://"}) {
    Header("origin", origin);
    Head("POST", "/v1/chat/completions");
    EXPECT_EQ(Status(), 403) << origin;
  }
  for (const char* origin : {"http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443"}) {
    Header("origin", origin);
    Head("GET", "/v1/models");
    EXPECT_EQ(Status(), 0) << origin;
    EXPECT_TRUE(facts_.cors_origin.empty());  // CORS is off
  }
}

TEST_F(Steps, AllowedHostsAndOriginsAreLetIn) {
  options_.allowed_hosts = {"box.lan"};
  options_.cors_origins = {"https://app.example"};
  Header("host", "box.lan:8080");
  Header("origin", "https://app.example");
  EXPECT_EQ(Status(), 0);
  EXPECT_EQ(facts_.cors_origin, "https://app.example");
  Head("OPTIONS", "/v1/models");
  Header("access-control-request-method", "GET");
  EXPECT_EQ(Status(), 204);
  Header("origin", "https://other.example");
  EXPECT_EQ(Status(), 403);
}

TEST_F(Steps, OllamasPathsAreRefusedInItsShape) {
  Head("POST", "/api/create");
  EXPECT_EQ(Status(), 501);
  EXPECT_TRUE(last_.body.starts_with("{\"error\":\"Not there: models are files"));
  Head("GET", "/api/nothing");
  EXPECT_EQ(Status(), 404);
  EXPECT_TRUE(last_.body.starts_with("{\"error\":\"there is nothing"));
  Header("content-type", "text/plain");
  Head("POST", "/api/chat");
  EXPECT_EQ(Status(), 415);
  EXPECT_TRUE(last_.body.starts_with("{\"error\":\"the body must be JSON"));
}

// All of Ollama's examples are calls of curl -d; other APIs' clients know better.
TEST_F(Steps, CurlsDefaultTypeIsTakenOnOllamasPathsOnly) {
  Header("content-type", "application/x-www-form-urlencoded");
  Head("POST", "/api/chat");
  EXPECT_EQ(Status(), 0);
  Head("POST", "/v1/chat/completions");
  EXPECT_EQ(Status(), 415);
  Header("origin", "http://evil.example");
  Head("POST", "/api/chat");
  EXPECT_EQ(Status(), 403);
}

// The playground behind a name that --allowed-host lets in posts with that name as its origin.
TEST_F(Steps, ThePageOfAnAcceptedHostMayCallItsOwnServer) {
  options_.allowed_hosts = {"box.lan"};
  Head("POST", "/v1/chat/completions");
  for (const auto& [host, origin] : std::vector<std::pair<std::string, std::string>>{
           {"box.lan:8080", "http://box.lan:8080"}, {"box.lan", "http://box.lan"},
           {"box.lan", "https://box.lan"}, {"Box.LAN:1", "http://box.lan:1"},
           {"127.0.0.1:8080", "http://127.0.0.1:8080"}, {"[::1]:8080", "http://[::1]:8080"}}) {
    Header("host", host);
    Header("origin", origin);
    EXPECT_EQ(Status(), 0) << host << " " << origin;
    EXPECT_TRUE(facts_.cors_origin.empty());  // its own page needs no CORS
  }
  for (const auto& [host, origin] : std::vector<std::pair<std::string, std::string>>{
           {"box.lan:8080", "http://box.lan:9090"}, {"box.lan:8080", "http://box.lan"},
           {"box.lan", "http://box.lan.evil.example"}, {"box.lan", "http://evil.example"},
           {"box.lan", "box.lan"}, {"box.lan", "ftp://box.lan"}, {"box.lan", "http://x@box.lan"},
           {"box.lan", "http://box.lan/"}, {"box.lan", "null"}, {"localhost", "http://box.lan"},
           // Rebinding: names that are equal, but not ours.
           {"evil.example", "http://evil.example"}, {"evil.example:8080", "http://evil.example:8080"},
           {"box.lan.evil.example", "http://box.lan.evil.example"}}) {
    Header("host", host);
    Header("origin", origin);
    EXPECT_EQ(Status(), 403) << host << " " << origin;
  }
}

TEST_F(Steps, ThePlaygroundNeedsNoKeyAndIsGoneWhenOff) {
  Keys({{"acme", identity::Role::kUser, codec::Sha256("user-key")}});
  for (const char* path : {"/", "/assets/x.js"}) {
    options_.playground = "on";
    Head("GET", path);
    EXPECT_EQ(Status(), 0) << path;
    Head("HEAD", path);
    EXPECT_EQ(Status(), 0) << path;
    Head("POST", path);
    EXPECT_EQ(Status(), 401) << path;
    options_.playground = "off";
    Head("GET", path);
    EXPECT_EQ(Status(), 401) << path;  // as any unknown path
    Keys({});
    EXPECT_EQ(Status(), 404) << path;
    Head("POST", path);
    EXPECT_EQ(Status(), 404) << path;
    Keys({{"acme", identity::Role::kUser, codec::Sha256("user-key")}});
  }
}

TEST_F(Steps, WithKeysNothingButProbesIsOpenAndNobodyLearnsOfRoutes) {
  Keys({{"acme", identity::Role::kUser, codec::Sha256("user-key")},
        {"ops", identity::Role::kOperator, codec::Sha256("oper-key")}});
  Header("host", "any.example");  // a key is needed, so names do not matter
  for (const char* path : {"/v1/models", "/metrics", "/version", "/openapi.json", "/nothing"}) {
    Head("GET", path);
    EXPECT_EQ(Status(), 401) << path;
    EXPECT_TRUE(last_.headers.Find("www-authenticate").has_value());
  }
  for (const char* path : {"/healthz", "/readyz", "/health", "/ping"}) {
    Head("GET", path);
    EXPECT_EQ(Status(), 0) << path;
    Head("POST", path);
    EXPECT_EQ(Status(), 401) << path;  // only the open route itself is open
  }
  Header("authorization", "Bearer user-key");
  Head("GET", "/v1/models");
  EXPECT_EQ(Status(), 0);
  EXPECT_EQ(facts_.caller.tenant, "acme");
  Head("GET", "/metrics");
  EXPECT_EQ(Status(), 403);
  Head("GET", "/nothing");
  EXPECT_EQ(Status(), 404);
  Head("DELETE", "/v1/models");
  EXPECT_EQ(Status(), 405);
  EXPECT_EQ(*last_.headers.Find("allow"), "GET, HEAD, OPTIONS");
  Head("OPTIONS", "/v1/models");
  EXPECT_EQ(Status(), 204);
  Header("x-api-key", "oper-key");
  Head("GET", "/v1/models");
  EXPECT_EQ(Status(), 401);  // two credentials
  Header("authorization", "Bearer oper-key");
  head_.headers = {};
  head_.headers.Add("x-api-key", "oper-key");
  Head("GET", "/metrics");
  EXPECT_EQ(Status(), 0);
}

TEST_F(Steps, BodiesMustBePlainJsonOfBoundedSize) {
  Head("POST", "/v1/chat/completions");
  EXPECT_EQ(Status(), 0);
  for (const char* type : {"application/json", "application/json; charset=utf-8",
                           "Application/JSON;charset=\"UTF-8\""}) {
    Header("content-type", type);
    EXPECT_EQ(Status(), 0) << type;
  }
  for (const char* type : {"text/plain", "application/x-www-form-urlencoded", "",
                           "application/json; charset=utf-16", "multipart/form-data"}) {
    Header("content-type", type);
    EXPECT_EQ(Status(), 415) << type;
  }
  Header("content-type", "application/json");
  Header("content-encoding", "gzip");
  EXPECT_EQ(Status(), 415);
  Header("content-encoding", "identity");
  head_.content_length = 10 << 20;
  EXPECT_EQ(Status(), 0);
  head_.content_length = (10 << 20) + 1;
  EXPECT_EQ(Status(), 413);
}

TEST_F(Steps, DrainingRefusesNewWorkButAnswersProbes) {
  app_->draining.store(true);
  Head("POST", "/v1/completions");
  EXPECT_EQ(Status(), 503);
  EXPECT_TRUE(last_.headers.Find("retry-after").has_value());
  Head("GET", "/healthz");
  EXPECT_EQ(Status(), 0);
  Head("GET", "/v1/models");
  EXPECT_EQ(Status(), 0);
}

TEST_F(Steps, RequestIdsAreKeptWhenPlainAndReplacedWhenNot) {
  Header("x-request-id", "abc-1.2_x");
  Status();
  EXPECT_EQ(facts_.request_id, "abc-1.2_x");
  for (const std::string& bad : {std::string("a b"), std::string("a\"b"), std::string(65, 'x'),
                                 std::string(), std::string("ä")}) {
    Header("x-request-id", bad);
    Status();
    EXPECT_NE(facts_.request_id, bad);
    EXPECT_TRUE(facts_.request_id.starts_with("req-"));
  }
}

}  // namespace
}  // namespace pelton::server
