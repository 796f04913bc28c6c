# SPDX-License-Identifier: MIT
#
# Whether docs/options.md has every option of options.hpp, with its default, and no other.
#
#   cmake -D HEADER=…/options.hpp -D PAGE=…/options.md -P options_page.cmake

cmake_minimum_required(VERSION 3.18)
file(READ "${HEADER}" header)
file(READ "${PAGE}" page)

set(names "")
string(REGEX MATCHALL "TORCH_ARG\\([^;]+" options "${header}")
foreach(option IN LISTS options)
  string(REGEX MATCH ", ([a-z_]+)\\)( = (.+))?$" found "${option}")
  list(APPEND names "${CMAKE_MATCH_1}")
  set(rows "| `${CMAKE_MATCH_1}` | `${CMAKE_MATCH_3}` |")
  if(CMAKE_MATCH_3 STREQUAL "" OR CMAKE_MATCH_3 STREQUAL "std::nullopt")
    set(rows "| `${CMAKE_MATCH_1}` | unset |" "| `${CMAKE_MATCH_1}` | empty |")
  endif()
  set(found FALSE)
  foreach(row IN LISTS rows)
    string(FIND "${page}" "\n${row} " place)
    if(place GREATER_EQUAL 0)
      set(found TRUE)
    endif()
  endforeach()
  if(NOT found)
    list(JOIN rows " … or " rows)
    message(SEND_ERROR "${PAGE}: no row that begins with ${rows}")
  endif()
endforeach()

list(LENGTH names count)
if(count LESS 20)
  message(SEND_ERROR "${HEADER}: ${count} options are too few: has TORCH_ARG gone?")
endif()
string(REGEX MATCHALL "\n\\| `[a-z_]+` \\|" rows "${page}")
foreach(row IN LISTS rows)
  string(REGEX REPLACE "[^a-z_]" "" name "${row}")
  if(NOT name IN_LIST names)
    message(SEND_ERROR "${PAGE}: there is no option \"${name}\"")
  endif()
endforeach()
message(STATUS "${count} options")
