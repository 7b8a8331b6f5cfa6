# Language level, warnings, sanitizers, linker and compiler cache: the same for every room.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_compile_options(-Wall -Wextra -Wpedantic -Wconversion -fno-omit-frame-pointer)
if(PGSTRATA_WERROR)
  add_compile_options(-Werror)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  # Its -Wconversion includes changes of sign, which g++'s does not: one meaning for both.
  add_compile_options(-Wthread-safety -Wno-sign-conversion)
  # A precompiled header is the same whenever it is made: ccache then knows it again.
  add_compile_options("SHELL:-Xclang -fno-pch-timestamp")
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # g++ 12 takes the value of a std::expected that holds an error for used, once it has inlined enough.
  add_compile_options(-Wno-maybe-uninitialized)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND PGSTRATA_SANITIZE)
  # And reports false positives of this under instrumentation.
  add_compile_options(-Wno-restrict)
endif()
if(PGSTRATA_SANITIZE)
  add_compile_options(-fsanitize=${PGSTRATA_SANITIZE} -fno-sanitize-recover=all)
  if(PGSTRATA_SANITIZE MATCHES undefined)
    # Checks of every use of a pointer, a seventh of the build's time: AddressSanitizer tells of a null pointer, too.
    add_compile_options(-fno-sanitize=null,vptr,object-size)
  endif()
  add_link_options(-fsanitize=${PGSTRATA_SANITIZE})
  add_compile_definitions(PGSTRATA_SANITIZED)
endif()

# Several files as one unit: a cold build takes a third of the time (docs/decisions/0008-unity-builds.md). OFF is what shows
# a missing #include, and a local that shadows what is outside of its function.
option(PGSTRATA_UNITY "compile several files as one unit, with precompiled headers" ON)
set(CMAKE_UNITY_BUILD ${PGSTRATA_UNITY})
set(CMAKE_UNITY_BUILD_BATCH_SIZE 12)
if(NOT PGSTRATA_UNITY)
  add_compile_options(-Wshadow)
elseif(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # Every type that a .cc has for itself is in "another file" then.
  add_compile_options(-Wshadow=local -Wno-subobject-linkage)
endif()

# What most files include is read once for all rooms, and once for all tests: by the target `owner`, which every other names.
# Further headers, the same for all that name it, come beside the usual ones.
function(pgs_precompile target owner)
  if(NOT PGSTRATA_UNITY)
    return()
  endif()
  if(NOT target STREQUAL owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
    return()
  endif()
  target_precompile_headers(${target} PRIVATE ${ARGN}
    <algorithm> <atomic> <condition_variable> <deque> <expected> <filesystem> <functional> <map> <memory> <mutex> <optional>
    <random> <ranges> <set> <span> <string> <thread> <variant> <vector> <fmt/format.h> <fmt/ranges.h>)
endfunction()

find_program(PGSTRATA_CCACHE ccache)
if(PGSTRATA_CCACHE)
  # Paths below the checkout count as relative, so that builds of every preset and checkout share what is the same.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=true
                                  CCACHE_SLOPPINESS=pch_defines,time_macros ${PGSTRATA_CCACHE})
endif()
find_program(PGSTRATA_MOLD mold)
if(PGSTRATA_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
