// AES-256-GCM (NIST SP 800-38D) through OpenSSL.
//
// The nonce is a counter: a key must never see the same counter twice, which is why every pack, record and
// WAL tail has a key of its own (repo/). Not thread-safe: one Aead per thread; it keeps OpenSSL's key schedule.
#pragma once

#include <memory>

#include "codec/secret.h"

namespace pgstrata {

class Aead {
 public:
  static constexpr std::size_t tag_size_bytes = 16;

  explicit Aead(const SecretKey& key);
  ~Aead();
  Aead(Aead&&) noexcept;
  Aead& operator=(Aead&&) noexcept;

  // Writes plain.size() + tag_size_bytes bytes to `sealed`; the two must not overlap.
  void seal(std::uint64_t nonce, ByteView additional, ByteView plain, MutableByteView sealed);

  // Writes sealed.size() - tag_size_bytes bytes to `plain`.
  // Error: damaged, when the bytes do not authenticate; `plain` then holds nothing of use.
  Result<void> open(std::uint64_t nonce, ByteView additional, ByteView sealed, MutableByteView plain);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A keyed content tag: GMAC under a secret key and a fixed nonce. Two different contents share a tag with
// probability at most (size/16 + 1)/2^128 for anyone who does not know the key, 2^-115 at 128 KiB, and tags
// are only ever stored encrypted; so equal tags mean equal content. Used to find what is already stored. Not
// thread-safe.
class ContentTagger {
 public:
  using Tag = std::array<std::byte, 16>;

  explicit ContentTagger(const SecretKey& key);
  ~ContentTagger();
  ContentTagger(ContentTagger&&) noexcept;
  ContentTagger& operator=(ContentTagger&&) noexcept;

  [[nodiscard]] Tag tag(ByteView content);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

using ContentTag = ContentTagger::Tag;

}  // namespace pgstrata
