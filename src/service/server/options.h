// What can be set about the server.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "identity/keys.h"
#include "net/http.h"

namespace pelton::server {

// One entry of `keys:` in the configuration file.
struct KeyEntry {
  std::string tenant;
  std::string role = "user";
  std::string sha256;
  double weight = 1;

  template <typename V>
  void Fields(V& v) {
    v.Field("tenant", tenant, {.help = "Tenant that the key belongs to."});
    v.Field("role", role, {.help = "What it may do.", .choices = {"user", "operator"}});
    v.Field("sha256", sha256, {.help = "SHA-256 of the key, 64 hexadecimal digits."});
    v.Field("weight", weight,
            {.help = "Part of the machine that the tenant gets while others want it too, relative "
                     "to their weights; the same in all keys of a tenant.",
             .min = identity::kWeightMin, .max = identity::kWeightMax});
  }
};

struct ServerOptions {
  net::ServerOptions net;
  bool allow_unauthenticated = false;
  std::string playground = "on";
  std::string api_key_file;
  std::vector<KeyEntry> keys;
  std::vector<std::string> cors_origins;
  std::vector<std::string> allowed_hosts;
  std::string access_log;
  double drain_s = 30;
  double drain_delay_s = 0;
  int64_t body_bytes_max = int64_t{10} << 20;

  template <typename V>
  void Fields(V& v) {
    v.Field("host", net.host, {.help = "Address to listen on; other than loopback needs keys."});
    v.Field("port", net.port, {.help = "Port to listen on; 0 lets the kernel choose.",
                               .min = 0, .max = 65535});
    v.Field("api-key-file", api_key_file,
            {.help = "File with one API key a line: tenant default, role operator. Only its owner "
                     "may be able to read it.", .value_name = "FILE"});
    v.Field("keys", keys, {.help = "API keys: tenant, role, SHA-256 of the key.",
                           .yaml_only = true});
    v.Field("allow-unauthenticated", allow_unauthenticated,
            {.help = "Listen on any address without keys; then everyone is a user."});
    v.Field("playground", playground,
            {.help = "The page at / that tries the models in a browser. The page needs no key; what "
                     "it asks of the API does.", .choices = {"on", "off"}});
    v.Field("cors-origin", cors_origins,
            {.help = "Origin whose pages may call this server from a browser; * for all. "
                     "Repeatable; off by default."});
    v.Field("allowed-host", allowed_hosts,
            {.help = "Host name that requests may carry besides loopback's, when there are no "
                     "keys. Repeatable."});
    v.Field("access-log", access_log,
            {.help = "One line of JSON a request: a file, or - for standard error.",
             .value_name = "FILE"});
    v.Field("drain-s", drain_s,
            {.help = "Seconds that running requests get to finish after SIGTERM.",
             .min = 0, .max = 3600});
    v.Field("drain-delay-s", drain_delay_s,
            {.help = "Seconds for which /readyz says 503 before the listener closes.",
             .min = 0, .max = 600});
    v.Field("body-bytes-max", body_bytes_max,
            {.help = "Largest request body; beyond it 413.", .min = 1024, .max = 1 << 30});
    NetFields(v);
  }

 private:
  template <typename V>
  void NetFields(V& v) {
    v.Field("io-threads", net.io_threads,
            {.help = "Threads that read and write connections.", .min = 1, .max = 64});
    v.Field("connections-max", net.connections_max,
            {.help = "Open connections; one more gets 503.", .min = 1, .max = 1'000'000});
    v.Field("header-bytes-max", net.header_bytes_max,
            {.help = "All header fields of a request together; beyond it 431.",
             .min = 1024, .max = 1 << 20});
    v.Field("header-timeout-ms", net.header_timeout_ms,
            {.help = "Time for a request's head to arrive.", .min = 100, .max = 600'000});
    v.Field("body-idle-timeout-ms", net.body_idle_timeout_ms,
            {.help = "Longest pause inside a request's body.", .min = 100, .max = 600'000});
    v.Field("keep-alive-timeout-ms", net.keep_alive_timeout_ms,
            {.help = "Time an idle connection is kept.", .min = 100, .max = 3'600'000});
    v.Field("write-timeout-ms", net.write_timeout_ms,
            {.help = "A reader that takes nothing for so long is closed.",
             .min = 100, .max = 3'600'000});
    v.Field("write-buffer-max", net.write_buffer_max,
            {.help = "Bytes waiting for a slow reader before its generation pauses.",
             .min = 4096, .max = 64 << 20});
  }
};

// True for addresses that only this machine reaches ("localhost", 127.0.0.0/8, ::1).
bool IsLoopbackHost(std::string_view host);

// The keys of file and configuration; and the rule that a host other than loopback needs keys or
// --allow-unauthenticated (FAILED_PRECONDITION otherwise, with the ways out).
Result<std::unique_ptr<identity::KeyRing>> MakeKeyRing(const ServerOptions& options);

}  // namespace pelton::server
