// The prefix cache on disk: KV blocks that survive the process, under a size cap. One a process, for
// all of its models. Files are written and read by the thread "kv-disk"; the engines' threads only
// hand over and take, and never wait for the disk.
//
// The files hold users' prompts in readable form: 0600 in a folder 0700. A file is written whole
// under another name and then renamed, and believed only after its MAC (disk_format.h), so a crash
// leaves nothing that is taken for a block. What is damaged or foreign is dropped and counted.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/status.h"
#include "kv/disk_folder.h"
#include "kv/disk_format.h"
#include "kv/prefix_hash.h"

namespace pelton::kv {

struct DiskCacheOptions {
  std::string folder = {};
  uint64_t bytes_max = 0;
  std::string build = {};  // what computed the blocks: other builds' are not found
  bool own_thread = true;  // else whoever has it calls Work (simulations)
  // Memory of blocks read and not yet taken, of used buffers kept for the next ones, and of blocks handed
  // over and not yet written. One block is taken whatever its size.
  size_t staged_bytes_max = size_t{16} << 20;
  size_t queued_bytes_max = size_t{32} << 20;
};

struct DiskCacheStats {
  uint64_t files = 0, bytes = 0, bytes_max = 0;
  uint64_t memory_bytes = 0, memory_bytes_max = 0;  // staged and queued
  uint64_t written = 0, read = 0;    // blocks
  uint64_t evicted = 0;              // files deleted to keep the cap
  uint64_t damaged = 0;              // files dropped: cut, changed, foreign
  uint64_t skipped = 0;              // blocks not written because the queue was full
  uint64_t failed = 0;               // writes that the system refused
};

// A run of consecutive blocks of one text, wanted from the disk.
struct DiskRun {
  std::vector<int32_t> tokens;    // the text up to the end of the last block
  std::vector<BlockHash> hashes;  // of the blocks wanted
  int first = 0;                  // number of the first of them in the text
  int block_tokens = 0;
  size_t data_bytes = 0;          // of a block
  TenantSalt scope{}, salt{};
  // Called on the disk's thread, under its lock, when there is something to Take.
  std::function<void()> wake;
};

// Such a run under way.
class DiskRead {
 public:
  explicit DiskRead(DiskRun run) : run_(std::move(run)) {}

 private:
  friend class DiskCache;
  const DiskRun run_;
  // Guarded by the cache's mutex.
  std::deque<std::vector<std::byte>> ready_;  // whole files, checked
  size_t next_ = 0;                           // into run_.hashes: to be read next
  bool ended_ = false;                        // nothing more is read
  bool taken_ = false;                        // ready_'s first is with the taker
};

// What is to be written of one block.
struct DiskWrite {
  BlockHash hash;
  BlockHash parent;   // of the block before it; any when there is none
  TenantSalt scope{}, salt{};
  std::vector<int32_t> tokens;  // the text up to its end
  int block_tokens = 0;
  std::vector<std::byte> data;  // from Buffer()
};

class DiskCache {  // thread-safe
 public:
  // Makes the folder, its key and its lock, and reads the list of its files; what is left of an
  // unfinished write and what exceeds the cap goes. FAILED_PRECONDITION when another process uses it.
  static Result<std::unique_ptr<DiskCache>> Open(const DiskCacheOptions& options);
  ~DiskCache();  // writes what is queued, then ends the thread

  const ServerKey& key() const { return key_; }
  const std::string& build() const { return options_.build; }

  // `hashes`: of a text from its first block on. How many from number `first` on have files without a
  // gap. Marks all up to there as used now.
  int CountPresent(std::span<const BlockHash> hashes, int first);

  // False when the block is there, queued already, or the queue is full. Cheap: ask before copying.
  bool Wants(const BlockHash& hash, size_t data_bytes);
  void Write(DiskWrite write);
  std::vector<std::byte> Buffer(size_t bytes);  // used ones again

  // Begins to read what CountPresent found. Null when too many reads are under way. Whoever began it ends it.
  std::shared_ptr<DiskRead> Read(DiskRun run);
  // The next block's data, when it is ready, valid until the next Take or End of this read.
  // `more`: false when nothing will come any more.
  std::optional<std::span<const std::byte>> Take(DiskRead& read, bool* more);
  void End(DiskRead& read);  // after it `wake` is never called

  bool Work();   // without own_thread: reads or writes one block; false: nothing to do
  void Flush();  // waits until everything queued is written; for tests and the end
  DiskCacheStats Stats() const;
  size_t memory_bytes_max() const;  // what it may hold beside its list of files

 private:
  struct File {
    uint64_t bytes = 0;
    int64_t used_ns = 0;  // wall clock; a block is a little older than the one before it
    bool touched = false; // since the time on disk was set
  };
  struct HashOf {
    size_t operator()(const BlockHash& hash) const { return hash.low; }
  };
  struct HashLess {
    bool operator()(const std::pair<int64_t, BlockHash>& a,
                    const std::pair<int64_t, BlockHash>& b) const;
  };

  explicit DiskCache(const DiskCacheOptions& options) : options_(options) {}
  void Scan(bool keep);
  void Run();
  void WriteOne(std::unique_lock<std::mutex>& lock);
  void ReadOne(std::unique_lock<std::mutex>& lock, DiskRead& read);
  std::shared_ptr<DiskRead> ReadableLocked();
  void AddLocked(const BlockHash& hash, uint64_t bytes, int64_t used_ns);
  void TouchLocked(const BlockHash& hash, int64_t used_ns);
  void ForgetLocked(const BlockHash& hash);
  void ShrinkLocked(uint64_t bytes_max);
  Result<std::vector<std::byte>> LoadFile(const DiskRun& run, size_t at, bool* there);
  void KeepBufferLocked(std::vector<std::byte> buffer);
  void StoreTimes();

  const DiskCacheOptions options_;
  DiskFolder folder_;
  ServerKey key_{};

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable quiet_;
  // All below guarded by mutex_.
  std::unordered_map<BlockHash, File, HashOf> files_;
  std::set<std::pair<int64_t, BlockHash>, HashLess> by_use_;  // oldest first
  std::deque<DiskWrite> writes_;
  std::unordered_set<BlockHash, HashOf> queued_;  // of writes_ and the one being written
  std::vector<std::shared_ptr<DiskRead>> reads_;
  std::vector<std::vector<std::byte>> spare_;
  size_t queued_bytes_ = 0;
  size_t staged_bytes_ = 0;
  size_t spare_bytes_ = 0;
  size_t turn_ = 0;  // into reads_: who is next
  bool writing_ = false;
  bool stopping_ = false;
  int64_t no_writes_until_ns_ = 0;  // after failures; monotonic
  uint64_t bytes_ = 0;
  DiskCacheStats counts_;
  std::jthread thread_;  // last: uses all of the above
};

}  // namespace pelton::kv
