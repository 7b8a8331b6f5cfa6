// What a restored directory's configuration says of places outside of it.
//
// The source's postgresql.conf comes along as it is. Where it names the source's own places by their absolute
// paths, a server on the copy would use those: data_directory above all, with which it would open another
// cluster than the one it was started on, whatever -D and postgresql.auto.conf say.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "restore/target_directory.h"

namespace pgstrata {

// Names in lower case, and what each was set to last.
using ConfiguredValues = std::map<std::string, std::string>;

// By postgresql.conf with what it includes, and then `auto_conf`. Files outside of the directory are not
// looked at, and what cannot be read is left out: the server will say so.
[[nodiscard]] ConfiguredValues read_configuration(const TargetDirectory& data, std::string_view auto_conf);
// The same with the directory's own postgresql.auto.conf.
[[nodiscard]] ConfiguredValues read_configuration(const TargetDirectory& data);

// Whether nothing was left out that the server would read.
[[nodiscard]] bool is_configuration_whole(const TargetDirectory& data);

// A warning for each place outside of the directory that a server on it would use, with what to do about it.
[[nodiscard]] std::vector<std::string> warn_of_places_elsewhere(const TargetDirectory& data,
                                                                const ConfiguredValues& values);

}  // namespace pgstrata
