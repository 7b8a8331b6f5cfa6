// The tails of one segment on a store that has no journals: each flush puts an object of its own.
//
// A segment may take hours to fill, and whoever reads its tails reads each: so those that are small and lie side by
// side are put together, eight into one, again and again. What a tail was put into goes after a while: who
// has just listed it can still read it. What a crash leaves is a tail that another one covers. Belongs to one
// thread.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "catalog/wal_tail.h"

namespace pgstrata {

class WalSmallTails {
 public:
  static constexpr std::size_t put_together = 8;
  // Only what is in memory is put together: the newest bytes.
  static constexpr std::size_t memory_bytes = 1U << 20;
  static constexpr std::chrono::seconds readable_for{30};

  WalSmallTails(const ClusterSpace& space, TimelineId timeline, std::uint32_t segment_bytes,
                const Clock& clock);

  // Puts the bytes from `start` on, and the mark, if there is one; durable when it returns. `start` is where the last
  // ones ended. Errors: those of the store.
  Result<void> put(Lsn start, const std::vector<ByteView>& bytes, const std::optional<WalMark>& mark);

  // All that are still there.
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  struct Tail {
    std::string name;
    Lsn start;
    Lsn end;
    std::vector<WalMark> marks;
    int level = 0;  // it took eight of the level below
  };
  struct Retired {
    std::string name;
    SteadyTime readable_until;
  };

  Result<Tail> write(Lsn start, const std::vector<ByteView>& bytes, std::vector<WalMark> marks, int level);
  void remember(Lsn start, const std::vector<ByteView>& bytes);
  // Whether the last eight may become one.
  [[nodiscard]] bool may_put_together() const;
  Result<void> put_last_together();
  void remove_retired();

  const ClusterSpace space_;
  const TimelineId timeline_;
  const std::uint32_t segment_bytes_;
  const Clock& clock_;
  std::vector<Tail> tails_;
  std::deque<Retired> retired_;
  Bytes recent_;  // the newest bytes
  Lsn recent_start_;
};

}  // namespace pgstrata
