// What a lease object says, sealed like a record. docs/formats/lease.md. Internal to the room.
#pragma once

#include "repo/lease.h"

namespace pgstrata {

struct LeaseContent {
  std::string token;  // drawn for each acquisition: tells one holding from the next of the same process
  LeaseHolder holder;
  std::chrono::milliseconds time_to_live{0};
  bool released = false;
};

// "leases/NAME", relative to the cluster's space.
[[nodiscard]] std::string lease_object_name(std::string_view name);
[[nodiscard]] Bytes seal_lease(const ClusterSpace& space, std::string_view name, const LeaseContent& content);
// Errors: damaged; newer_format.
Result<LeaseContent> open_lease(const ClusterSpace& space, std::string_view name, ByteView object);

// The part of it that is inside the seal, for the fuzz target. Error: damaged.
Result<LeaseContent> parse_lease_content(ByteView json);

}  // namespace pgstrata
