#include "app/random_fraction.h"

#include <random>

namespace pgstrata {

RandomFraction random_fraction() {
  return [engine = std::mt19937_64(std::random_device{}())]() mutable {
    return std::uniform_real_distribution<double>(0, 1)(engine);
  };
}

}  // namespace pgstrata
