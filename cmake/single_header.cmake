# SPDX-License-Identifier: MIT
#
# Writes all of delve into one header, and needs nothing but CMake for it:
#
#   cmake [-D OUTPUT=FILE] -P cmake/single_header.cmake
#
# What comes first in the file says how it is used.

cmake_minimum_required(VERSION 3.18)

get_filename_component(include "${CMAKE_CURRENT_LIST_DIR}/../include" ABSOLUTE)
if(NOT OUTPUT)
  set(OUTPUT delve.hpp)
endif()

# Appends a header of ours to `text`, after those that it includes. Each is once in the file, but
# for what two optional parts share, and a guard of its own makes that right.
function(append_header header)
  get_property(seen GLOBAL PROPERTY seen)
  if(header IN_LIST seen)
    return()
  endif()
  set_property(GLOBAL APPEND PROPERTY seen "${header}")

  file(READ "${include}/${header}" code)
  string(REGEX MATCHALL "#include <delve/[^>]+>" lines "${code}")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "#include <(.*)>" "\\1" included "${line}")
    append_header("${included}")
  endforeach()

  string(MAKE_C_IDENTIFIER "${header}" guard)
  string(TOUPPER "${guard}" guard)
  string(REGEX REPLACE "#include <delve/[^\n]*\n" "" code "${code}")
  string(REPLACE "// SPDX-License-Identifier: MIT\n" "" code "${code}")
  string(REPLACE "#pragma once\n" "" code "${code}")
  string(REGEX REPLACE "^\n+" "" code "${code}")
  string(REGEX REPLACE "\n\n\n+" "\n\n" code "${code}")
  set_property(GLOBAL APPEND_STRING PROPERTY text "
// ---- ${header}

#ifndef ${guard}
#define ${guard}

${code}
#endif  // ${guard}
")
endfunction()

append_header(delve/delve.hpp)

# What delve.hpp leaves out.
get_property(core GLOBAL PROPERTY seen)
file(GLOB_RECURSE headers RELATIVE "${include}" "${include}/delve/*.hpp")
list(FILTER headers EXCLUDE REGEX "/detail/")
list(REMOVE_ITEM headers ${core})
# A forwarding header of what is there, and a part of pca.hpp.
list(FILTER headers EXCLUDE REGEX "writers/registry.hpp|pca_layer.hpp")
set(macros "")
foreach(header IN LISTS headers)
  get_filename_component(name "${header}" NAME_WE)
  string(TOUPPER "DELVE_WITH_${name}" macro)
  string(APPEND macros "//   ${macro}: <${header}>\n")
  set_property(GLOBAL PROPERTY seen "${core}")
  set_property(GLOBAL APPEND_STRING PROPERTY text "\n#ifdef ${macro}\n")
  append_header("${header}")
  set_property(GLOBAL APPEND_STRING PROPERTY text "\n#endif  // ${macro}\n")
endforeach()

get_property(text GLOBAL PROPERTY text)
file(READ "${include}/../LICENSE" license)
string(REGEX REPLACE "([^\n]*)\n" "// \\1\n" license "${license}")
string(REPLACE "// \n" "//\n" license "${license}")
file(WRITE "${OUTPUT}" "// SPDX-License-Identifier: MIT
//
// All of delve, made by cmake/single_header.cmake. It stands in for <delve/delve.hpp>; do not mix it
// with the headers that it was made of. What <delve/delve.hpp> leaves out is there where a macro,
// defined before, asks for it:
//
${macros}//
${license}${text}")
