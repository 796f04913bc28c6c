# SPDX-License-Identifier: MIT
#
# A wrong argument of CheckLayerSat is answered by one error, and that says what is wanted: compiles
# the target wrong_arguments of the folder `BINARY`, which must fail so.

cmake_minimum_required(VERSION 3.18)

execute_process(COMMAND "${CMAKE_COMMAND}" --build "${BINARY}" --target wrong_arguments
                OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE status)
if(status EQUAL 0)
  message(FATAL_ERROR "It compiles")
endif()
string(REPLACE ";" "," output "${output}")
string(REGEX MATCHALL "error: [^\n]*" errors "${output}")
set(expected "modules is a raw pointer. pass \\*model" "modules must be a torch::nn::Module"
             "save_to must be a key such as" "save_to must be a key such as")
list(LENGTH errors count)
list(LENGTH expected expected_count)
if(NOT count EQUAL expected_count)
  message(FATAL_ERROR "${count} errors, expected ${expected_count}:\n${output}")
endif()
foreach(error text IN ZIP_LISTS errors expected)
  if(NOT error MATCHES "static.assert.*delve::CheckLayerSat: ${text}")
    message(FATAL_ERROR "expected \"${text}\", found: ${error}")
  endif()
  message(STATUS "${error}")
endforeach()
