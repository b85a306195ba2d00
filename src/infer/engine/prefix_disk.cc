// The disk's part in a turn: blocks that were kept by an earlier process, or that memory had no room
// for. A waiting sequence whose text goes on there waits until the blocks have been read, and others
// may pass it; what the disk's thread has read is copied in small pieces, so that streams go on.
#include <algorithm>

#include "engine/loop.h"

namespace pelton::engine {

namespace {

constexpr size_t kLoadBytesATurn = size_t{8} << 20;  // copied in: some 2 ms
constexpr size_t kSaveBytesATurn = size_t{8} << 20;  // of blocks found again; fresh ones beside
constexpr int64_t kLoadWaitNs = 2'000'000'000;       // without a block: the disk is too slow

}  // namespace

Loop::~Loop() {
  for (const auto& sequence : ranked_) EndLoad(*sequence);
}

// What the disk's thread has read since the last turn.
void Loop::TakeLoads() {
  load_bytes_left_ = kLoadBytesATurn;
  save_bytes_left_ = kSaveBytesATurn;
  loads_left_ = false;
  if (disk_ == nullptr) return;
  for (const auto& sequence : ranked_) {
    if (!sequence->load) continue;
    FindPrefix(*sequence);
    TakeLoaded(*sequence);
  }
}

// Whether `sequence` waits for blocks to be read.
bool Loop::LoadsFromDisk(Sequence& sequence) {
  if (disk_ == nullptr) return false;
  if (!sequence.load && !sequence.load_tried && !sequence.paused) StartLoad(sequence);
  return sequence.load != nullptr;
}

void Loop::StartLoad(Sequence& sequence) {
  sequence.load_tried = true;
  const int blocks_max = (sequence.known() - 1) / limits_.block_tokens;
  const auto first = static_cast<int>(sequence.found.size());
  if (first >= blocks_max) return;
  const auto names = sequence.chain.First(cache_.hasher(), sequence.tokens, blocks_max,
                                          limits_.block_tokens);
  const int present = disk_->CountPresent(names, first);
  if (present == 0) return;
  const auto wanted = names.subspan(static_cast<size_t>(first), static_cast<size_t>(present));
  const int end = (first + present) * limits_.block_tokens;
  sequence.load = disk_->Read({.tokens = {sequence.tokens.begin(), sequence.tokens.begin() + end},
                               .hashes = {wanted.begin(), wanted.end()},
                               .first = first,
                               .block_tokens = limits_.block_tokens,
                               .data_bytes = storage_.all_layers_block_bytes(),
                               .scope = cache_.hasher().scope(),
                               .salt = sequence.chain.salt(),
                               .wake = [&inbox = parts_.inbox] { inbox.Wake(); }});
  if (!sequence.load) {
    sequence.load_tried = false;  // too many at once: in a later turn
    return;
  }
  sequence.load_next = first;
  sequence.load_since_ns = parts_.clock.NowNs();
}

// What has been read becomes kept blocks that nobody holds, as if an earlier request had left them.
void Loop::TakeLoaded(Sequence& sequence) {
  auto& found = sequence.found;
  const std::vector<kv::BlockId> held = found;
  cache_.Acquire(held);  // making room must not evict what the new blocks follow
  std::vector<kv::BlockId> fresh;
  bool more = true;
  while (more && load_bytes_left_ > 0) {
    const auto data = disk_->Take(*sequence.load, &more);
    if (!data) break;
    sequence.load_since_ns = parts_.clock.NowNs();
    const int index = sequence.load_next++;
    if (index < static_cast<int>(found.size())) continue;  // computed meanwhile by another
    const auto block = cache_.Allocate(1);
    if (index > static_cast<int>(found.size()) || !block) {
      if (block) cache_.Release(*block);
      more = false;
      break;
    }
    storage_.CopyIn(block->front(), *data);
    found.push_back(cache_.Keep(sequence.chain, sequence.tokens, index,
                                index == 0 ? kv::kNoBlock : found.back(), block->front()));
    fresh.push_back(found.back());
    load_bytes_left_ -= std::min(load_bytes_left_, data->size());
    ++counts_.prefix_loaded_blocks;
  }
  cache_.Release(fresh);
  cache_.Release(held);
  sequence.found_at = cache_.evictions();
  if (load_bytes_left_ == 0) loads_left_ = true;
  if (!more || parts_.clock.NowNs() - sequence.load_since_ns > kLoadWaitNs) EndLoad(sequence);
}

void Loop::EndLoad(Sequence& sequence) {
  if (!sequence.load) return;
  disk_->End(*sequence.load);
  sequence.load.reset();
}

// Hands a copy of a computed block to the disk's thread. A full queue drops it: the next request that
// finds the block in memory tries again.
void Loop::SaveBlock(Sequence& sequence, int index) {
  const size_t bytes = storage_.all_layers_block_bytes();
  const auto names = sequence.chain.First(cache_.hasher(), sequence.tokens, index + 1,
                                          limits_.block_tokens);
  if (!disk_->Wants(names.back(), bytes)) return;
  kv::DiskWrite write;
  write.hash = names.back();
  if (index > 0) write.parent = names[static_cast<size_t>(index) - 1];
  write.scope = cache_.hasher().scope();
  write.salt = sequence.chain.salt();
  write.tokens.assign(sequence.tokens.begin(),
                      sequence.tokens.begin() + (index + 1) * limits_.block_tokens);
  write.block_tokens = limits_.block_tokens;
  write.data = disk_->Buffer(bytes);
  storage_.CopyOut(sequence.blocks[static_cast<size_t>(index)], write.data);
  disk_->Write(std::move(write));
}

// Text that was written once is in most cases never asked for again, so answers go to the disk when a
// later request has found them; prompts go at once.
void Loop::SaveFound(Sequence& sequence) {
  if (disk_ == nullptr) return;
  disk_->CountPresent(sequence.chain.First(cache_.hasher(), sequence.tokens, sequence.kept,
                                           limits_.block_tokens), 0);  // used now
  const size_t bytes = storage_.all_layers_block_bytes();
  for (int i = 0; i < sequence.kept && save_bytes_left_ > 0; ++i) {
    if (!disk_->Wants(sequence.chain.At(cache_.hasher(), sequence.tokens, i, limits_.block_tokens),
                      bytes)) {
      continue;
    }
    SaveBlock(sequence, i);
    save_bytes_left_ -= std::min(save_bytes_left_, bytes);
  }
}

}  // namespace pelton::engine
