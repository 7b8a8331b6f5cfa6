// An overlay by paths, as the kernel walks them for whoever uses it: tests speak of names and contents.
#pragma once

#include <map>

#include "branch/overlay.h"

namespace pgstrata {

class OverlayByPath {
 public:
  explicit OverlayByPath(Overlay& overlay) : overlay_(overlay) {}

  // A node that is looked at for a while.
  class Reference {
   public:
    Reference(Overlay& overlay, NodeInfo info) : overlay_(&overlay), info_(info) {}
    Reference(Reference&& other) noexcept
        : overlay_(std::exchange(other.overlay_, nullptr)), info_(other.info_) {}
    Reference(const Reference&) = delete;
    Reference& operator=(const Reference&) = delete;
    Reference& operator=(Reference&& other) noexcept {
      std::swap(overlay_, other.overlay_);
      std::swap(info_, other.info_);
      return *this;
    }
    ~Reference() {
      if (overlay_ != nullptr && info_.node != root_node) overlay_->forget(info_.node, 1);
    }
    [[nodiscard]] NodeId node() const { return info_.node; }
    [[nodiscard]] const NodeInfo& info() const { return info_; }

   private:
    Overlay* overlay_;
    NodeInfo info_;
  };

  Result<Reference> find(const std::string& path) {
    PGS_TRY(const auto root, overlay_.info(root_node));
    Reference at(overlay_, root);
    std::size_t begin = 0;
    while (begin < path.size()) {
      const auto end = std::min(path.find('/', begin), path.size());
      PGS_TRY(const auto info, overlay_.lookup(at.node(), path.substr(begin, end - begin)));
      at = Reference(overlay_, info);
      begin = end + 1;
    }
    return at;
  }

  // What a call does with a folder and a name.
  template <class Call>
  auto in_folder(const std::string& path, Call&& call) -> decltype(call(NodeId{}, std::string{})) {
    const auto slash = path.rfind('/');
    PGS_TRY(const auto folder, find(slash == std::string::npos ? "" : path.substr(0, slash)));
    return call(folder.node(), path.substr(slash == std::string::npos ? 0 : slash + 1));
  }

  Result<void> make_file(const std::string& path) {
    return in_folder(path, [&](NodeId folder, const std::string& name) -> Result<void> {
      PGS_TRY(const auto info, overlay_.make_file(folder, name, 0600));
      overlay_.forget(info.node, 1);
      return {};
    });
  }
  Result<void> make_folder(const std::string& path) {
    return in_folder(path, [&](NodeId folder, const std::string& name) -> Result<void> {
      PGS_TRY(const auto info, overlay_.make_folder(folder, name, 0700));
      overlay_.forget(info.node, 1);
      return {};
    });
  }
  Result<void> add_name(const std::string& existing, const std::string& path) {
    PGS_TRY(const auto node, find(existing));
    return in_folder(path, [&](NodeId folder, const std::string& name) -> Result<void> {
      PGS_TRY(const auto info, overlay_.add_name(node.node(), folder, name));
      overlay_.forget(info.node, 1);
      return {};
    });
  }
  Result<void> remove_file(const std::string& path) {
    return in_folder(
        path, [&](NodeId folder, const std::string& name) { return overlay_.remove_file(folder, name); });
  }
  Result<void> remove_folder(const std::string& path) {
    return in_folder(
        path, [&](NodeId folder, const std::string& name) { return overlay_.remove_folder(folder, name); });
  }
  Result<void> rename(const std::string& from, const std::string& to, bool replace = true) {
    return in_folder(from, [&](NodeId from_folder, const std::string& from_name) {
      return in_folder(to, [&](NodeId to_folder, const std::string& to_name) {
        return overlay_.rename({from_folder, from_name}, {to_folder, to_name}, replace);
      });
    });
  }
  Result<void> write(const std::string& path, std::uint64_t offset, std::string_view text) {
    PGS_TRY(const auto node, find(path));
    return overlay_.write(node.node(), offset, as_byte_view(text));
  }
  Result<void> resize(const std::string& path, std::uint64_t size_bytes) {
    PGS_TRY(const auto node, find(path));
    return overlay_.resize(node.node(), size_bytes);
  }
  Result<void> sync(const std::string& path) {
    PGS_TRY(const auto node, find(path));
    return overlay_.sync(node.node());
  }
  Result<std::string> read(const std::string& path) {
    PGS_TRY(const auto node, find(path));
    return read(node);
  }
  Result<std::string> read(const Reference& node) {
    PGS_TRY(const auto info, overlay_.info(node.node()));
    std::string text(static_cast<std::size_t>(info.size_bytes) + 10, '?');  // more than there is
    PGS_TRY(const auto got, overlay_.read(node.node(), 0, std::as_writable_bytes(std::span(text))));
    text.resize(got);
    return text;
  }

  // All files with their contents; folders end in a slash.
  Result<std::map<std::string, std::string>> everything(const std::string& below = "") {
    std::map<std::string, std::string> found;
    PGS_TRY(const auto folder, find(below));
    PGS_TRY(const auto names, overlay_.list(folder.node()));
    for (const auto& [name, kind] : names) {
      const auto path = below.empty() ? name : below + "/" + name;
      if (kind == OverlayNodeKind::directory) {
        PGS_TRY(auto within, everything(path));
        found.merge(within);
        found[path + "/"] = "";
      } else if (kind == OverlayNodeKind::regular) {
        PGS_TRY(found[path], read(path));
      }
    }
    return found;
  }

 private:
  Overlay& overlay_;
};

}  // namespace pgstrata
