#include "sys/process.h"

#include <algorithm>
#include <csignal>
#include <cstring>

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/files.h"
#include "sys/process_launch.h"
#include "sys/retry.h"

namespace pgstrata {
namespace {

struct Pipe {
  FileDescriptor reader;
  FileDescriptor writer;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return std::unexpected(error_from_errno(errno, "could not make a pipe"));
  return Pipe{.reader = FileDescriptor(ends[0]), .writer = FileDescriptor(ends[1])};
}

// The child's end of a stream, and for a pipe this process's.
struct Stream {
  FileDescriptor child;
  FileDescriptor parent;
};

Result<Stream> open_stream(const Redirect& redirect, bool is_input) {
  Stream stream;
  switch (redirect.kind) {
    case Redirect::Kind::inherit:
    case Redirect::Kind::same_as_output:
      break;
    case Redirect::Kind::null: {
      PGS_TRY(stream.child, open_file("/dev/null", O_RDWR));
      break;
    }
    case Redirect::Kind::append: {
      if (is_input) return fail(ErrorCode::usage, "input cannot come from the end of a file");
      PGS_TRY(stream.child, open_file(redirect.file, O_WRONLY | O_CREAT | O_APPEND));
      break;
    }
    case Redirect::Kind::descriptor: {
      stream.child = FileDescriptor(::fcntl(redirect.opened->get(), F_DUPFD_CLOEXEC, 0));
      if (!stream.child) return std::unexpected(error_from_errno(errno, "could not pass on an open file"));
      break;
    }
    case Redirect::Kind::pipe: {
      PGS_TRY(Pipe pipe, make_pipe());
      stream.child = std::move(is_input ? pipe.reader : pipe.writer);
      stream.parent = std::move(is_input ? pipe.writer : pipe.reader);
      break;
    }
  }
  return stream;
}

// The child's word on why it could not start; nothing once exec has closed its end.
Result<std::optional<LaunchFailure>> await_exec(const FileDescriptor& reader) {
  LaunchFailure failure{};
  PGS_TRY(const std::size_t got, read_some(reader, std::as_writable_bytes(std::span(&failure, 1))));
  if (got == 0) return std::nullopt;
  PGS_ASSERT(got == sizeof failure);  // a pipe keeps so small a write whole
  return failure;
}

ExitStatus status_of(int status) {
  if (WIFSIGNALED(status)) return {.code = 0, .signal = WTERMSIG(status)};
  return {.code = WEXITSTATUS(status), .signal = 0};
}

Result<ExitStatus> reap(pid_t pid) {
  int status = 0;
  if (retry_interrupted([&] { return ::waitpid(pid, &status, 0); }) < 0) {
    return std::unexpected(error_from_errno(errno, fmt::format("could not wait for process {}", pid)));
  }
  return status_of(status);
}

}  // namespace

std::string ExitStatus::describe() const {
  if (signal != 0) return fmt::format("was killed by signal {} ({})", signal, ::strsignal(signal));
  return fmt::format("exited with code {}", code);
}

Result<ChildProcess> ChildProcess::spawn(const ProcessOptions& options) {
  PGS_TRY(Launch launch, prepare_launch(options));
  PGS_TRY(Stream input, open_stream(options.input, true));
  PGS_TRY(Stream output, open_stream(options.output, false));
  PGS_TRY(Stream errors, open_stream(options.errors, false));
  launch.streams = {input.child.get(), output.child.get(), errors.child.get()};
  if (options.errors.kind == Redirect::Kind::same_as_output) {
    launch.streams[2] = output.child ? output.child.get() : STDOUT_FILENO;
  }
  PGS_TRY(Pipe failure_pipe, make_pipe());

  const pid_t pid = ::fork();
  if (pid < 0) {
    return std::unexpected(
        error_from_errno(errno, fmt::format("could not run \"{}\"", options.arguments.front())));
  }
  if (pid == 0) launch_in_child(launch, failure_pipe.writer.get());

  ChildProcess child(pid, options.new_session);
  child.input_ = std::move(input.parent);
  child.output_ = std::move(output.parent);
  child.errors_ = std::move(errors.parent);
  failure_pipe.writer.close();
  PGS_TRY(const std::optional<LaunchFailure> failure, await_exec(failure_pipe.reader));
  if (failure) return std::unexpected(launch_error(options, *failure));
  return child;
}

ChildProcess::~ChildProcess() {
  kill_and_reap();
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      leads_session_(other.leads_session_),
      ended_(other.ended_),
      input_(std::move(other.input_)),
      output_(std::move(other.output_)),
      errors_(std::move(other.errors_)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    kill_and_reap();
    pid_ = std::exchange(other.pid_, 0);
    leads_session_ = other.leads_session_;
    ended_ = other.ended_;
    input_ = std::move(other.input_);
    output_ = std::move(other.output_);
    errors_ = std::move(other.errors_);
  }
  return *this;
}

void ChildProcess::kill_and_reap() {
  if (pid_ == 0 || ended_) return;
  (void)::kill(leads_session_ ? -pid_ : pid_, SIGKILL);
  (void)reap(pid_);
  pid_ = 0;
}

Result<ExitStatus> ChildProcess::wait() {
  PGS_ASSERT(pid_ != 0);
  if (!ended_) {
    PGS_TRY(ended_, reap(pid_));
  }
  return *ended_;
}

Result<std::optional<ExitStatus>> ChildProcess::wait_for(std::chrono::milliseconds span,
                                                         const Cancellation* cancellation) {
  PGS_ASSERT(pid_ != 0);
  if (ended_) return ended_;
  // Through syscall because the header of glibc 2.36 forgets that C++ mangles names.
  const FileDescriptor process(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!process) {
    return std::unexpected(error_from_errno(errno, fmt::format("could not watch process {}", pid_)));
  }
  const auto end = std::chrono::steady_clock::now() + span;
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    std::array<pollfd, 2> watched{pollfd{process.get(), POLLIN, 0},
                                  pollfd{cancellation != nullptr ? cancellation->poll_fd() : -1, POLLIN, 0}};
    const int ready =
        ::poll(watched.data(), watched.size(), static_cast<int>(std::clamp<long>(left, 0, 1'000'000)));
    if (ready < 0 && errno != EINTR) {
      return std::unexpected(error_from_errno(errno, fmt::format("could not wait for process {}", pid_)));
    }
    if (ready > 0 && watched[0].revents != 0) {
      PGS_TRY(ended_, reap(pid_));
      return ended_;
    }
    if (cancellation != nullptr) PGS_CHECK(cancellation->check());
    if (left <= 0) return std::nullopt;
  }
}

