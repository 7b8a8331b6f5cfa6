# Language level, warnings, sanitizers, linker and compiler cache: the same for every room.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -fno-omit-frame-pointer)
if(PGSTRATA_WERROR)
  add_compile_options(-Werror)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  # Its -Wconversion includes changes of sign, which g++'s does not: one meaning for both.
  add_compile_options(-Wthread-safety -Wno-sign-conversion)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND PGSTRATA_SANITIZE)
  # g++ 12 reports false positives of these under instrumentation.
  add_compile_options(-Wno-maybe-uninitialized -Wno-restrict)
endif()
if(PGSTRATA_SANITIZE)
  add_compile_options(-fsanitize=${PGSTRATA_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PGSTRATA_SANITIZE})
  # Rooms are compiled as one unit then (cmake/room.cmake): what shadows is judged file by file in the dev build.
  add_compile_options(-Wno-shadow)
endif()

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
