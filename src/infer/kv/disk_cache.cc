#include "kv/disk_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <tuple>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "kv/disk_folder.h"

namespace pelton::kv {

namespace {

constexpr size_t kReadsMax = 64;                      // under way at once
constexpr size_t kFilesMax = 1 << 18;                 // in the folder, whatever their size
constexpr int64_t kRestNs = 60'000'000'000;           // without writing after one has failed
constexpr int64_t kEndNs = 5'000'000'000;             // for the queue at the end

int64_t WallNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

size_t QueuedBytes(const DiskWrite& write) {
  return write.data.size() + write.tokens.size() * sizeof(int32_t);
}

}  // namespace

bool DiskCache::HashLess::operator()(const std::pair<int64_t, BlockHash>& a,
                                     const std::pair<int64_t, BlockHash>& b) const {
  return std::tie(a.first, a.second.low, a.second.high) <
         std::tie(b.first, b.second.low, b.second.high);
}

Result<std::unique_ptr<DiskCache>> DiskCache::Open(const DiskCacheOptions& options) {
  std::unique_ptr<DiskCache> cache(new DiskCache(options));
  auto folder = DiskFolder::Open(options.folder, /*make=*/true);
  RETURN_IF_ERROR(folder.status());
  cache->folder_ = *std::move(folder);
  RETURN_IF_ERROR(cache->folder_.Lock());
  bool fresh = false;
  auto key = cache->folder_.Key(&fresh);
  RETURN_IF_ERROR(key.status());
  cache->key_ = *key;
  cache->Scan(/*keep=*/!fresh);
  if (!options.own_thread) return cache;
  cache->thread_ = StartThread("kv-disk", [raw = cache.get()](std::stop_token) { raw->Run(); });
  return cache;
}

DiskCache::~DiskCache() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& read : reads_) read->ended_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  StoreTimes();
}

// Before the thread starts. Without the key that they were written with files are of no use.
void DiskCache::Scan(bool keep) {
  const std::lock_guard lock(mutex_);
  folder_.Visit([&](const std::string& name, uint64_t bytes, int64_t changed_ns) {
    const auto hash = ParseDiskFileName(name);
    const bool sized = bytes > kDiskHeaderBytes + kDiskMacBytes;
    if (!hash || !sized || !keep) {
      folder_.Delete(name);
      ++counts_.damaged;
      return;
    }
    AddLocked(*hash, bytes, changed_ns);
  });
  ShrinkLocked(options_.bytes_max);
}

int DiskCache::CountPresent(std::span<const BlockHash> hashes, int first) {
  const int64_t now_ns = WallNs();
  const std::lock_guard lock(mutex_);
  auto end = static_cast<size_t>(first);
  while (end < hashes.size() && files_.contains(hashes[end])) ++end;
  for (size_t i = 0; i < end; ++i) TouchLocked(hashes[i], now_ns - static_cast<int64_t>(i));
  return static_cast<int>(end) - first;
}

bool DiskCache::Wants(const BlockHash& hash, size_t data_bytes) {
  const std::lock_guard lock(mutex_);
  if (stopping_ || files_.contains(hash) || queued_.contains(hash)) return false;
  if (data_bytes > options_.bytes_max / 2) return false;  // one block would be most of the cache
  if (no_writes_until_ns_ > NowNs()) return false;
  const bool room = queued_bytes_ == 0 || queued_bytes_ + data_bytes <= options_.queued_bytes_max;
  if (room) return true;
  ++counts_.skipped;
  return false;
}

void DiskCache::Write(DiskWrite write) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || !queued_.insert(write.hash).second) return;
    queued_bytes_ += QueuedBytes(write);
    writes_.push_back(std::move(write));
  }
  wake_.notify_one();
}

std::vector<std::byte> DiskCache::Buffer(size_t bytes) {
  std::vector<std::byte> buffer;
  {
    const std::lock_guard lock(mutex_);
    if (!spare_.empty()) {
      buffer = std::move(spare_.back());
      spare_.pop_back();
      spare_bytes_ -= buffer.capacity();
    }
  }
  buffer.resize(bytes);
  return buffer;
}

void DiskCache::KeepBufferLocked(std::vector<std::byte> buffer) {
  if (spare_bytes_ + buffer.capacity() > options_.staged_bytes_max) return;
  spare_bytes_ += buffer.capacity();
  spare_.push_back(std::move(buffer));
}

