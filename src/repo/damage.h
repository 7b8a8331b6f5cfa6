// Damage of what is stored, lasting or not (is_lasting_damage), as against a store that gives no answer.
#pragma once

#include "base/result.h"

namespace pgstrata {

[[nodiscard]] inline bool is_damage(const Error& error) {
  return error.code() == ErrorCode::damaged || error.code() == ErrorCode::not_found ||
         error.code() == ErrorCode::newer_format;
}

}  // namespace pgstrata