Result<void> ChildProcess::signal(int number) {
  PGS_ASSERT(pid_ != 0);
  if (ended_) return {};  // its number may belong to another process by now
  if (::kill(pid_, number) != 0 && errno != ESRCH) {
    return std::unexpected(error_from_errno(errno, fmt::format("could not signal process {}", pid_)));
  }
  return {};
}

namespace {

struct Capture {
  FileDescriptor& from;
  Bytes& into;
};

// Reads what has come; closes the stream at its end.
Result<void> drain(const Capture& capture, std::size_t limit_bytes) {
  std::array<std::byte, 65'536> piece;
  PGS_TRY(const std::size_t got, read_some(capture.from, piece));
  if (got == 0) {
    capture.from.close();
    return {};
  }
  append(capture.into, ByteView(piece).first(std::min(got, limit_bytes - capture.into.size())));
  return {};
}

}  // namespace

Result<CommandResult> run_command(ProcessOptions process, const CommandOptions& options) {
  process.output = Redirect::pipe();
  if (process.errors.kind != Redirect::Kind::same_as_output) process.errors = Redirect::pipe();
  PGS_TRY(ChildProcess child, ChildProcess::spawn(process));
  CommandResult result;
  const std::array<Capture, 2> captures{Capture{child.output(), result.output},
                                        Capture{child.errors(), result.errors}};
  while (child.output() || child.errors()) {
    std::array<pollfd, 3> watched{
        pollfd{child.output().get(), POLLIN, 0}, pollfd{child.errors().get(), POLLIN, 0},
        pollfd{options.cancellation != nullptr ? options.cancellation->poll_fd() : -1, POLLIN, 0}};
    if (::poll(watched.data(), watched.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return std::unexpected(error_from_errno(errno, "could not wait for output"));
    }
    if (options.cancellation != nullptr) PGS_CHECK(options.cancellation->check());
    for (std::size_t i = 0; i < captures.size(); ++i) {
      if (watched[i].revents != 0) PGS_CHECK(drain(captures[i], options.capture_limit_bytes));
    }
  }
  while (true) {
    PGS_TRY(const auto ended, child.wait_for(std::chrono::hours(1), options.cancellation));
    if (ended) result.status = *ended;
    if (ended) return result;
  }
}

Result<std::filesystem::path> own_program() {
  std::error_code error;
  auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return std::unexpected(error_from_errno(error.value(), "find the program of this process"));
  return program;
}

}  // namespace pgstrata
