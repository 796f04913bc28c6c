# SPDX-License-Identifier: MIT

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "${command}: ${result}")
  endif()
endfunction()

# Sets `result` to what a command prints.
function(run_for result)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE output RESULT_VARIABLE status
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT status EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}: ${status}")
  endif()
  set(${result} "${output}" PARENT_SCOPE)
endfunction()

# Stops unless these are the files below a folder.
function(expect_files folder)
  file(GLOB_RECURSE files RELATIVE "${folder}" "${folder}/*")
  if(NOT files STREQUAL "${ARGN}")
    message(FATAL_ERROR "${folder} holds ${files}, not ${ARGN}")
  endif()
endfunction()
