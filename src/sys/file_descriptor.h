// A file descriptor that is closed when dropped.
#pragma once

#include <string>
#include <utility>

namespace pgstrata {

// Owns one descriptor or none. Movable, not copyable. Not thread-safe; the descriptor itself may be used from
// several threads with calls that carry their own offset.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int number) : number_(number) {}
  ~FileDescriptor() { close(); }
  FileDescriptor(FileDescriptor&& other) noexcept : number_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      close();
      number_ = other.release();
    }
    return *this;
  }

  [[nodiscard]] int get() const { return number_; }
  [[nodiscard]] explicit operator bool() const { return number_ >= 0; }

  // Gives the descriptor away.
  [[nodiscard]] int release() { return std::exchange(number_, -1); }
  // Says nothing about what was written: sync first (durable.h).
  void close();

  // The path it was opened by, as far as the kernel still knows it; for messages.
  [[nodiscard]] std::string describe() const;

 private:
  int number_ = -1;
};

}  // namespace pgstrata