std::shared_ptr<DiskRead> DiskCache::Read(DiskRun run) {
  const auto wanted = DiskFileBytes(run.tokens.size(), run.data_bytes);
  const size_t blocks = run.block_tokens < 1 ? 0 : run.tokens.size() / static_cast<size_t>(run.block_tokens);
  if (!wanted || run.first < 0 || blocks != static_cast<size_t>(run.first) + run.hashes.size()) {
    return nullptr;
  }
  auto read = std::make_shared<DiskRead>(std::move(run));
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || reads_.size() >= kReadsMax) return nullptr;
    reads_.push_back(read);
  }
  wake_.notify_one();
  return read;
}

std::optional<std::span<const std::byte>> DiskCache::Take(DiskRead& read, bool* more) {
  const std::lock_guard lock(mutex_);
  if (read.taken_) {  // what the last Take gave
    staged_bytes_ -= read.ready_.front().size();
    KeepBufferLocked(std::move(read.ready_.front()));
    read.ready_.pop_front();
    read.taken_ = false;
    wake_.notify_one();
  }
  *more = !read.ready_.empty() || !read.ended_;
  if (read.ready_.empty()) return std::nullopt;
  read.taken_ = true;
  const std::span<const std::byte> file = read.ready_.front();
  return file.subspan(file.size() - kDiskMacBytes - read.run_.data_bytes, read.run_.data_bytes);
}

void DiskCache::End(DiskRead& read) {
  const std::lock_guard lock(mutex_);
  read.ended_ = true;
  for (auto& file : read.ready_) {
    staged_bytes_ -= file.size();
    KeepBufferLocked(std::move(file));
  }
  read.ready_.clear();
  read.taken_ = false;
  std::erase_if(reads_, [&](const auto& other) { return other.get() == &read; });
  wake_.notify_one();
}

// The next read with something to do, in turn; so none waits for another's taker.
std::shared_ptr<DiskRead> DiskCache::ReadableLocked() {
  for (size_t i = 0; i < reads_.size(); ++i) {
    const auto& read = reads_[(turn_ + i) % reads_.size()];
    const size_t bytes = read->run_.data_bytes + kDiskHeaderBytes + kDiskMacBytes +
                         read->run_.tokens.size() * sizeof(int32_t);
    const bool room = staged_bytes_ == 0 || staged_bytes_ + bytes <= options_.staged_bytes_max;
    if (read->ended_ || !room) continue;
    turn_ = (turn_ + i + 1) % reads_.size();
    return read;
  }
  return nullptr;
}

void DiskCache::Run() {
  std::unique_lock lock(mutex_);
  int64_t end_ns = 0;
  while (true) {
    if (stopping_ && end_ns == 0) end_ns = NowNs() + kEndNs;
    if (const auto read = stopping_ ? nullptr : ReadableLocked()) {
      ReadOne(lock, *read);
    } else if (!writes_.empty() && (end_ns == 0 || NowNs() < end_ns)) {
      WriteOne(lock);
    } else {
      quiet_.notify_all();
      if (stopping_) return;
      wake_.wait(lock);
    }
  }
}

bool DiskCache::Work() {
  std::unique_lock lock(mutex_);
  if (const auto read = ReadableLocked()) {
    ReadOne(lock, *read);
  } else if (!writes_.empty()) {
    WriteOne(lock);
  } else {
    return false;
  }
  return true;
}

void DiskCache::ReadOne(std::unique_lock<std::mutex>& lock, DiskRead& read) {
  const DiskRun& run = read.run_;
  const size_t at = read.next_;
  const BlockHash hash = run.hashes[at];
  lock.unlock();
  bool there = false;
  auto file = LoadFile(run, at, &there);
  lock.lock();
  if (!file.ok()) {
    if (there) {  // a file that is not what its name says
      folder_.Delete(DiskFileName(hash));
      ++counts_.damaged;
    }
    ForgetLocked(hash);
  }
  if (read.ended_) return;  // meanwhile, by its taker
  if (file.ok()) {
    ++counts_.read;
    staged_bytes_ += file->size();
    read.ready_.push_back(*std::move(file));
    ++read.next_;
  }
  read.ended_ = !file.ok() || read.next_ == run.hashes.size();
  if (run.wake) run.wake();
}

