# SPDX-License-Identifier: MIT
#
# Runs one program in two builds, each in a FOLDER of its own, and compares what they write.

cmake_minimum_required(VERSION 3.18)

file(REMOVE_RECURSE "${FOLDER}")
foreach(build plain fast)
  file(MAKE_DIRECTORY "${FOLDER}/${build}")
  string(TOUPPER "${build}" program)
  execute_process(COMMAND "${${program}}" "${FOLDER}/${build}" RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "the ${build} build ended with ${status}")
  endif()
  file(GLOB_RECURSE ${build}_files RELATIVE "${FOLDER}/${build}" "${FOLDER}/${build}/*")
endforeach()
if(NOT plain_files STREQUAL fast_files)
  message(FATAL_ERROR "other files: ${plain_files}\n${fast_files}")
endif()
list(LENGTH plain_files count)
if(count LESS 20)
  message(FATAL_ERROR "only ${count} files: ${plain_files}")
endif()
foreach(file IN LISTS plain_files)
  execute_process(COMMAND "${CMAKE_COMMAND}" -E compare_files "${FOLDER}/plain/${file}"
                          "${FOLDER}/fast/${file}" RESULT_VARIABLE differs)
  if(NOT differs EQUAL 0)
    message(SEND_ERROR "${file} is another one with -Ofast -ffast-math")
  endif()
endforeach()
message(STATUS "${count} files are the same")
