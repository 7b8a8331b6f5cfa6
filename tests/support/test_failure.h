// How test support reports that the world did not do as told: by throwing, which GoogleTest turns into a
// failure of the test that is running.
#pragma once

#include <stdexcept>
#include <string>

namespace pgstrata::testing {

class TestFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace pgstrata::testing
