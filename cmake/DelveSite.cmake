# SPDX-License-Identifier: MIT
#
# The target `docs`: the API and the pages of docs/ as a site, and the test that looks it through.

find_package(Doxygen QUIET)
if(NOT DOXYGEN_FOUND)
  message(STATUS "No target docs, and no test of it: there is no doxygen")
  return()
endif()

# Doxygen's own look where this one is not installed.
find_file(DELVE_DOXYGEN_STYLE doxygen-awesome.css PATH_SUFFIXES share/doxygen-awesome-css
          DOC "Style sheet of the site")
set(style "\"${PROJECT_SOURCE_DIR}/docs/site.css\"")
if(DELVE_DOXYGEN_STYLE)
  string(PREPEND style "\"${DELVE_DOXYGEN_STYLE}\" ")
endif()
configure_file(docs/Doxyfile.in Doxyfile @ONLY)
add_custom_target(
  docs
  COMMAND Doxygen::doxygen "${PROJECT_BINARY_DIR}/Doxyfile"
  COMMENT "Writing ${PROJECT_BINARY_DIR}/site/index.html"
  VERBATIM)

if(DELVE_BUILD_TESTS)
  add_test(NAME docs_site
           COMMAND "${CMAKE_COMMAND}" -D "DOXYGEN=${DOXYGEN_EXECUTABLE}"
                   -D "DOXYFILE=${PROJECT_BINARY_DIR}/Doxyfile"
                   -D "SITE=${PROJECT_BINARY_DIR}/site"
                   -P "${PROJECT_SOURCE_DIR}/tests/site.cmake")
endif()
