#include "links/hub.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>
#include <thread>

#include "codec/json.h"
#include "codec/sha256.h"
#include "links/hub_paths.h"

namespace pelton::links {
namespace {

constexpr size_t kListingBytesMax = size_t{16} << 20;
constexpr uint64_t kDiskReserveBytes = uint64_t{64} << 20;

std::string ErrnoText(int error) { return std::generic_category().message(error); }

struct CurlDone {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
using Curl = std::unique_ptr<CURL, CurlDone>;

Curl NewRequest(const HubOptions& options, const std::string& url) {
  static const CURLcode once = curl_global_init(CURL_GLOBAL_DEFAULT);
  Curl curl(once == CURLE_OK ? curl_easy_init() : nullptr);
  if (!curl) return curl;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_MAXREDIRS, 5L);
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "https,http");
  // A secure endpoint must not send us on to a plain one.
  curl_easy_setopt(curl.get(), CURLOPT_REDIR_PROTOCOLS_STR,
                   url.starts_with("https:") ? "https" : "https,http");
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, static_cast<long>(options.connect_timeout_s));
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_LIMIT, 1024L);
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall_timeout_s));
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, "pelton");
  if (!options.token.empty()) {  // libcurl drops it when a redirect leaves the host
    curl_easy_setopt(curl.get(), CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(curl.get(), CURLOPT_XOAUTH2_BEARER, options.token.c_str());
  }
  return curl;
}

// Percent-encodes everything but unreserved characters and '/'.
std::string UrlPath(std::string_view path) {
  std::string out;
  for (const char c : path) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                       std::string_view("-_.~/").find(c) != std::string_view::npos;
    if (plain) out += c;
    else out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

Status StatusOfHttp(long code, const HubReference& reference) {
  const std::string& name = reference.repository;
  if (code == 401 || code == 403) {
    return PermissionDenied(name + " needs a token or its licence accepted: ask for access on the "
                                   "hub's page, then set HF_TOKEN");
  }
  if (code == 404) {
    return NotFound(fmt::format("the hub has no {} at revision {} (private ones need HF_TOKEN)",
                                name, reference.revision));
  }
  if (code == 429) return ResourceExhausted("the hub asks to slow down (429); try again later");
  return Unavailable(fmt::format("the hub answered {} for {}", code, name));
}

struct BoundedText {
  std::string text;
  static size_t Append(char* data, size_t size, size_t count, void* self) {
    auto* out = static_cast<BoundedText*>(self);
    const size_t bytes = size * count;
    if (bytes > kListingBytesMax - out->text.size()) return 0;  // ends the transfer
    out->text.append(data, bytes);
    return bytes;
  }
};

Result<HubFile> FileOfEntry(const codec::Json& entry) {
  const codec::Json* path = entry.Find("path");
  const codec::Json* size = entry.Find("size");
  if (path == nullptr || path->AsString() == nullptr || size == nullptr || !size->AsUint()) {
    return DataLoss("the hub's listing has an entry without path or size");
  }
  HubFile file{.path = *path->AsString(), .size = *size->AsUint(), .sha256 = {}};
  if (!HubPathIsSafe(file.path)) return DataLoss("the hub's listing has an unsafe path");
  if (const codec::Json* lfs = entry.Find("lfs"); lfs != nullptr && lfs->AsObject() != nullptr) {
    const codec::Json* oid = lfs->Find("oid");
    const std::string* text = oid == nullptr ? nullptr : oid->AsString();
    if (text == nullptr || !codec::ParseSha256Hex(*text).ok()) {
      return DataLoss("the hub's listing has a checksum that is none: " + file.path);
    }
    file.sha256 = *text;
    if (const codec::Json* lfs_size = lfs->Find("size"); lfs_size != nullptr && lfs_size->AsUint()) {
      file.size = *lfs_size->AsUint();
    }
  }
  return file;
}

// Where one download stands; lives for one FetchHubFile.
struct Transfer {
  const HubFile& file;
  const HubProgress& progress;
  CURL* curl = nullptr;
  int fd = -1;
  uint64_t have = 0;   // bytes in the part file
  bool checked = false;
  bool stopped = false;
  Status error = OkStatus();

  static size_t Append(char* data, size_t size, size_t count, void* self) {
    return static_cast<Transfer*>(self)->Take(data, size * count) ? size * count : 0;
  }

  bool Take(const char* data, size_t bytes) {
    if (!checked && !CheckStart()) return false;
    if (bytes > file.size - have) {
      error = DataLoss("the hub sent more than the " + std::to_string(file.size) + " bytes of " +
                       file.path);
      return false;
    }
    while (bytes > 0) {
      const ssize_t written = write(fd, data, bytes);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) {
        error = ResourceExhausted(fmt::format("cannot write {}: {}", file.path, ErrnoText(errno)));
        return false;
      }
      data += written;
      bytes -= static_cast<size_t>(written);
      have += static_cast<uint64_t>(written);
    }
    if (progress && !progress(have, file.size)) stopped = true;
    return !stopped;
  }

  // A server that ignores Range answers 200 from the start: begin again.
  bool CheckStart() {
    checked = true;
    long code = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    if (code != 200 && code != 206) return false;
    if (code == 200 && have > 0) {
      have = 0;
      if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0) {
        error = Unavailable("cannot start the part file again");
        return false;
      }
    }
    return true;
  }
};

