// Random changes to an overlay and to a model of it that cannot be wrong: a map of names to contents.
#pragma once

#include <random>

#include "branch/memory_base_files.h"
#include "branch/overlay_by_path.h"
#include "sys/files.h"

namespace pgstrata {

// The files of a folder as they are; some may be removed meanwhile.
inline void copy_files(const std::filesystem::path& from, const std::filesystem::path& to) {
  const auto files = list_directory(from);
  if (!files) return;
  std::filesystem::create_directories(to);
  for (const auto& file : *files) {
    const auto bytes = read_file(from / file.name);
    if (bytes && !write_file(to / file.name, *bytes)) throw std::runtime_error("no room for a copy");
  }
}

// A file of the model, whatever its names. It knows what a crash may leave of it.
struct ModelFile {
  std::string content;
  std::vector<std::string> versions;  // since it was synced last, that one first
  std::uint64_t base_bytes = 0;       // how much of its beginning the base had

  void changed() { versions.push_back(content); }
  void synced() { versions = {content}; }
};

class OverlayWorkload {
 public:
  using Names = std::map<std::string, std::shared_ptr<ModelFile>>;  // a folder has none

  OverlayWorkload(MemoryBaseFiles& base, std::uint64_t seed) : random_(seed) {
    for (const auto* folder : {"", "a/", "b/", "a/c/"}) {
      for (int file = 0; file < 4; ++file) {
        // The first of each folder has whole extents.
        std::string content(below(file == 0 ? 3 * extent_bytes : 40'000), '\0');
        for (std::size_t at = 0; at < content.size(); ++at)
          content[at] = at % 1000 == 0 ? static_cast<char>('A' + below(26)) : content[at - 1];
        base.add_file(folder + std::string(1, static_cast<char>('k' + file)), content);
      }
    }
    for (const auto& folder : base.folders())
      if (!folder.empty()) names_[folder] = nullptr;
    for (const auto& [path, content] : base.files()) {
      auto file = std::make_shared<ModelFile>();
      file->content = content;
      file->base_bytes = content.size();
      file->synced();
      names_[path] = file;
    }
    names_synced();
  }

  // One change, the same to both. Says what it did.
  std::string step(Overlay& overlay) {
    OverlayByPath paths(overlay);
    switch (below(13)) {
      case 0:
        return make(paths, any_free_path());
      case 1:
        return make_folder(paths, any_free_path());
      case 2:
      case 3:
      case 4:
      case 5:
        return write(paths, any_file());
      case 6:
        return resize(paths, any_file());
      case 7:
        return rename(paths, any_path(), below(2) == 0 ? any_free_path() : any_path());
      case 8:
        return remove(paths, any_path());
      case 9:
        return add_name(paths, any_file(), any_free_path());
      case 10:
        return allocate(overlay, any_file());
      default:
        return sync(paths, any_file());
    }
  }

  [[nodiscard]] std::map<std::string, std::string> everything() const {
    std::map<std::string, std::string> all;
    for (const auto& [path, file] : names_) all[file ? path : path + "/"] = file ? file->content : "";
    return all;
  }
  [[nodiscard]] const Names& names() const { return names_; }
  // As they were at each moment since something was synced last.
  [[nodiscard]] const std::vector<Names>& names_since() const { return names_versions_; }
  [[nodiscard]] bool chance(std::uint64_t one_in) { return below(one_in) == 0; }
  // How often something was synced: then all names are.
  [[nodiscard]] int syncs() const { return syncs_; }
  void all_synced() {
    for (auto& [path, file] : names_)
      if (file) file->synced();
    names_synced();
  }

 private:
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  void names_changed() { names_versions_.push_back(names_); }
  void names_synced() {
    names_versions_ = {names_};
    ++syncs_;
  }

  std::string any_of(bool files, bool folders) {
    std::vector<std::string> paths;
    for (const auto& [path, file] : names_)
      if (file ? files : folders) paths.push_back(path);
    return paths.empty() ? "none" : paths[below(paths.size())];
  }
  std::string any_file() { return any_of(true, false); }
  std::string any_path() { return below(4) == 0 ? any_of(false, true) : any_of(true, false); }
  std::string any_free_path() {
    const auto folder = below(3) == 0 ? "" : any_of(false, true) + "/";
    return (folder == "none/" ? "" : folder) + std::string(1, static_cast<char>('k' + below(10)));
  }
  [[nodiscard]] bool has_folder_of(const std::string& path) const {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) return true;
    const auto folder = names_.find(path.substr(0, slash));
    return folder != names_.end() && !folder->second;
  }
  [[nodiscard]] bool is_empty(const std::string& folder) const {
    const auto next = names_.upper_bound(folder + "/");
    return next == names_.end() || !next->first.starts_with(folder + "/");
  }

  static std::string said(std::string what, const Result<void>& done, bool should) {
    if (done.has_value() != should)
      throw std::runtime_error(what + ": " + (done ? "should have failed" : done.error().describe()));
    return what;
  }

  std::string make(OverlayByPath& paths, const std::string& path) {
    const bool may = !names_.contains(path) && has_folder_of(path);
    auto words = said("make " + path, paths.make_file(path), may);
    if (!may) return words;
    names_[path] = std::make_shared<ModelFile>();
    names_[path]->synced();
    names_changed();
    return words;
  }
  std::string make_folder(OverlayByPath& paths, const std::string& path) {
    const bool may = !names_.contains(path) && has_folder_of(path);
    auto words = said("make folder " + path, paths.make_folder(path), may);
    if (!may) return words;
    names_[path] = nullptr;
    names_changed();
    return words;
  }
  std::string add_name(OverlayByPath& paths, const std::string& path, const std::string& name) {
    if (!names_.contains(path)) return "nothing";
    const bool may = !names_.contains(name) && has_folder_of(name);
    auto words = said("link " + path + " as " + name, paths.add_name(path, name), may);
    if (!may) return words;
    names_[name] = names_[path];
    names_changed();
    return words;
  }
  std::string write(OverlayByPath& paths, const std::string& path) {
    if (!names_.contains(path)) return "nothing";
    auto& file = *names_[path];
    auto offset = below(file.content.size() + 1);
    auto size = 1 + below(below(2) == 0 ? 200 : 20'000);
    if (below(2) == 0) {
      offset -= offset % overlay_block_bytes;
      size = overlay_block_bytes * (1 + below(3));
    }
    if (below(10) == 0) offset = file.content.size() + below(9000);
    const std::string text(size, static_cast<char>('a' + below(26)));
    auto words = said(fmt::format("write {} at {}, {} bytes", path, offset, size),
                      paths.write(path, offset, text), true);
    if (file.content.size() < offset + size) file.content.resize(offset + size);
    file.content.replace(offset, size, text);
    file.changed();
    return words;
  }
  std::string resize(OverlayByPath& paths, const std::string& path) {
    if (!names_.contains(path)) return "nothing";
    auto& file = *names_[path];
    const auto size = below(4) == 0 ? 0 : below(file.content.size() * 5 / 4 + 100);
    auto words = said(fmt::format("resize {} to {}", path, size), paths.resize(path, size), true);
    file.content.resize(size);
    file.changed();
    return words;
  }
  std::string allocate(Overlay& overlay, const std::string& path) {
    if (!names_.contains(path)) return "nothing";
    auto& file = *names_[path];
    OverlayByPath paths(overlay);
    const auto node = paths.find(path);
    const auto offset = below(file.content.size() + 1000);
    const auto size = 1 + below(9000);
    auto words = said(fmt::format("allocate {} at {}, {} bytes", path, offset, size),
                      overlay.allocate(node->node(), 0, offset, size), true);
    file.content.resize(std::max<std::size_t>(file.content.size(), offset + size));
    file.changed();
    return words;
  }
  std::string sync(OverlayByPath& paths, const std::string& path) {
    if (!names_.contains(path)) return "nothing";
    auto words = said("sync " + path, paths.sync(path), true);
    names_[path]->synced();
    names_synced();
    return words;
  }
  std::string remove(OverlayByPath& paths, const std::string& path) {
    if (!names_.contains(path)) return "nothing";
    const bool folder = !names_[path];
    const bool may = !folder || is_empty(path);
    auto words = said("remove " + path, folder ? paths.remove_folder(path) : paths.remove_file(path), may);
    if (!may) return words;
    names_.erase(path);
    names_changed();
    return words;
  }
  std::string rename(OverlayByPath& paths, const std::string& from, const std::string& to) {
    if (!names_.contains(from) || !has_folder_of(to) || to.starts_with(from + "/")) return "nothing";
    const bool folder = !names_[from];
    const auto there = names_.find(to);
    bool may = true;
    if (there != names_.end() && from != to) may = folder == !there->second && (!folder || is_empty(to));
    auto words = said("rename " + from + " to " + to, paths.rename(from, to), may);
    if (!may || from == to) return words;
    if (there != names_.end() && !folder && there->second == names_[from]) return words;  // two names of one
    auto moved = names_.extract(from);
    moved.key() = to;
    names_.erase(to);
    names_.insert(std::move(moved));
    Names within;
    for (const auto& [path, file] : names_)
      if (folder && path.starts_with(from + "/")) within[path] = file;
    for (const auto& [path, file] : within) {
      names_.erase(path);
      names_[to + path.substr(from.size())] = file;
    }
    names_changed();
    return words;
  }

  std::mt19937_64 random_;
  Names names_;
  std::vector<Names> names_versions_;
  int syncs_ = 0;
};

}  // namespace pgstrata
