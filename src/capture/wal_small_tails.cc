#include "capture/wal_small_tails.h"

#include <algorithm>

#include "base/log.h"

namespace pgstrata {

WalSmallTails::WalSmallTails(const ClusterSpace& space, TimelineId timeline, std::uint32_t segment_bytes,
                             const Clock& clock)
    : space_(space), timeline_(timeline), segment_bytes_(segment_bytes), clock_(clock) {}

Result<void> WalSmallTails::put(Lsn start, const std::vector<ByteView>& bytes,
                                const std::optional<WalMark>& mark) {
  std::vector<WalMark> marks;
  if (mark) marks.push_back(*mark);
  PGS_TRY(Tail tail, write(start, bytes, std::move(marks), 0));
  tails_.push_back(std::move(tail));
  remember(start, bytes);
  while (may_put_together()) PGS_CHECK(put_last_together());
  remove_retired();
  return {};
}

std::vector<std::string> WalSmallTails::names() const {
  std::vector<std::string> all;
  for (const Tail& tail : tails_) all.push_back(tail.name);
  for (const Retired& retired : retired_) all.push_back(retired.name);
  return all;
}

Result<WalSmallTails::Tail> WalSmallTails::write(Lsn start, const std::vector<ByteView>& bytes,
                                                 std::vector<WalMark> marks, int level) {
  PGS_TRY(auto writer, WalTailWriter::create(space_, timeline_, start, segment_bytes_));
  for (const ByteView piece : bytes) PGS_CHECK(writer.append(piece));
  for (const WalMark& mark : marks) PGS_CHECK(writer.mark(mark));
  PGS_CHECK(writer.vouch());
  return Tail{
      .name = writer.name(), .start = start, .end = writer.end(), .marks = std::move(marks), .level = level};
}

void WalSmallTails::remember(Lsn start, const std::vector<ByteView>& bytes) {
  if (recent_.empty()) recent_start_ = start;
  for (const ByteView piece : bytes) append(recent_, piece);
  if (recent_.size() <= 2 * memory_bytes) return;
  const std::size_t too_many = recent_.size() - memory_bytes;
  recent_.erase(recent_.begin(), recent_.begin() + static_cast<std::ptrdiff_t>(too_many));
  recent_start_ += too_many;
}

bool WalSmallTails::may_put_together() const {
  if (tails_.size() < put_together) return false;
  const Tail& first = tails_[tails_.size() - put_together];
  return first.start >= recent_start_ && first.level == tails_.back().level;
}

Result<void> WalSmallTails::put_last_together() {
  const auto first = tails_.end() - static_cast<std::ptrdiff_t>(put_together);
  std::vector<WalMark> marks;
  for (auto tail = first; tail != tails_.end(); ++tail) {
    for (const WalMark& mark : tail->marks) {
      // Of several at one LSN the last one counts.
      if (!marks.empty() && marks.back().lsn == mark.lsn) marks.pop_back();
      marks.push_back(mark);
    }
  }
  const ByteView bytes =
      ByteView(recent_).subspan(first->start - recent_start_, tails_.back().end - first->start);
  PGS_TRY(Tail together, write(first->start, {bytes}, std::move(marks), first->level + 1));
  const SteadyTime readable_until = clock_.steady() + readable_for;
  for (auto tail = first; tail != tails_.end(); ++tail)
    retired_.push_back({std::move(tail->name), readable_until});
  tails_.erase(first, tails_.end());
  tails_.push_back(std::move(together));
  return {};
}

void WalSmallTails::remove_retired() {
  while (!retired_.empty() && retired_.front().readable_until <= clock_.steady()) {
    const std::string name = space_.object_name(retired_.front().name);
    if (const auto removed = space_.store().remove(name); !removed) {
      log_debug("{} stays for now: {}", name, removed.error().describe());
      return;
    }
    retired_.pop_front();
  }
}

}  // namespace pgstrata
