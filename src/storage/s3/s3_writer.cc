#include "storage/s3/s3_writer.h"

#include <algorithm>

#include "base/log.h"
#include "codec/digest.h"
#include "codec/secret.h"

namespace pgstrata {
namespace {

using Written = S3Client::Written;

std::string new_mark() {
  return to_hex(random_bytes(8));
}

std::unexpected<Error> taken(std::string_view name) {
  return fail(ErrorCode::already_exists, "there is an object \"{}\" already", name);
}

// The ETag of the object that is there, when it is the one with our mark: the answer that said so was lost.
Result<std::optional<std::string>> etag_if_ours(S3Client& client, const std::string& key,
                                                const std::string& mark) {
  auto there = client.head(key);
  if (there) return there->mark == mark ? std::optional(std::move(there->etag)) : std::nullopt;
  if (there.error().code() == ErrorCode::not_found) return std::nullopt;
  return std::unexpected(std::move(there).error());
}

Result<void> check_free(S3Client& client, std::string_view name, const std::string& key) {
  const auto there = client.head(key);
  if (there) return taken(name);
  if (there.error().code() == ErrorCode::not_found) return {};
  return std::unexpected(there.error());
}

}  // namespace

Result<std::optional<std::string>> put_if(S3Client& client, const std::string& key, ByteView content,
                                          const S3Condition& condition, S3Kept kept) {
  const std::string mark = new_mark();
  PGS_TRY(auto outcome, client.put(key, content, condition, mark, kept));
  if (outcome.written == Written::done) return std::move(outcome.etag);
  if (outcome.written == Written::condition_failed) return etag_if_ours(client, key, mark);
  return fail(ErrorCode::unsupported, "the server of {} takes no conditional writes any more",
              to_string(client.location()));
}

Result<void> put_new_object(S3Client& client, std::string_view name, const std::string& key, ByteView content,
                            bool conditional_writes, S3Kept kept) {
  if (!conditional_writes) {
    PGS_CHECK(check_free(client, name, key));
    PGS_CHECK(client.put(key, content, {}, {}, kept));
    return {};
  }
  PGS_TRY(const auto etag, put_if(client, key, content, {.must_not_exist = true}, kept));
  return etag ? Result<void>() : taken(name);
}

S3Writer::S3Writer(S3Client& client, std::string name, std::string key, S3Conditions conditional)
    : client_(client),
      name_(std::move(name)),
      key_(std::move(key)),
      conditional_(conditional),
      mark_(new_mark()) {}

S3Writer::~S3Writer() {
  abort();
}

Result<void> S3Writer::write(ByteView bytes) {
  if (failure_) return std::unexpected(*failure_);
  auto done = take(bytes);
  if (!done) return give_up(std::move(done).error());
  return {};
}

Result<void> S3Writer::take(ByteView bytes) {
  while (!bytes.empty()) {
    const std::size_t limit = upload_.empty() ? single_put_limit_bytes : part_bytes;
    const ByteView part = bytes.first(std::min(bytes.size(), limit - unsent_.size()));
    append(unsent_, part);
    bytes = bytes.subspan(part.size());
    // Only when there is more: the last part, or the whole, waits for commit.
    if (unsent_.size() < limit || bytes.empty()) continue;
    if (upload_.empty()) {
      PGS_TRY(upload_, client_.begin_upload(key_, mark_));
    }
    const Bytes whole = std::exchange(unsent_, {});
    for (ByteView rest = whole; !rest.empty(); rest = rest.subspan(std::min(rest.size(), part_bytes))) {
      PGS_CHECK(begin_part(to_bytes(rest.first(std::min(rest.size(), part_bytes)))));
    }
  }
  return {};
}

Result<void> S3Writer::begin_part(Bytes content) {
  PGS_CHECK(wait_for_parts(parts_at_once - 1));
  const int number = ++begun_parts_;
  parts_.push_back(std::async(std::launch::async, [this, number, part = std::move(content)] {
    return client_.upload_part(key_, upload_, number, part);
  }));
  return {};
}

Result<void> S3Writer::wait_for_parts(std::size_t left) {
  while (parts_.size() > left) {
    auto done = parts_.front().get();
    parts_.pop_front();
    if (!done) return std::unexpected(std::move(done).error());
    etags_.push_back(*std::move(done));
  }
  return {};
}

Result<void> S3Writer::commit() {
  if (failure_) return std::unexpected(*failure_);
  auto done = finish();
  if (!done) return give_up(std::move(done).error());
  upload_.clear();
  return {};
}

Result<void> S3Writer::finish() {
  if (upload_.empty())
    return put_new_object(client_, name_, key_, unsent_, conditional_.writes, S3Kept::lastingly);
  if (!unsent_.empty()) PGS_CHECK(begin_part(std::exchange(unsent_, {})));
  PGS_CHECK(wait_for_parts(0));
  return complete();
}

Result<void> S3Writer::complete() {
  if (!conditional_.uploads) PGS_CHECK(check_free(client_, name_, key_));
  auto outcome = client_.complete_upload(key_, upload_, etags_, {.must_not_exist = conditional_.uploads});
  if (outcome && outcome->written == Written::done) return {};
  // An earlier try may have been done: the upload is gone then, or the name taken by it.
  PGS_TRY(const auto etag, etag_if_ours(client_, key_, mark_));
  if (etag) return {};
  if (!outcome) return std::unexpected(std::move(outcome).error());
  return taken(name_);
}

void S3Writer::abort() {
  for (auto& part : parts_) part.wait();
  parts_.clear();
  if (upload_.empty()) return;
  if (const auto done = client_.abort_upload(key_, std::exchange(upload_, {})); !done) {
    log_debug("an unfinished upload of \"{}\" stays behind: {}", name_, done.error().describe());
  }
}

std::unexpected<Error> S3Writer::give_up(Error error) {
  failure_ = std::move(error);
  abort();
  unsent_ = {};
  return std::unexpected(*failure_);
}

}  // namespace pgstrata
