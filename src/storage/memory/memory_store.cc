#include "storage/memory/memory_store.h"

#include <utility>

namespace pgstrata {

class MemoryStore::Writer : public ObjectWriter {
 public:
  Writer(MemoryStore& store, std::string_view name) : store_(store), name_(name) {}

  Result<void> write(ByteView bytes) override {
    append(content_, bytes);
    return {};
  }
  Result<void> commit() override { return store_.put(name_, std::exchange(content_, {})); }

 private:
  MemoryStore& store_;
  std::string name_;
  Bytes content_;
};

class MemoryStore::Journal : public ObjectJournal {
 public:
  Journal(MemoryStore& store, std::string_view name) : store_(store), name_(name) {}

  Result<void> append(ByteView bytes) override {
    const std::lock_guard lock(store_.mutex_);
    PGS_TRY(const auto object, store_.find(name_));
    pgstrata::append(object->second.content, bytes);
    object->second.modified = store_.clock_.now();
    return {};
  }
  Result<void> sync() override { return {}; }

 private:
  MemoryStore& store_;
  std::string name_;
};

Result<MemoryStore::Objects::iterator> MemoryStore::find(std::string_view name) {
  PGS_CHECK(check_object_name(name));
  const auto object = objects_.find(name);
  if (object == objects_.end()) return fail(ErrorCode::not_found, "there is no object \"{}\"", name);
  return object;
}

Result<void> MemoryStore::insert(std::string_view name, Bytes content) {
  PGS_CHECK(check_object_name(name));
  Object object{.content = std::move(content), .modified = clock_.now(), .version = last_version_ + 1};
  if (!objects_.try_emplace(std::string(name), std::move(object)).second) {
    return fail(ErrorCode::already_exists, "object \"{}\" exists already", name);
  }
  ++last_version_;
  return {};
}

Result<void> MemoryStore::put(std::string_view name, ByteView content) {
  const std::lock_guard lock(mutex_);
  return insert(name, to_bytes(content));
}

Result<std::unique_ptr<ObjectWriter>> MemoryStore::create(std::string_view name) {
  PGS_CHECK(check_object_name(name));
  return std::make_unique<Writer>(*this, name);
}

Result<std::unique_ptr<ObjectJournal>> MemoryStore::create_journal(std::string_view name) {
  PGS_CHECK(put(name, {}));
  return std::make_unique<Journal>(*this, name);
}

Result<Bytes> MemoryStore::get(std::string_view name, std::uint64_t limit_bytes) {
  const std::lock_guard lock(mutex_);
  PGS_TRY(const auto object, find(name));
  PGS_CHECK(check_object_size(name, object->second.content.size(), limit_bytes));
  return object->second.content;
}

Result<std::size_t> MemoryStore::read_some(std::string_view name, std::uint64_t offset,
                                           MutableByteView into) {
  const std::lock_guard lock(mutex_);
  PGS_TRY(const auto object, find(name));
  const Bytes& content = object->second.content;
  if (offset >= content.size()) return 0U;
  const auto size = std::min<std::size_t>(into.size(), content.size() - offset);
  if (size != 0) std::memcpy(into.data(), content.data() + offset, size);
  return size;
}

Result<ObjectInfo> MemoryStore::stat(std::string_view name) {
  const std::lock_guard lock(mutex_);
  PGS_TRY(const auto object, find(name));
  return ObjectInfo{.name = object->first,
                    .size_bytes = object->second.content.size(),
                    .modified = object->second.modified};
}

Result<std::vector<ObjectInfo>> MemoryStore::list(std::string_view prefix, std::string_view after,
                                                  std::size_t limit) {
  const std::lock_guard lock(mutex_);
  std::vector<ObjectInfo> page;
  auto at = after < prefix ? objects_.lower_bound(prefix) : objects_.upper_bound(after);
  for (; at != objects_.end() && at->first.starts_with(prefix) && page.size() < limit; ++at) {
    page.push_back(
        {.name = at->first, .size_bytes = at->second.content.size(), .modified = at->second.modified});
  }
  return page;
}

Result<void> MemoryStore::remove(std::string_view name) {
  PGS_CHECK(check_object_name(name));
  const std::lock_guard lock(mutex_);
  const auto object = objects_.find(name);
  if (object != objects_.end()) objects_.erase(object);
  return {};
}

Result<std::string> MemoryStore::replace(std::string_view name, const std::optional<std::string>& expected,
                                         ByteView content) {
  PGS_CHECK(check_object_name(name));
  PGS_CHECK(check_replaceable(name, content));
  const std::lock_guard lock(mutex_);
  const auto object = objects_.find(name);
  const bool exists = object != objects_.end();
  if (exists != expected.has_value() || (exists && std::to_string(object->second.version) != *expected)) {
    return fail(ErrorCode::busy, "object \"{}\" has changed meanwhile", name);
  }
  objects_.insert_or_assign(
      std::string(name),
      Object{.content = to_bytes(content), .modified = clock_.now(), .version = ++last_version_});
  return std::to_string(last_version_);
}

Result<VersionedObject> MemoryStore::get_versioned(std::string_view name) {
  const std::lock_guard lock(mutex_);
  PGS_TRY(const auto object, find(name));
  PGS_CHECK(check_object_size(name, object->second.content.size(), max_replaceable_bytes));
  return VersionedObject{.content = object->second.content,
                         .version = std::to_string(object->second.version)};
}

}  // namespace pgstrata
