// Every command, each from a file of its own (command_NAME.cc).
#pragma once

#include "cli/command.h"

namespace pgstrata {

void add_init_command(CLI::App& program, Invocation& invocation);
void add_key_commands(CLI::App& program, Invocation& invocation);
void add_add_command(CLI::App& program, Invocation& invocation);
void add_backup_command(CLI::App& program, Invocation& invocation);
void add_stream_command(CLI::App& program, Invocation& invocation);
void add_status_command(CLI::App& program, Invocation& invocation);
void add_snapshot_commands(CLI::App& program, Invocation& invocation);
void add_restore_command(CLI::App& program, Invocation& invocation);
void add_verify_command(CLI::App& program, Invocation& invocation);
void add_prune_command(CLI::App& program, Invocation& invocation);
void add_hold_commands(CLI::App& program, Invocation& invocation);
void add_repair_command(CLI::App& program, Invocation& invocation);
void add_shred_command(CLI::App& program, Invocation& invocation);
void add_copy_command(CLI::App& program, Invocation& invocation);
void add_completion_command(CLI::App& program, Invocation& invocation);
void add_branch_commands(CLI::App& program, Invocation& invocation);
// Those of its verbs that take it to a moment, or out of it: create, reset, advance, promote.
void add_branch_moment_commands(CLI::App& noun, Invocation& invocation);
void add_mount_branch_command(CLI::App& program, Invocation& invocation);
void add_wal_fetch_command(CLI::App& program, Invocation& invocation);

}  // namespace pgstrata