Result<std::string> HashOfFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return NotFound(path);
  codec::Sha256Stream hash;
  std::string piece(size_t{1} << 20, '\0');
  while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())), in.gcount() > 0) {
    hash.Push(std::string_view(piece).substr(0, static_cast<size_t>(in.gcount())));
  }
  return codec::EncodeHex(hash.Finish());
}

// The whole file is there; is it the right one?
Status CheckContent(const std::string& path, const HubFile& file) {
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(path, error);
  if (error || size != file.size) {
    return DataLoss(fmt::format("{} has {} bytes instead of {}", file.path, size, file.size));
  }
  if (!file.sha256) return OkStatus();
  auto hash = HashOfFile(path);
  if (!hash.ok()) return hash.status();
  if (*hash != *file.sha256) return DataLoss(file.path + ": the checksum differs from the hub's");
  return OkStatus();
}

Status PrepareDisk(const std::string& target, uint64_t bytes_missing) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(target).parent_path();
  std::filesystem::create_directories(folder, error);
  if (error) return PermissionDenied(folder.string() + ": " + error.message());
  struct statvfs disk {};
  if (statvfs(folder.c_str(), &disk) == 0) {
    const uint64_t free_bytes = static_cast<uint64_t>(disk.f_bavail) * disk.f_frsize;
    if (free_bytes < bytes_missing + kDiskReserveBytes) {
      return ResourceExhausted(fmt::format("{} needs {} MB and the disk has {} MB free", target,
                                           bytes_missing >> 20, free_bytes >> 20));
    }
  }
  return OkStatus();
}

// One try; OK when all bytes are in the part file.
Status Try(const HubOptions& options, const HubReference& reference, Transfer* transfer) {
  const std::string url = fmt::format("{}/{}/resolve/{}/{}", options.endpoint, reference.repository,
                                      reference.revision, UrlPath(transfer->file.path));
  const Curl curl = NewRequest(options, url);
  if (!curl) return Unavailable("cannot start an HTTP request");
  transfer->curl = curl.get();
  transfer->checked = false;
  transfer->error = OkStatus();
  if (lseek(transfer->fd, static_cast<off_t>(transfer->have), SEEK_SET) < 0) {
    return Unavailable("cannot seek in the part file");
  }
  // Not CURLOPT_RESUME_FROM: that refuses a server that answers 200, and we can start again.
  const std::string range = std::to_string(transfer->have) + "-";
  if (transfer->have > 0) curl_easy_setopt(curl.get(), CURLOPT_RANGE, range.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &Transfer::Append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, transfer);
  const CURLcode result = curl_easy_perform(curl.get());
  if (transfer->stopped) return Cancelled("stopped; the same command goes on where it ended");
  if (!transfer->error.ok()) return transfer->error;
  long code = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &code);
  if (code >= 400) return StatusOfHttp(code, reference);
  if (result != CURLE_OK) return Unavailable(curl_easy_strerror(result));
  if (transfer->have < transfer->file.size) return Unavailable("the transfer ended early");
  return OkStatus();
}

