# SPDX-License-Identifier: MIT
#
# What `cmake --install` and `cpack` make of delve: headers, what find_package and pkg-config read,
# and, where it is asked for by its name, the component `single_header`.

include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_folder "${CMAKE_INSTALL_DATADIR}/cmake/delve")
install(DIRECTORY include/delve DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT headers)
install(TARGETS delve EXPORT delveTargets INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT delveTargets NAMESPACE delve:: DESTINATION "${package_folder}" COMPONENT headers)
# Before 1.0 a minor version may change what programs use.
set(compatibility SameMajorVersion)
if(PROJECT_VERSION VERSION_LESS 1.0)
  set(compatibility SameMinorVersion)
endif()
write_basic_package_version_file(
  "${CMAKE_CURRENT_BINARY_DIR}/delveConfigVersion.cmake"
  COMPATIBILITY ${compatibility} ARCH_INDEPENDENT)
install(FILES cmake/delveConfig.cmake cmake/FindDelveTorch.cmake
              "${CMAKE_CURRENT_BINARY_DIR}/delveConfigVersion.cmake"
        DESTINATION "${package_folder}" COMPONENT headers)
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT headers)

file(RELATIVE_PATH pkgconfig_to_include "${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig"
     "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
configure_file(cmake/delve.pc.in delve.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/delve.pc"
        DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig" COMPONENT headers)

# All of delve in one file, in a folder from which <delve/delve.hpp> is this one.
set(single_header "${CMAKE_CURRENT_BINARY_DIR}/single_include/delve/delve.hpp")
file(GLOB_RECURSE headers CONFIGURE_DEPENDS include/delve/*.hpp)
add_custom_command(
  OUTPUT "${single_header}"
  COMMAND "${CMAKE_COMMAND}" -D "OUTPUT=${single_header}" -P
          "${CMAKE_CURRENT_SOURCE_DIR}/cmake/single_header.cmake"
  DEPENDS ${headers} cmake/single_header.cmake LICENSE
  COMMENT "Writing all of delve into one header"
  VERBATIM)
add_custom_target(delve_single_header ALL DEPENDS "${single_header}")
install(FILES "${single_header}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/delve"
        COMPONENT single_header EXCLUDE_FROM_ALL)

# Debian packages: `cpack -G DEB`. The programs are there where the examples are built.
if(DELVE_TOP_LEVEL)
  set(CPACK_PACKAGE_CONTACT "the delve-cpp authors <root@localhost>" CACHE STRING
      "Who made the packages; Debian wants an address")
  set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
  set(CPACK_VERBATIM_VARIABLES ON)
  set(CPACK_DEB_COMPONENT_INSTALL ON)
  set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
  set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS OFF)

  set(CPACK_COMPONENTS_ALL headers)
  set(CPACK_DEBIAN_HEADERS_PACKAGE_NAME libdelve-cpp-dev)
  set(CPACK_DEBIAN_HEADERS_PACKAGE_ARCHITECTURE all)
  set(CPACK_DEBIAN_HEADERS_PACKAGE_SECTION libdevel)
  set(CPACK_DEBIAN_HEADERS_PACKAGE_DEPENDS "libtorch-dev, libeigen3-dev, libfmt-dev")
  set(CPACK_DEBIAN_HEADERS_PACKAGE_RECOMMENDS "libopenblas0-pthread, gnuplot-nox")
  set(CPACK_DEBIAN_HEADERS_PACKAGE_SUGGESTS "nlohmann-json3-dev, libprotozero-dev")

  if(DELVE_BUILD_EXAMPLES)
    list(APPEND CPACK_COMPONENTS_ALL programs)
    set(CPACK_DEBIAN_PROGRAMS_PACKAGE_NAME delve-cpp-programs)
    set(CPACK_DEBIAN_PROGRAMS_PACKAGE_SECTION science)
    set(CPACK_DEBIAN_PROGRAMS_PACKAGE_SHLIBDEPS ON)
    set(CPACK_DEBIAN_PROGRAMS_PACKAGE_RECOMMENDS gnuplot-nox)
  endif()
  include(CPack)
endif()
