# SPDX-License-Identifier: MIT
#
# One room speaks to the operating system: no header but detail/os/os_posix.hpp and os_windows.hpp
# includes one of the system's, or asks which system it is. A header of C's own ends in ".h" as
# those do, and has a C++ one to be used in its place.

cmake_minimum_required(VERSION 3.18)

file(GLOB_RECURSE headers RELATIVE "${INCLUDE}" "${INCLUDE}/delve/*.hpp")
set(room delve/detail/os/os_posix.hpp delve/detail/os/os_windows.hpp)
foreach(header IN LISTS headers)
  file(STRINGS "${INCLUDE}/${header}" lines REGEX "^ *# *include <[^>]*[.]h>|_WIN32|__linux__|__unix__|__APPLE__")
  list(FILTER lines EXCLUDE REGEX "<(ATen|c10|fmt|torch)/")
  list(LENGTH lines count)
  if(header IN_LIST room)
    math(EXPR found "${found} + ${count}")
  elseif(count GREATER 0)
    list(JOIN lines "\n  " text)
    message(SEND_ERROR "${header} speaks to the operating system; detail/os/os.hpp is for that:\n  ${text}")
  endif()
endforeach()
list(LENGTH headers count)
if(count LESS 50 OR found LESS 10)
  message(FATAL_ERROR "Of ${count} headers only ${found} lines speak to the operating system")
endif()
message(STATUS "${count} headers, ${found} lines that speak to the operating system, all in detail/os/")
