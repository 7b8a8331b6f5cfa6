# A room is one folder under src/, one static library, one reason to change.
#
#   pgs_room(pg/wire USES pg/format sys LIBRARIES PkgConfig::LIBPQ)
#
# USES names the rooms below it; a room sees the headers of those (and of what they use) and of no
# other: each room publishes its headers through a folder of its own that holds only a link to it,
# so that an upward #include does not compile.
#
# Sources are the room's *.cc; *_test.cc become the room's unit tests (pgs_test_<room>) when tests
# are built. SOURCES_FROM names subfolders that belong to the same room.
#
# Instrumented builds compile a room as one unit, which takes a third of the time; ALONE names the files that
# cannot share one (two files may each have a `details` of their own), or "*" for all.
function(pgs_room room)
  cmake_parse_arguments(ARG "" "" "USES;LIBRARIES;SOURCES_FROM;TEST_USES;TEST_LIBRARIES;ALONE" ${ARGN})
  string(REPLACE "/" "_" name ${room})
  set(target pgs_${name})
  set(source_dir ${PROJECT_SOURCE_DIR}/src/${room})

  set(patterns ${source_dir}/*.cc)
  foreach(sub ${ARG_SOURCES_FROM})
    list(APPEND patterns ${source_dir}/${sub}/*.cc)
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS ${patterns})
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")

  set(include_root ${PROJECT_BINARY_DIR}/rooms/${name})
  get_filename_component(parent ${room} DIRECTORY)
  file(MAKE_DIRECTORY ${include_root}/${parent})
  if(NOT EXISTS ${include_root}/${room})
    file(CREATE_LINK ${source_dir} ${include_root}/${room} SYMBOLIC)
  endif()

  if(sources)
    set(scope PUBLIC)
    add_library(${target} STATIC ${sources})
    if(PGSTRATA_SANITIZE AND NOT ARG_ALONE STREQUAL "*")
      set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 24)
      list(TRANSFORM ARG_ALONE PREPEND ${source_dir}/)
      set_source_files_properties(${ARG_ALONE} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
  else()
    set(scope INTERFACE)
    add_library(${target} INTERFACE)
  endif()
  target_include_directories(${target} ${scope} ${include_root})
  foreach(used ${ARG_USES})
    string(REPLACE "/" "_" used_name ${used})
    target_link_libraries(${target} ${scope} pgs_${used_name})
  endforeach()
  target_link_libraries(${target} ${scope} ${ARG_LIBRARIES})

  if(PGSTRATA_BUILD_TESTS AND tests)
    set(test_target pgs_test_${name})
    add_executable(${test_target} ${tests})
    target_link_libraries(${test_target} PRIVATE ${target} ${ARG_TEST_LIBRARIES} GTest::gmock GTest::gtest_main)
    foreach(used ${ARG_TEST_USES})
      string(REPLACE "/" "_" used_name ${used})
      target_link_libraries(${test_target} PRIVATE pgs_${used_name})
    endforeach()
    if(PGSTRATA_SANITIZE)
      target_precompile_headers(${test_target} PRIVATE <gmock/gmock.h> <gtest/gtest.h> <fmt/format.h>)
    endif()
    target_compile_definitions(${test_target} PRIVATE PGSTRATA_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    add_test(NAME unit.${name} COMMAND ${test_target})
    set_tests_properties(unit.${name} PROPERTIES LABELS unit TIMEOUT 300)
  endif()
endfunction()
