// Whether the source's commits wait for us: the meaning of synchronous_standby_names.
#pragma once

#include <string_view>

namespace pgstrata {

// True when the setting, as SHOW prints it, names `application_name` or everyone ("*"): in a plain list, in
// FIRST n (...), ANY n (...) or n (...). Names compare without regard to case, as the server does it. Pure.
[[nodiscard]] bool is_synchronous_standby(std::string_view synchronous_standby_names,
                                          std::string_view application_name);

}  // namespace pgstrata
