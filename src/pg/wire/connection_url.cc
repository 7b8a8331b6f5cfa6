#include "pg/wire/connection_url.h"

#include <algorithm>
#include <array>
#include <memory>

#include <libpq-fe.h>

#include "base/assert.h"

namespace pgstrata {
namespace {

using Parameter = std::pair<std::string, std::string>;

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using Options = std::unique_ptr<PQconninfoOption, FreeOptions>;

// All keywords that this libpq knows, in its order, with those marked that it treats as secrets.
struct KnownKeyword {
  std::string name;
  bool secret = false;
};

const std::vector<KnownKeyword>& known_keywords() {
  static const std::vector<KnownKeyword> keywords = [] {
    std::vector<KnownKeyword> found;
    char* message = nullptr;
    const Options options(PQconninfoParse("", &message));
    PQfreemem(message);
    for (const auto* option = options.get(); option != nullptr && option->keyword != nullptr; ++option) {
      const std::string_view display = option->dispchar == nullptr ? "" : option->dispchar;
      const std::string name = option->keyword;
      const bool secret = display.starts_with('*') || name == "password" || name == "sslpassword";
      found.push_back({name, secret});
    }
    return found;
  }();
  return keywords;
}

std::size_t rank_of(std::string_view keyword) {
  const auto& known = known_keywords();
  const auto at = std::find_if(known.begin(), known.end(), [&](const auto& k) { return k.name == keyword; });
  return static_cast<std::size_t>(at - known.begin());
}

bool is_secret(std::string_view keyword) {
  const std::size_t rank = rank_of(keyword);
  return rank < known_keywords().size() && known_keywords()[rank].secret;
}

std::string in_quotes(std::string_view value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string as_text(const std::vector<Parameter>& parameters) {
  std::string text;
  for (const auto& [keyword, value] : parameters) {
    if (!text.empty()) text += ' ';
    text += keyword + "=" + in_quotes(value);
  }
  return text;
}

// What libpq says of a text it cannot parse may quote the text, and with it a password: only the name of an
// unknown option may be quoted.
std::string without_quotations(std::string_view message) {
  if (message.starts_with("invalid connection option") ||
      message.starts_with("invalid URI query parameter")) {
    return std::string(message);
  }
  const auto first = message.find('"');
  const auto last = message.rfind('"');
  if (first == std::string_view::npos || first == last) return std::string(message);
  return std::string(message.substr(0, first)) + "…" + std::string(message.substr(last + 1));
}

// In a URL an unescaped @, : or / ends a password early, and its rest stands for a host, a port or a
// database, which messages name.
bool holds_part_of_a_password(std::string_view text, const std::vector<Parameter>& parameters) {
  if (!text.starts_with("postgresql://") && !text.starts_with("postgres://")) return false;
  return std::ranges::any_of(parameters, [](const Parameter& parameter) {
    const auto& [keyword, value] = parameter;
    if (keyword == "port") return value.find_first_not_of("0123456789,") != std::string::npos;
    if (keyword == "dbname") return value.find('@') != std::string::npos;
    return keyword == "host" && !value.starts_with('/') && !value.starts_with('@') &&
           value.find('@') != std::string::npos;
  });
}

constexpr std::string_view forms =
    "Give a libpq URL (postgresql://user@host:5432/database?sslmode=require), a keyword string "
    "(\"host=h user=u dbname=d\") or \"service=name\".";

}  // namespace

ConnectionUrl::ConnectionUrl(std::vector<Parameter> parameters)
    : parameters_(std::move(parameters)), text_(as_text(parameters_)) {}

Result<ConnectionUrl> ConnectionUrl::parse(std::string_view text) {
  char* raw_message = nullptr;
  const std::string terminated(text);
  if (terminated.size() != std::char_traits<char>::length(terminated.c_str())) {
    return std::unexpected(
        make_error(ErrorCode::usage, "the connection URL holds a zero byte").with_hint(std::string(forms)));
  }
  const Options options(PQconninfoParse(terminated.c_str(), &raw_message));
  const std::unique_ptr<char, decltype(&PQfreemem)> message(raw_message, &PQfreemem);
  if (options == nullptr) {
    std::string why = without_quotations(message == nullptr ? "out of memory" : message.get());
    while (!why.empty() && why.back() == '\n') why.pop_back();
    return std::unexpected(
        make_error(ErrorCode::usage, "not a connection URL: {}", why).with_hint(std::string(forms)));
  }
  std::vector<Parameter> parameters;
  for (const auto* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr && *option->val != '\0') parameters.emplace_back(option->keyword, option->val);
  }
  if (holds_part_of_a_password(text, parameters)) {
    return std::unexpected(
        make_error(ErrorCode::usage, "not a connection URL: its host, port or database cannot be one")
            .with_hint(
                "Is there an @, : or / in the password, or an @ in the database's name? In a URL they are "
                "written %40, %3A and %2F; or give keywords (\"host=h dbname=d\") and put the password "
                "into ~/.pgpass."));
  }
  if (parameters.empty()) {
    return std::unexpected(
        make_error(ErrorCode::usage, "the connection URL is empty").with_hint(std::string(forms)));
  }
  return ConnectionUrl(std::move(parameters));
}

std::optional<std::string> ConnectionUrl::get(std::string_view keyword) const {
  const auto at = std::find_if(parameters_.begin(), parameters_.end(),
                               [&](const Parameter& p) { return p.first == keyword; });
  if (at == parameters_.end()) return std::nullopt;
  return at->second;
}

ConnectionUrl ConnectionUrl::with(std::string_view keyword, std::string_view value) const {
  const std::size_t rank = rank_of(keyword);
  PGS_ASSERT(rank < known_keywords().size());
  auto parameters = parameters_;
  const auto at = std::find_if(parameters.begin(), parameters.end(),
                               [&](const Parameter& p) { return rank_of(p.first) >= rank; });
  if (at != parameters.end() && at->first == keyword) {
    at->second = value;
  } else {
    parameters.emplace(at, std::string(keyword), std::string(value));
  }
  return ConnectionUrl(std::move(parameters));
}

ConnectionUrl ConnectionUrl::with_default(std::string_view keyword, std::string_view value) const {
  return get(keyword).has_value() ? *this : with(keyword, value);
}

ConnectionUrl ConnectionUrl::without_password() const {
  auto parameters = parameters_;
  std::erase_if(parameters, [](const Parameter& p) { return is_secret(p.first); });
  return ConnectionUrl(std::move(parameters));
}

bool ConnectionUrl::has_password() const {
  return get("password").has_value();
}

std::string ConnectionUrl::describe() const {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> shown = {{
      {"service", "service"},
      {"host", "host"},
      {"hostaddr", "address"},
      {"port", "port"},
      {"user", "user"},
      {"dbname", "database"},
  }};
  std::string text;
  for (const auto& [keyword, word] : shown) {
    const auto value = get(keyword);
    if (!value.has_value()) continue;
    if (!text.empty()) text += ", ";
    text += fmt::format("{} {}", word, *value);
  }
  return text.empty() ? "libpq's default server" : text;
}

}  // namespace pgstrata
