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
# A room is compiled as one or two units, its tests as others (docs/decisions/0008-unity-builds.md).
function(pgs_room room)
  cmake_parse_arguments(ARG "" "" "USES;LIBRARIES;SOURCES_FROM;TEST_USES;TEST_LIBRARIES" ${ARGN})
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
    pgs_precompile(${target} pgs_base)
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
    target_link_libraries(${test_target} PRIVATE ${target} ${ARG_TEST_LIBRARIES})
    pgs_test_program(${test_target})
    foreach(used ${ARG_TEST_USES})
      string(REPLACE "/" "_" used_name ${used})
      target_link_libraries(${test_target} PRIVATE pgs_${used_name})
    endforeach()
    pgs_add_test(unit.${name} ${test_target})
    set_tests_properties(unit.${name} PROPERTIES LABELS unit TIMEOUT 300)
  endif()
endfunction()

# What is a test's alone is not optimised, for the sake of a short build; what is tested is as its preset says.
function(pgs_test_program target)
  target_link_libraries(${target} PRIVATE GTest::gmock GTest::gtest_main)
  target_compile_options(${target} PRIVATE -O0)
  pgs_precompile(${target} pgs_test_base <gmock/gmock.h> <gtest/gtest.h>)
  target_compile_definitions(${target} PRIVATE PGSTRATA_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
endfunction()

# A GoogleTest program under ctest, its report in test-results/NAME.xml.
function(pgs_add_test name)
  add_test(NAME ${name} COMMAND ${ARGN})
  set_tests_properties(${name} PROPERTIES
    ENVIRONMENT "GTEST_OUTPUT=xml:${PROJECT_BINARY_DIR}/test-results/${name}.xml")
endfunction()