Result<std::vector<std::byte>> DiskCache::LoadFile(const DiskRun& run, size_t at, bool* there) {
  const size_t tokens =
      (static_cast<size_t>(run.first) + at + 1) * static_cast<size_t>(run.block_tokens);
  const size_t bytes = *DiskFileBytes(tokens, run.data_bytes);
  auto buffer = Buffer(bytes);
  RETURN_IF_ERROR(folder_.Load(DiskFileName(run.hashes[at]), buffer, there));
  const DiskName name{.hash = run.hashes[at], .scope = run.scope, .salt = run.salt,
                      .tokens = std::span(run.tokens).first(tokens),
                      .block_tokens = static_cast<uint32_t>(run.block_tokens)};
  RETURN_IF_ERROR(ReadDiskBlock(buffer, key_, name, run.data_bytes).status());
  return buffer;
}

void DiskCache::WriteOne(std::unique_lock<std::mutex>& lock) {
  DiskWrite write = std::move(writes_.front());
  writes_.pop_front();
  writing_ = true;
  const size_t bytes = *DiskFileBytes(write.tokens.size(), write.data.size());
  ShrinkLocked(options_.bytes_max - std::min<uint64_t>(options_.bytes_max, bytes));
  lock.unlock();
  const DiskName name{.hash = write.hash, .scope = write.scope, .salt = write.salt,
                      .tokens = write.tokens,
                      .block_tokens = static_cast<uint32_t>(write.block_tokens)};
  const std::string prologue = DiskPrologue(name, write.data.size());
  const TenantSalt mac = DiskMac(key_, std::as_bytes(std::span(prologue)), write.data);
  const Status status =
      folder_.Store(DiskFileName(write.hash), std::as_bytes(std::span(prologue)), write.data,
                    std::as_bytes(std::span(mac)));
  lock.lock();
  writing_ = false;
  queued_.erase(write.hash);
  queued_bytes_ -= QueuedBytes(write);
  if (status.ok()) {
    ++counts_.written;
    const auto parent = files_.find(write.parent);
    const int64_t now_ns = WallNs();
    AddLocked(write.hash, bytes, parent == files_.end() ? now_ns : parent->second.used_ns - 1);
    files_[write.hash].touched = true;
  } else {
    ++counts_.failed;
    no_writes_until_ns_ = NowNs() + kRestNs;
    LogWarn("kv", "prefix cache on disk: {}; nothing is written for a minute", status.message());
  }
  KeepBufferLocked(std::move(write.data));
}

void DiskCache::AddLocked(const BlockHash& hash, uint64_t bytes, int64_t used_ns) {
  ForgetLocked(hash);
  files_[hash] = {.bytes = bytes, .used_ns = used_ns};
  by_use_.insert({used_ns, hash});
  bytes_ += bytes;
}

void DiskCache::TouchLocked(const BlockHash& hash, int64_t used_ns) {
  const auto at = files_.find(hash);
  if (at == files_.end()) return;
  by_use_.erase({at->second.used_ns, hash});
  at->second.used_ns = used_ns;
  at->second.touched = true;
  by_use_.insert({used_ns, hash});
}

void DiskCache::ForgetLocked(const BlockHash& hash) {
  const auto at = files_.find(hash);
  if (at == files_.end()) return;
  by_use_.erase({at->second.used_ns, hash});
  bytes_ -= at->second.bytes;
  files_.erase(at);
}

void DiskCache::ShrinkLocked(uint64_t bytes_max) {
  while (!by_use_.empty() && (bytes_ > bytes_max || files_.size() > kFilesMax)) {
    const BlockHash hash = by_use_.begin()->second;
    folder_.Delete(DiskFileName(hash));
    ForgetLocked(hash);
    ++counts_.evicted;
  }
}

// So that the next process knows what was used last. The thread has ended.
void DiskCache::StoreTimes() {
  const std::lock_guard lock(mutex_);
  for (const auto& [hash, file] : files_) {
    if (file.touched) folder_.SetTime(DiskFileName(hash), file.used_ns);
  }
}

void DiskCache::Flush() {
  std::unique_lock lock(mutex_);
  quiet_.wait(lock, [&] { return writes_.empty() && !writing_; });
}

DiskCacheStats DiskCache::Stats() const {
  const std::lock_guard lock(mutex_);
  DiskCacheStats stats = counts_;
  stats.files = files_.size();
  stats.bytes = bytes_;
  stats.bytes_max = options_.bytes_max;
  stats.memory_bytes = queued_bytes_ + staged_bytes_ + spare_bytes_;
  stats.memory_bytes_max = memory_bytes_max();
  return stats;
}

size_t DiskCache::memory_bytes_max() const {
  return options_.queued_bytes_max + 2 * options_.staged_bytes_max;
}

}  // namespace pelton::kv
