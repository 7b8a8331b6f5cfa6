#include "storage/fault/fault_machine.h"

#include <algorithm>

namespace pgstrata {
namespace {

constexpr std::uint64_t sector_size_bytes = 512;

}  // namespace

std::optional<Fault::Kind> FaultMachine::begin_step(std::string_view what, std::string_view name) {
  if (crashed_) {
    failure_ = Error(ErrorCode::unavailable, "the store has crashed");
    return Fault::Kind::crash;
  }
  ++steps_;
  if (!fault_ || steps_ < fault_->at_step || steps_ - fault_->at_step >= fault_->step_count)
    return std::nullopt;
  last_fault_ = fmt::format("step {}: {} {} (seed {})", steps_, what, name, seed_);
  failure_ = make_error(fault_->code, "injected fault at {}", last_fault_);
  return fault_->kind;
}

void FaultMachine::crash_locked() {
  if (crashed_) return;
  crashed_ = true;
  for (const auto& tail : tails_) tear(*tail);
  tails_.clear();
}

// The first lost sector may begin inside what was synced only if it was written again, and a journal never
// does.
void FaultMachine::tear(JournalTail& tail) {
  Bytes& bytes = tail.unsynced;
  if (bytes.empty()) return;
  switch (below(4)) {
    case 0:
      bytes.clear();
      break;
    case 1:
      bytes.resize(below(bytes.size() + 1));
      break;
    case 2:
      break;
    default:
      for (std::uint64_t at = 0; at < bytes.size();) {
        const std::uint64_t place = tail.synced_bytes + at;
        const std::uint64_t end =
            std::min<std::uint64_t>(bytes.size(), at + sector_size_bytes - place % sector_size_bytes);
        if (coin()) std::fill(bytes.data() + at, bytes.data() + end, std::byte{0});
        at = end;
      }
  }
  // The store beneath is the test's own: a failure there would make the crash another one than the seed says.
  PGS_ASSERT(tail.beneath->append(bytes).has_value() && tail.beneath->sync().has_value());
  bytes.clear();
}

std::shared_ptr<JournalTail> FaultMachine::add_journal(std::unique_ptr<ObjectJournal> journal) {
  std::erase_if(tails_, [](const auto& tail) { return tail.use_count() == 1 && tail->unsynced.empty(); });
  auto tail = std::make_shared<JournalTail>();
  tail->beneath = std::move(journal);
  tails_.push_back(tail);
  return tail;
}

void FaultMachine::set_fault(std::optional<Fault> fault) {
  const std::lock_guard lock(mutex_);
  fault_ = fault;
}

void FaultMachine::crash() {
  const std::lock_guard lock(mutex_);
  crash_locked();
}

std::uint64_t FaultMachine::steps() const {
  const std::lock_guard lock(mutex_);
  return steps_;
}

bool FaultMachine::crashed() const {
  const std::lock_guard lock(mutex_);
  return crashed_;
}

std::string FaultMachine::last_fault() const {
  const std::lock_guard lock(mutex_);
  return last_fault_;
}

}  // namespace pgstrata
