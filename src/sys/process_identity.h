// Which process this is, so that another one can later tell whether it still runs.
//
// A process id alone comes back after a reboot or a wrap-around; with the machine's boot and the moment the
// process started it does not. Process ids of another container mean nothing here, so the namespace counts
// too.
#pragma once

#include <string>
#include <string_view>

#include <sys/types.h>

#include "base/result.h"

namespace pgstrata {

enum class Liveness {
  alive,
  dead,
  unknown,  // on another machine, in another container, or hidden from us
};

struct ProcessIdentity {
  std::string host_name;  // only [A-Za-z0-9.-]; all else is replaced by "-"
  std::string boot_id;    // a UUID, new with each boot
  std::uint64_t pid_namespace = 0;
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  // since boot, as the kernel counts

  bool operator==(const ProcessIdentity&) const = default;

  // Error: failed or permission, when /proc cannot be read.
  static Result<ProcessIdentity> self();
  // Of a process of this machine and container. Errors: not_found, when there is none; permission, when it
  // is hidden from us.
  static Result<ProcessIdentity> of(pid_t pid);

  [[nodiscard]] Liveness liveness() const;
};

// "1234.5678.4026531836.c0ffee00-….host": fit for file and object names.
[[nodiscard]] std::string to_string(const ProcessIdentity& identity);
// Error: usage.
[[nodiscard]] Result<ProcessIdentity> parse_process_identity(std::string_view text);

}  // namespace pgstrata
