# SPDX-License-Identifier: MIT
#
# Turns the C++ that the hand-written pages show into sources that are compiled. A comment on the
# line before a block, which no reader sees, says what it is:
#
#   (none), with a main()                a whole program: a source of its own, as it is
#   (none), without                      the body of a function
#   <!-- snippet: declarations -->       what stands outside of functions; later blocks of the page
#                                        can use it
#   <!-- snippet: rows of TYPE -->       rows of a table, each followed by a comma
#
# Names that a block uses and does not declare are those of snippets.hpp. Messages of the compiler
# name the page and its line.

# delve_extract_snippets(FOLDER SOURCE PROGRAMS PAGE...): writes the sources to FOLDER, sets SOURCE
# to the one of all parts, and PROGRAMS to those of whole programs.
function(delve_extract_snippets folder source_variable programs_variable)
  set(parts "")
  set(includes "")
  set(programs "")
  foreach(page IN LISTS ARGN)
    get_filename_component(name "${page}" NAME_WE)
    string(MAKE_C_IDENTIFIER "${name}" name)
    file(READ "${page}" rest)
    if("${rest}" MATCHES "\n[ \t>]+```cpp")
      message(FATAL_ERROR "${page}: a block of C++ that is indented would not be compiled")
    endif()
    set(line 1)
    set(number 0)
    while(TRUE)
      string(FIND "${rest}" "\n```cpp\n" length)
      if(length EQUAL -1)
        break()
      endif()
      string(SUBSTRING "${rest}" 0 ${length} before)
      math(EXPR length "${length} + 8")
      string(SUBSTRING "${rest}" ${length} -1 rest)
      string(FIND "${rest}" "\n```\n" length)
      math(EXPR length "${length} + 1")
      string(SUBSTRING "${rest}" 0 ${length} block)
      string(SUBSTRING "${rest}" ${length} -1 rest)

      string(REGEX REPLACE "[^\n]" "" newlines "${before}")
      string(LENGTH "${newlines}" newlines)
      math(EXPR line "${line} + ${newlines} + 2")
      set(place "#line ${line} \"${page}\"")
      string(REGEX REPLACE "[^\n]" "" newlines "${block}")
      string(LENGTH "${newlines}" newlines)
      math(EXPR number "${number} + 1")

      set(kind "body")
      if("${before}" MATCHES "<!-- snippet: ([^\n]*) -->$")
        set(kind "${CMAKE_MATCH_1}")
      elseif("${block}" MATCHES "int main\\(")
        set(program "${place}\n${block}")
        set(output "${folder}/${name}_${number}.cpp")
        file(CONFIGURE OUTPUT "${output}" CONTENT "@program@" @ONLY)
        list(APPEND programs "${output}")
        set(kind "program")
      endif()

      if(NOT kind STREQUAL "program")
        string(REGEX MATCHALL "#include [^\n]*" found "${block}")
        list(APPEND includes ${found})
        string(REGEX REPLACE "#include [^\n]*" "" block "${block}")
      endif()
      if(kind STREQUAL "body")
        string(APPEND parts "namespace snippets::${name} {\nvoid snippet_${number}() {\n"
                            "${place}\n${block}}\n}\n")
      elseif(kind STREQUAL "declarations")
        string(APPEND parts "namespace snippets::${name} {\n${place}\n${block}}\n")
      elseif(kind MATCHES "^rows of (.*)$")
        string(APPEND parts "namespace snippets::${name} {\nvoid snippet_${number}() {\n"
                            "using namespace torch::nn;\nusing namespace delve;\n"
                            "using namespace delve::detail;\n"
                            "const std::vector<${CMAKE_MATCH_1}> rows{\n${place}\n${block}};\n}\n}\n")
      elseif(NOT kind STREQUAL "program")
        message(FATAL_ERROR "${page}:${line}: there is no snippet of the kind \"${kind}\"")
      endif()
      math(EXPR line "${line} + ${newlines}")
    endwhile()
  endforeach()

  list(REMOVE_DUPLICATES includes)
  list(JOIN includes "\n" includes)
  set(output "${folder}/parts.cpp")
  file(CONFIGURE OUTPUT "${output}" CONTENT "#include <snippets.hpp>\n@includes@\n@parts@" @ONLY)
  set(${source_variable} "${output}" PARENT_SCOPE)
  set(${programs_variable} ${programs} PARENT_SCOPE)
endfunction()
