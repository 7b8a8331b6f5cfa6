# What is installed where, and the Debian package: `cpack -G DEB` in a build directory of the preset release.
if(NOT TARGET pgstrata)
  return()
endif()

set(packaging ${PROJECT_SOURCE_DIR}/packaging)
install(TARGETS pgstrata RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${packaging}/pgstrata-stream@.service DESTINATION lib/systemd/system)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)

install(FILES ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs DESTINATION ${CMAKE_INSTALL_DOCDIR} PATTERN man EXCLUDE)
install(FILES ${PROJECT_SOURCE_DIR}/docs/man/pgstrata.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
# The program prints its completion; src/cli runs it.
set(completion ${PROJECT_BINARY_DIR}/completion)
install(FILES ${completion}/pgstrata.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
        RENAME pgstrata)
install(FILES ${completion}/_pgstrata DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME pgstrata)
set(CPACK_PACKAGE_VENDOR "pgstrata")
set(CPACK_PACKAGE_CONTACT "The pgstrata project <pgstrata@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Branches need fusermount3 (for all but root), and a server.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS fuse3)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS postgresql)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${packaging}/debian/postinst ${packaging}/debian/prerm ${packaging}/debian/postrm)
include(CPack)

if(PGSTRATA_BUILD_TESTS)
  add_test(NAME e2e.package COMMAND ${packaging}/test-package ${PROJECT_BINARY_DIR})
  set_tests_properties(e2e.package PROPERTIES LABELS e2e TIMEOUT 120)
endif()
