#include "base/error.h"

#include <cerrno>
#include <cstring>

namespace pgstrata {

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::usage:
      return 2;
    case ErrorCode::not_found:
      return 3;
    case ErrorCode::outside_coverage:
      return 4;
    case ErrorCode::damaged:
    case ErrorCode::wrong_key:
    case ErrorCode::newer_format:
      return 5;
    case ErrorCode::check_failed:
      return 6;
    case ErrorCode::busy:
      return 7;
    case ErrorCode::failed:
    case ErrorCode::already_exists:
    case ErrorCode::no_space:
    case ErrorCode::permission:
    case ErrorCode::unavailable:
    case ErrorCode::unsupported:
    case ErrorCode::cancelled:
      return 1;
  }
  return 1;
}

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::failed:
      return "failed";
    case ErrorCode::usage:
      return "usage";
    case ErrorCode::not_found:
      return "not_found";
    case ErrorCode::already_exists:
      return "already_exists";
    case ErrorCode::outside_coverage:
      return "outside_coverage";
    case ErrorCode::damaged:
      return "damaged";
    case ErrorCode::wrong_key:
      return "wrong_key";
    case ErrorCode::newer_format:
      return "newer_format";
    case ErrorCode::check_failed:
      return "check_failed";
    case ErrorCode::busy:
      return "busy";
    case ErrorCode::no_space:
      return "no_space";
    case ErrorCode::permission:
      return "permission";
    case ErrorCode::unavailable:
      return "unavailable";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::cancelled:
      return "cancelled";
  }
  return "failed";
}

std::string Error::describe() const {
  std::string text;
  for (auto context = contexts_.rbegin(); context != contexts_.rend(); ++context) {
    text += *context;
    text += ": ";
  }
  return text + message_;
}

Error Error::with_hint(std::string hint) && {
  hint_ = std::move(hint);
  return std::move(*this);
}

Error Error::with_context(std::string context) && {
  contexts_.push_back(std::move(context));
  return std::move(*this);
}

Error Error::with_error_number(int error_number) && {
  error_number_ = error_number;
  return std::move(*this);
}

Error error_from_errno(int error_number, std::string_view what) {
  const auto code = [error_number] {
    switch (error_number) {
      case ENOSPC:
      case EDQUOT:
        return ErrorCode::no_space;
      case ENOENT:
        return ErrorCode::not_found;
      case EEXIST:
        return ErrorCode::already_exists;
      case EACCES:
      case EPERM:
      case EROFS:
        return ErrorCode::permission;
      default:
        return ErrorCode::failed;
    }
  }();
  char buffer[256];
  const char* reason = strerror_r(error_number, buffer, sizeof buffer);
  return make_error(code, "{}: {}", what, reason).with_error_number(error_number);
}

}  // namespace pgstrata
