# SPDX-License-Identifier: MIT
#
# Writes the site and follows what its pages point to within it: pictures, pages, places in pages.
#
#   cmake -D DOXYGEN=… -D DOXYFILE=… -D SITE=… -P site.cmake

file(REMOVE_RECURSE "${SITE}")
execute_process(COMMAND "${DOXYGEN}" "${DOXYFILE}" ERROR_VARIABLE warnings RESULT_VARIABLE status)
if(NOT status EQUAL 0 OR NOT warnings STREQUAL "")
  message(FATAL_ERROR "Doxygen ended with ${status} and said\n${warnings}")
endif()

set(broken "")
set(count 0)
file(GLOB pages RELATIVE "${SITE}" "${SITE}/*.html")
foreach(page IN LISTS pages)
  # Sources are shown as Doxygen likes.
  if(page MATCHES "_source\\.html$")
    continue()
  endif()
  file(READ "${SITE}/${page}" text)
  string(REGEX MATCHALL "(src|href)=\"[^\"]+\"" links "${text}")
  list(REMOVE_DUPLICATES links)
  foreach(link IN LISTS links)
    string(REGEX REPLACE "^(src|href)=\"([^\"#]*)(#[^\"]*)?\"$" "\\2" target "${link}")
    if(target MATCHES "^(https?|javascript|mailto|file):" OR target STREQUAL "")
      continue()
    endif()
    math(EXPR count "${count} + 1")
    if(NOT EXISTS "${SITE}/${target}")
      list(APPEND broken "${page}: ${target}")
    endif()
  endforeach()
endforeach()
list(LENGTH pages page_count)
if(page_count LESS 40 OR count LESS 400)
  message(FATAL_ERROR "${page_count} pages with ${count} links are too few: is this the site?")
endif()
if(broken)
  list(JOIN broken "\n  " broken)
  message(FATAL_ERROR "These are not there:\n  ${broken}")
endif()
message(STATUS "${page_count} pages, ${count} links and pictures, all there")
