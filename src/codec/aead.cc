#include "codec/aead.h"

#include <algorithm>

#include <openssl/evp.h>

#include "codec/endian.h"

namespace pgstrata {
namespace {

constexpr std::size_t nonce_size_bytes = 12;
// OpenSSL counts in int.
constexpr std::size_t step_size_bytes = std::size_t{1} << 30;

using Nonce = std::array<unsigned char, nonce_size_bytes>;

const EVP_CIPHER* aes_256_gcm() {
  // Fetched once for the life of the process: a fetch costs more than a small seal.
  static EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  PGS_ASSERT(cipher != nullptr);
  return cipher;
}

unsigned char* raw(std::byte* bytes) {
  return reinterpret_cast<unsigned char*>(bytes);
}
const unsigned char* raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}

Nonce nonce_of(std::uint64_t counter) {
  Nonce nonce{};
  for (std::size_t i = 0; i < 8; ++i) nonce[11 - i] = static_cast<unsigned char>(counter >> (8 * i));
  return nonce;
}

struct ContextFree {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, ContextFree>;

// OpenSSL fails these calls only when misused or out of memory; neither can be answered here.
void must(int result) {
  PGS_ASSERT(result == 1);
}

Context keyed_context(const SecretKey& key, bool encrypt) {
  Context context(EVP_CIPHER_CTX_new());
  PGS_ASSERT(context != nullptr);
  must(EVP_CipherInit_ex2(context.get(), aes_256_gcm(), raw(key.view().data()), nullptr, encrypt ? 1 : 0,
                          nullptr));
  return context;
}

// Keeps the key schedule; only the nonce is new.
void begin(EVP_CIPHER_CTX* context, const Nonce& nonce) {
  must(EVP_CipherInit_ex2(context, nullptr, nullptr, nonce.data(), -1, nullptr));
}

// `out` null means additional data.
void update(EVP_CIPHER_CTX* context, ByteView in, std::byte* out) {
  for (std::size_t done = 0; done < in.size();) {
    const std::size_t step = std::min(step_size_bytes, in.size() - done);
    int written = 0;
    must(EVP_CipherUpdate(context, out == nullptr ? nullptr : raw(out) + done, &written,
                          raw(in.data()) + done, static_cast<int>(step)));
    done += step;
  }
}

// The tag of an encrypting context, after all its data.
void finish(EVP_CIPHER_CTX* context, std::byte* tag) {
  std::array<unsigned char, Aead::tag_size_bytes> nothing{};
  int written = 0;
  must(EVP_CipherFinal_ex(context, nothing.data(), &written));
  must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Aead::tag_size_bytes, tag));
}

}  // namespace

struct Aead::State {
  explicit State(const SecretKey& with) : key(with) {}

  // Most objects only seal or only open, so each direction's key schedule is made on its first use.
  EVP_CIPHER_CTX* sealing() {
    if (sealer == nullptr) sealer = keyed_context(key, true);
    return sealer.get();
  }
  EVP_CIPHER_CTX* opening() {
    if (opener == nullptr) opener = keyed_context(key, false);
    return opener.get();
  }

  SecretKey key;
  Context sealer;
  Context opener;
};

Aead::Aead(const SecretKey& key) : state_(std::make_unique<State>(key)) {}
Aead::~Aead() = default;
Aead::Aead(Aead&&) noexcept = default;
Aead& Aead::operator=(Aead&&) noexcept = default;

void Aead::seal(std::uint64_t nonce, ByteView additional, ByteView plain, MutableByteView sealed) {
  PGS_ASSERT(sealed.size() == plain.size() + tag_size_bytes);
  EVP_CIPHER_CTX* const context = state_->sealing();
  begin(context, nonce_of(nonce));
  update(context, additional, nullptr);
  update(context, plain, sealed.data());
  finish(context, sealed.data() + plain.size());
}

Result<void> Aead::open(std::uint64_t nonce, ByteView additional, ByteView sealed, MutableByteView plain) {
  if (sealed.size() < tag_size_bytes) return fail(ErrorCode::damaged, "sealed data is shorter than its tag");
  const std::size_t size = sealed.size() - tag_size_bytes;
  PGS_ASSERT(plain.size() == size);
  EVP_CIPHER_CTX* const context = state_->opening();
  begin(context, nonce_of(nonce));
  std::array<unsigned char, tag_size_bytes> tag;
  std::memcpy(tag.data(), sealed.data() + size, tag.size());
  must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, tag_size_bytes, tag.data()));
  update(context, additional, nullptr);
  update(context, sealed.first(size), plain.data());
  std::array<unsigned char, tag_size_bytes> nothing{};
  int written = 0;
  if (EVP_CipherFinal_ex(context, nothing.data(), &written) != 1) {
    std::ranges::fill(plain, std::byte{0});
    return fail(ErrorCode::damaged, "sealed data does not authenticate");
  }
  return {};
}

struct ContentTagger::State {
  explicit State(const SecretKey& key) : context(keyed_context(key, true)) {}
  Context context;
};

ContentTagger::ContentTagger(const SecretKey& key) : state_(std::make_unique<State>(key)) {}
ContentTagger::~ContentTagger() = default;
ContentTagger::ContentTagger(ContentTagger&&) noexcept = default;
ContentTagger& ContentTagger::operator=(ContentTagger&&) noexcept = default;

ContentTagger::Tag ContentTagger::tag(ByteView content) {
  EVP_CIPHER_CTX* const context = state_->context.get();
  begin(context, nonce_of(0));
  update(context, content, nullptr);
  Tag tag;
  finish(context, tag.data());
  return tag;
}

}  // namespace pgstrata
