// One of AWS' settings files as text. Internal to the room.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/aws/aws_profile.h"

namespace pgstrata {

// By what stands between the brackets: "default", "profile eu", "services local". Names of settings are in lower
// case, those of nested (indented) settings behind the outer one's and a dot. What comes twice is merged, the later
// counts. A "#" or ";" begins a comment at the start of a line and after a blank.
using AwsFileSections = std::map<std::string, AwsProfile, std::less<>>;

// `name` is the file's, for messages, which say the line's number and never what is in it: it may be a secret.
// Error: usage.
[[nodiscard]] Result<AwsFileSections> parse_aws_file(std::string_view text, std::string_view name);

// A-Z alone.
[[nodiscard]] std::string ascii_lower(std::string_view text);

}  // namespace pgstrata
