#include "capture/extent_pipeline.h"

#include <algorithm>

#include "pg/format/page.h"

namespace pgstrata {

namespace {

constexpr std::size_t queued_runs_per_worker = 4;
constexpr std::size_t max_suspects = 100'000;
constexpr std::uint32_t blocks_per_segment = 131'072;  // RELSEG_SIZE of every packaged PostgreSQL: 1 GiB

}  // namespace

IncomingFile::IncomingFile(FileEntry entry, bool check_pages) : entry_(std::move(entry)) {
  if (check_pages && has_page_checksums(entry_.path)) relation_ = parse_relation_path(entry_.path);
  missing_leaves_ = (extent_count(entry_.size_bytes) + page_map_leaf_extents - 1) / page_map_leaf_extents;
}

void IncomingFile::begin_leaf(std::uint64_t first, std::vector<ExtentRef> previous) {
  const auto count = static_cast<std::size_t>(
      std::min<std::uint64_t>(extent_count(entry_.size_bytes) - first, page_map_leaf_extents));
  leaf_ = std::make_shared<Leaf>(
      Leaf{first / page_map_leaf_extents, std::vector<ExtentRef>(count), std::move(previous), count});
}

ExtentPipeline::ExtentPipeline(ChunkStore& store, unsigned workers)
    : queue_(queued_runs_per_worker * workers), tree_(store) {
  for (unsigned i = 0; i < workers; ++i)
    writers_.push_back(std::make_unique<ChunkWriter>(store, PackKind::data));
  for (auto& writer : writers_) workers_.emplace_back([this, &chunks = *writer] { work(chunks); });
}

ExtentPipeline::~ExtentPipeline() {
  queue_.abandon();
  workers_.clear();  // joins them while what they use is still there
}

Buffer ExtentPipeline::take_buffer() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_buffers_.empty()) {
      Buffer buffer = std::move(free_buffers_.back());
      free_buffers_.pop_back();
      buffer.resize(0);
      return buffer;
    }
  }
  return Buffer(run_bytes);
}

Result<void> ExtentPipeline::push(std::shared_ptr<IncomingFile> file, std::uint64_t first_extent,
                                  Buffer content) {
  auto leaf = file->leaf_;
  if (queue_.push({std::move(file), std::move(leaf), first_extent, std::move(content)})) return {};
  const std::lock_guard lock(mutex_);
  PGS_ASSERT(error_.has_value());
  return std::unexpected(*error_);
}

bool ExtentPipeline::failed() {
  const std::lock_guard lock(mutex_);
  return error_.has_value();
}

void ExtentPipeline::add_without_content(FileEntry entry) {
  const std::lock_guard lock(tree_mutex_);
  tree_.add(std::move(entry));
}

void ExtentPipeline::work(ChunkWriter& chunks) {
  while (auto run = queue_.pop()) {
    auto stored = store_run(*run, chunks);
    const std::lock_guard lock(mutex_);
    if (!stored) {
      if (!error_) error_ = std::move(stored).error();
      queue_.abandon();
      return;
    }
    free_buffers_.push_back(std::move(run->content));
  }
}

Result<void> ExtentPipeline::store_run(Run& run, ChunkWriter& chunks) {
  auto& file = *run.file;
  const auto content = run.content.view();
  if (file.relation_) check_pages(file, run.first_extent, content);

  auto& leaf = *run.leaf;
  const auto in_leaf = static_cast<std::size_t>(run.first_extent % page_map_leaf_extents);
  std::size_t count = 0;
  for (std::size_t from = 0; from < content.size(); from += extent_bytes, ++count) {
    const auto extent = content.subspan(from, std::min<std::size_t>(extent_bytes, content.size() - from));
    const auto at = in_leaf + count;
    const auto* previous = at < leaf.previous.size() ? &leaf.previous[at] : nullptr;
    PGS_TRY(leaf.extents[at], chunks.put_extent(extent, previous).context("store " + file.entry().path));
  }
  return complete(file, leaf, count);
}

// Counts what is stored; the last extent of a leaf writes the leaf, the last leaf of a file adds the file.
Result<void> ExtentPipeline::complete(IncomingFile& file, IncomingFile::Leaf& leaf, std::size_t count) {
  const std::lock_guard lock(tree_mutex_);
  leaf.missing -= count;
  if (leaf.missing > 0) return {};
  auto& map = file.entry_.map;
  if (extent_count(file.entry_.size_bytes) <= PageMap::max_inline_extents) {
    map.extents = std::move(leaf.extents);
  } else {
    const auto index = static_cast<std::size_t>(leaf.index);
    if (map.leaves.size() <= index) map.leaves.resize(index + 1);
    PGS_TRY(map.leaves[index], tree_.put_page_map_leaf(leaf.extents));
  }
  if (--file.missing_leaves_ == 0) tree_.add(std::move(file.entry_));
  return {};
}

void ExtentPipeline::check_pages(const IncomingFile& file, std::uint64_t first_extent, ByteView content) {
  const auto first_block = static_cast<std::uint32_t>(first_extent * (extent_bytes / page_size));
  const auto blocks = static_cast<std::uint32_t>(content.size() / page_size);
  for (std::uint32_t i = 0; i < blocks; ++i) {
    const auto page = content.subspan(std::size_t{i} * page_size).first<page_size>();
    const BlockNumber block{file.relation_->segment * blocks_per_segment + first_block + i};
    if (verify_page_checksum(page, block)) continue;
    const std::lock_guard lock(mutex_);
    if (suspects_.size() < max_suspects) {
      suspects_.push_back(
          {file.entry().path, file.relation_->relation, file.relation_->fork, block, {first_block + i}});
    } else {
      ++suspects_not_listed_;
    }
  }
}

Result<void> ExtentPipeline::join() {
  queue_.close();
  workers_.clear();
  const std::lock_guard lock(mutex_);
  if (error_) return std::unexpected(*error_);
  return {};
}

Result<ExtentPipeline::Outcome> ExtentPipeline::finish() {
  PGS_CHECK(join());
  Outcome outcome;
  std::set<PackId> packs;
  for (auto& writer : writers_) {
    PGS_CHECK(writer->finish());
    packs.insert(writer->packs().begin(), writer->packs().end());
  }
  const std::lock_guard lock(tree_mutex_);
  outcome.files = tree_.size();
  PGS_TRY(outcome.tree, tree_.finish());
  packs.insert(tree_.packs().begin(), tree_.packs().end());
  outcome.packs.assign(packs.begin(), packs.end());
  outcome.suspects = std::move(suspects_);
  outcome.suspects_not_listed = suspects_not_listed_;
  return outcome;
}

void ExtentPipeline::keep_what_is_stored() {
  queue_.abandon();
  workers_.clear();
  for (auto& writer : writers_) [[maybe_unused]] const auto kept = writer->finish();
}

}  // namespace pgstrata
