// A base in memory, for tests of what lies over one.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <set>

#include "branch/base_files.h"

namespace pgstrata {

class MemoryBaseFiles final : public BaseFiles {
 public:
  // All folders of a path are made with it.
  void add_folder(const std::string& path) {
    for (std::size_t end = path.find('/'); end != std::string::npos; end = path.find('/', end + 1))
      folders_.insert(path.substr(0, end));
    folders_.insert(path);
  }
  void add_file(const std::string& path, std::string content) {
    if (const auto slash = path.rfind('/'); slash != std::string::npos) add_folder(path.substr(0, slash));
    files_[path] = std::move(content);
  }
  [[nodiscard]] const std::map<std::string, std::string>& files() const { return files_; }
  [[nodiscard]] const std::set<std::string>& folders() const { return folders_; }

  // From now on a read of that byte fails as one of a damaged object would.
  void damage(const std::string& path, std::uint64_t offset) { damaged_[path] = offset; }
  // From now on each call fails as a repository whose object is missing would.
  void fail_all() { failing_ = true; }

  Result<std::optional<BaseEntry>> find(std::string_view path) override {
    if (failing_) return lost();
    const std::string key(path);
    if (folders_.contains(key)) return BaseEntry{.directory = true, .mode = 0700, .size_bytes = 0};
    const auto file = files_.find(key);
    if (file == files_.end()) return std::nullopt;
    return BaseEntry{.directory = false, .mode = 0600, .size_bytes = file->second.size()};
  }
  Result<std::vector<Named>> list(std::string_view folder) override {
    if (failing_) return lost();
    std::vector<Named> names;
    for (const auto& path : folders_) add_name(names, folder, path, true);
    for (const auto& [path, content] : files_) add_name(names, folder, path, false);
    std::ranges::sort(names, {}, &Named::name);
    return names;
  }
  Result<std::unique_ptr<BaseFile>> open(std::string_view path) override {
    if (failing_) return lost();
    const auto file = files_.find(std::string(path));
    if (file == files_.end()) return fail(ErrorCode::not_found, "no such file of the base");
    return std::make_unique<File>(*this, file->first, file->second);
  }

 private:
  class File final : public BaseFile {
   public:
    File(MemoryBaseFiles& files, const std::string& path, const std::string& content)
        : files_(files), path_(path), content_(content) {}
    Result<void> read(std::uint64_t offset, MutableByteView into) override {
      if (files_.failing_) return lost();
      if (offset + into.size() > content_.size())
        return fail(ErrorCode::damaged, "the base ends before that");
      const auto wrong = files_.damaged_.find(path_);
      if (wrong != files_.damaged_.end() && wrong->second >= offset && wrong->second < offset + into.size())
        return fail(ErrorCode::damaged, "chunk is damaged");
      const auto part = as_byte_view(content_).subspan(static_cast<std::size_t>(offset), into.size());
      std::ranges::copy(part, into.begin());
      return {};
    }

   private:
    MemoryBaseFiles& files_;
    const std::string& path_;
    const std::string& content_;
  };

  static std::unexpected<Error> lost() {
    return std::unexpected(error_from_errno(ENOENT, "could not open \"packs/0123\""));
  }
  static void add_name(std::vector<Named>& names, std::string_view folder, const std::string& path,
                       bool directory) {
    const auto slash = path.rfind('/');
    const auto parent = slash == std::string::npos ? "" : std::string_view(path).substr(0, slash);
    if (path.empty() || parent != folder) return;
    names.push_back({path.substr(slash == std::string::npos ? 0 : slash + 1), directory});
  }

  std::set<std::string> folders_{""};
  std::map<std::string, std::string> files_;
  std::map<std::string, std::uint64_t> damaged_;
  std::atomic<bool> failing_ = false;
};

}  // namespace pgstrata
