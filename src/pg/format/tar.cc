#include "pg/format/tar.h"

#include <algorithm>
#include <optional>
#include <string>

#include "pg/format/page.h"
#include "pg/format/text_parsing.h"

namespace pgstrata {
namespace {

constexpr std::size_t block_size = TarParser::block_size_bytes;

struct Field {
  std::size_t offset;
  std::size_t size;
};
constexpr Field name_field{0, 100};
constexpr Field mode_field{100, 8};
constexpr Field size_field{124, 12};
constexpr Field checksum_field{148, 8};
constexpr Field type_field{156, 1};
constexpr Field link_field{157, 100};
constexpr Field magic_field{257, 5};
constexpr Field prefix_field{345, 155};

std::string_view whole_field(const std::byte* block, Field field) {
  return as_text({block + field.offset, field.size});
}

// Up to the first zero byte.
std::string_view text_field(const std::byte* block, Field field) {
  const auto text = whole_field(block, field);
  return text.substr(0, text.find('\0'));
}

// Octal digits ended by blank, zero or the field's end; or, with the top bit set, base 256.
std::optional<std::uint64_t> number_field(const std::byte* block, Field field) {
  const auto text = whole_field(block, field);
  if ((static_cast<unsigned char>(text.front()) & 0x80U) != 0) {
    std::uint64_t value = static_cast<unsigned char>(text.front()) & 0x7FU;
    for (const char c : text.substr(1)) {
      if (value >> 56U != 0) return std::nullopt;
      value = (value << 8U) | static_cast<unsigned char>(c);
    }
    return value;
  }
  auto digits = text.substr(std::min(text.find_first_not_of(' '), text.size()));
  digits = digits.substr(0, digits.find_first_of(std::string_view(" \0", 2)));
  return parse_number<std::uint64_t>(digits, 8);
}

// The sum of the header's bytes, its own field taken as blanks.
std::uint64_t header_checksum(const std::byte* block) {
  std::uint64_t sum = checksum_field.size * ' ';
  for (std::size_t i = 0; i < block_size; ++i) {
    if (i < checksum_field.offset || i >= checksum_field.offset + checksum_field.size) {
      sum += std::to_integer<std::uint64_t>(block[i]);
    }
  }
  return sum;
}

std::optional<TarType> type_of(const std::byte* block) {
  switch (whole_field(block, type_field).front()) {
    case '0':
    case '\0':
      return TarType::file;
    case '2':
      return TarType::symbolic_link;
    case '5':
      return TarType::directory;
    default:
      return std::nullopt;
  }
}

Result<TarMember> parse_header(const std::byte* block, std::uint64_t offset) {
  if (whole_field(block, magic_field) != "ustar" ||
      number_field(block, checksum_field) != header_checksum(block)) {
    return fail(ErrorCode::damaged, "no tar header at offset {}", offset);
  }
  const auto type = type_of(block);
  if (!type) {
    return fail(ErrorCode::unsupported, "the tar member at offset {} is of type 0x{:02X}", offset,
                std::to_integer<unsigned>(block[type_field.offset]));
  }
  if (!text_field(block, prefix_field).empty()) {
    return fail(ErrorCode::unsupported, "the tar member at offset {} has a name prefix", offset);
  }
  TarMember member;
  member.offset = offset;
  member.type = *type;
  member.name = text_field(block, name_field);
  if (member.name.ends_with('/')) member.name.remove_suffix(1);
  if (member.name.empty()) return fail(ErrorCode::damaged, "the tar member at offset {} has no name", offset);
  const auto mode = number_field(block, mode_field);
  const auto size = number_field(block, size_field);
  if (!mode || *mode > 07777 || !size || *size > std::uint64_t{1} << 62U) {
    return fail(ErrorCode::damaged, "the tar header at offset {} has a wrong number", offset);
  }
  member.mode = static_cast<std::uint32_t>(*mode);
  if (*type == TarType::file) member.size_bytes = *size;
  if (*type == TarType::symbolic_link) member.link_target = text_field(block, link_field);
  return member;
}

}  // namespace

Result<void> TarParser::feed(ByteView bytes) {
  while (!bytes.empty()) {
    switch (step_) {
      case Step::header:
        PGS_CHECK(feed_header(bytes));
        break;
      case Step::content:
        PGS_CHECK(feed_content(bytes));
        break;
      case Step::padding: {
        const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, bytes.size()));
        take(bytes, count);
        remaining_ -= count;
        if (remaining_ == 0) step_ = Step::header;
        break;
      }
      case Step::end:
        // tar writers may fill up to a record of 20 blocks.
        take(bytes,
             static_cast<std::size_t>(
                 std::ranges::find_if(bytes, [](std::byte b) { return b != std::byte{0}; }) - bytes.begin()));
        if (!bytes.empty()) {
          return fail(ErrorCode::damaged, "the tar archive goes on after its end at offset {}", offset_);
        }
        break;
    }
  }
  return {};
}

Result<void> TarParser::feed_header(ByteView& bytes) {
  if (header_filled_ == 0 && bytes.size() >= block_size) {
    const auto* block = bytes.data();
    PGS_CHECK(handle_header(block));
    take(bytes, block_size);
    return {};
  }
  const auto count = std::min(block_size - header_filled_, bytes.size());
  std::copy_n(bytes.begin(), count, header_.begin() + static_cast<std::ptrdiff_t>(header_filled_));
  header_filled_ += count;
  if (header_filled_ == block_size) {
    header_filled_ = 0;
    offset_ -= block_size - count;
    const auto result = handle_header(header_.data());
    offset_ += block_size - count;
    PGS_CHECK(result);
  }
  take(bytes, count);
  return {};
}

// offset_ is that of the block.
Result<void> TarParser::handle_header(const std::byte* block) {
  if (is_all_zero({block, block_size})) {
    if (++zero_blocks_ == 2) step_ = Step::end;
    return {};
  }
  if (zero_blocks_ != 0)
    return fail(ErrorCode::damaged, "the tar archive goes on after its end at offset {}", offset_);
  PGS_TRY(const TarMember member, parse_header(block, offset_));
  remaining_ = member.size_bytes;
  padding_ = static_cast<std::size_t>((block_size - member.size_bytes % block_size) % block_size);
  PGS_CHECK(handler_.begin_member(member));
  if (remaining_ == 0) return end_content();
  step_ = Step::content;
  return {};
}

Result<void> TarParser::feed_content(ByteView& bytes) {
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, bytes.size()));
  PGS_CHECK(handler_.content(bytes.first(count)));
  take(bytes, count);
  remaining_ -= count;
  if (remaining_ == 0) return end_content();
  return {};
}

Result<void> TarParser::end_content() {
  remaining_ = padding_;
  step_ = padding_ == 0 ? Step::header : Step::padding;
  return handler_.end_member();
}

Result<void> TarParser::finish() {
  if (step_ == Step::content || header_filled_ != 0 || (step_ == Step::padding && remaining_ != 0)) {
    return fail(ErrorCode::damaged, "the tar archive ends within a member at offset {}", offset_);
  }
  return {};
}

}  // namespace pgstrata