bool WorthAnotherTry(const Status& status) {
  return status.code() == StatusCode::kUnavailable;
}

Status Download(const HubOptions& options, const HubReference& reference, Transfer* transfer) {
  Status status = OkStatus();
  for (int attempt = 0; attempt < options.tries; ++attempt) {
    if (transfer->have == transfer->file.size) return OkStatus();
    const uint64_t before = transfer->have;
    status = Try(options, reference, transfer);
    if (status.ok() || !WorthAnotherTry(status)) return status;
    if (transfer->have > before) attempt = 0;  // progress: a flaky line may take many tries
    std::this_thread::sleep_for(std::chrono::milliseconds(200 << std::min(attempt, 5)));
  }
  return status.Prefixed(transfer->file.path);
}

}  // namespace

Result<std::vector<HubFile>> ListHubFiles(const HubOptions& options, const HubReference& reference) {
  const std::string url = fmt::format("{}/api/models/{}/tree/{}?recursive=true", options.endpoint,
                                      reference.repository, reference.revision);
  const Curl curl = NewRequest(options, url);
  if (!curl) return Unavailable("cannot start an HTTP request");
  BoundedText body;
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &BoundedText::Append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &body);
  const CURLcode result = curl_easy_perform(curl.get());
  if (result != CURLE_OK) {
    return Unavailable(fmt::format("{}: {}", options.endpoint, curl_easy_strerror(result)));
  }
  long code = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &code);
  if (code != 200) return StatusOfHttp(code, reference);
  auto listing = codec::ParseJson(body.text);
  if (!listing.ok()) return listing.status().Prefixed("the hub's listing");
  const codec::Json::Array* entries = listing->AsArray();
  if (entries == nullptr) return DataLoss("the hub's listing is no list");
  std::vector<HubFile> files;
  for (const codec::Json& entry : *entries) {
    const codec::Json* type = entry.Find("type");
    if (type == nullptr || type->AsString() == nullptr || *type->AsString() != "file") continue;
    if (files.size() >= kHubFilesMax) return ResourceExhausted("the repository has too many files");
    auto file = FileOfEntry(entry);
    if (!file.ok()) return file.status();
    files.push_back(std::move(file).value());
  }
  return files;
}

Status FetchHubFile(const HubOptions& options, const HubReference& reference, const HubFile& file,
                    const std::string& target, const HubProgress& progress) {
  if (access(target.c_str(), F_OK) == 0 && CheckContent(target, file).ok()) {
    if (progress) progress(file.size, file.size);
    return OkStatus();
  }
  const std::string part = target + ".part";
  std::error_code no_part;
  uint64_t have = std::filesystem::file_size(part, no_part);
  if (no_part || have > file.size) have = 0;
  RETURN_IF_ERROR(PrepareDisk(target, file.size - have));
  Transfer transfer{.file = file, .progress = progress};
  transfer.have = have;
  transfer.fd = open(part.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | (have == 0 ? O_TRUNC : 0), 0644);
  if (transfer.fd < 0) return PermissionDenied(part + ": " + ErrnoText(errno));
  Status status = Download(options, reference, &transfer);
  if (status.ok() && fsync(transfer.fd) != 0) status = DataLoss(part + ": " + ErrnoText(errno));
  close(transfer.fd);
  RETURN_IF_ERROR(status);
  status = CheckContent(part, file);
  if (!status.ok()) {
    unlink(part.c_str());
    return status;
  }
  if (rename(part.c_str(), target.c_str()) != 0) {
    return PermissionDenied(target + ": " + ErrnoText(errno));
  }
  return OkStatus();
}

}  // namespace pelton::links
