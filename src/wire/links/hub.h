// Client of a model hub that speaks Hugging Face's HTTP protocol: list a repository's files, fetch
// one with resume and checksum. Blocking; for the command line and for jobs, never for io threads.
//
// Source: the hub's public HTTP interface: GET /api/models/{repo}/tree/{revision}?recursive=true
// (path, size, lfs.oid = SHA-256) and GET /{repo}/resolve/{revision}/{path} (redirects, Range).
// Nothing the hub says is trusted: paths are checked, sizes and replies are bounded.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace pelton::links {

struct HubOptions {
  std::string endpoint = "https://huggingface.co";
  std::string token;             // sent to the endpoint only, never across a redirect to another host
  int connect_timeout_s = 15;
  int stall_timeout_s = 60;      // below 1 KiB/s for so long ends the try
  int tries = 5;                 // of one file, each resuming where the last one ended
};

// "org/name", "org/name:Q4_K_M", "org/name:file.gguf", each with "@revision"; "hf://" in front is
// allowed.
struct HubReference {
  std::string repository;        // "org/name"
  std::string selection;         // empty, a quantisation or a file name
  std::string revision = "main";
};
Result<HubReference> ParseHubReference(std::string_view text);

struct HubFile {
  std::string path;                   // relative, checked: no "..", no "\\", no control characters
  uint64_t size = 0;
  std::optional<std::string> sha256;  // hex; large files have one
};

// At most kHubFilesMax files. NOT_FOUND, PERMISSION_DENIED (gated: the message says how to go on),
// UNAVAILABLE.
inline constexpr size_t kHubFilesMax = 10'000;
Result<std::vector<HubFile>> ListHubFiles(const HubOptions& options, const HubReference& reference);

// Which of `files` to fetch: all shards of the GGUF that `selection` names or the only GGUF there is;
// without a GGUF the safetensors files with their json. An error lists what there is to choose.
Result<std::vector<HubFile>> SelectHubFiles(const std::vector<HubFile>& files,
                                            std::string_view selection);

// done and total bytes of this file; return false to stop (the part stays for the next time).
using HubProgress = std::function<bool(uint64_t done, uint64_t total)>;

// Fetches into `target`, by way of `target` + ".part", which a later call resumes. A file that is
// there with the right size and checksum is kept. DATA_LOSS when size or checksum differ (the part
// is removed), RESOURCE_EXHAUSTED when the disk has no room (asked before).
Status FetchHubFile(const HubOptions& options, const HubReference& reference, const HubFile& file,
                    const std::string& target, const HubProgress& progress);

}  // namespace pelton::links
