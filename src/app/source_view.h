// A short look at a source, for status.
#pragma once

#include "app/cluster_status.h"

namespace pgstrata {

// Waits two seconds at most. A source that does not answer, or refuses, is told in the view. Error:
// cancelled.
[[nodiscard]] Result<SourceView> view_source(const ClusterRecord& record, const Cancellation& cancellation);

}  // namespace pgstrata
