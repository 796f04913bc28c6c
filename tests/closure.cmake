# SPDX-License-Identifier: MIT
#
# What a program takes in with check_layer_sat.hpp alone: the tracker, and no writer, picture, file
# format or reader. Prints how many lines that is.

cmake_minimum_required(VERSION 3.18)

# Appends a header, and all of ours that it includes, to `closure`.
function(add_closure header)
  get_property(closure GLOBAL PROPERTY closure)
  if(header IN_LIST closure)
    return()
  endif()
  set_property(GLOBAL APPEND PROPERTY closure "${header}")
  file(STRINGS "${INCLUDE}/${header}" lines REGEX "^#include <delve/")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "#include <(.*)>.*" "\\1" included "${line}")
    add_closure("${included}")
  endforeach()
endfunction()

add_closure(delve/check_layer_sat.hpp)
get_property(closure GLOBAL PROPERTY closure)
set(lines 0)
foreach(header IN LISTS closure)
  if(header MATCHES "/(plot|formats|reading)/" OR header MATCHES "/writers/"
     AND NOT header MATCHES "/writers/writer(_list)?.hpp$")
    message(SEND_ERROR "delve/check_layer_sat.hpp includes ${header}")
  endif()
  file(READ "${INCLUDE}/${header}" text)
  string(REGEX MATCHALL "\n" ends "${text}")
  list(LENGTH ends count)
  math(EXPR lines "${lines} + ${count}")
endforeach()
list(LENGTH closure count)
message(STATUS "delve/check_layer_sat.hpp: ${count} headers, ${lines} lines")
