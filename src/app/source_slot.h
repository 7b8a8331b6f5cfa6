// The replication slot that `add` sees to on a source.
#pragma once

#include <string>
#include <string_view>

#include "base/cancellation.h"
#include "pg/wire/connection_url.h"

namespace pgstrata {

enum class SlotTakeover {
  refused,  // whose a slot is that is there already is not known
  allowed,
};

// True when the slot was there, false when it was made; one that the server has given up is made anew.
// Errors: failed (it is there, and may not be taken over), busy (somebody streams from it), those of the
// connection.
[[nodiscard]] Result<bool> ensure_slot(const ConnectionUrl& url, const std::string& slot,
                                       SlotTakeover takeover, const Cancellation& cancellation);

// What an operator runs on the server: "SELECT pg_drop_replication_slot('pgstrata_app');".
[[nodiscard]] std::string drop_slot_sql(std::string_view slot);

}  // namespace pgstrata
