# SPDX-License-Identifier: MIT
#
# Configures, builds and runs the consumer in the folder of this name, `WAY`, in an empty `FOLDER`.

cmake_minimum_required(VERSION 3.18)

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "${command}: ${result}")
  endif()
endfunction()

file(REMOVE_RECURSE "${FOLDER}")
file(MAKE_DIRECTORY "${FOLDER}")

if(WAY STREQUAL "find_package")
  # Moved after it was installed: the package must not know where it was.
  run("${CMAKE_COMMAND}" --install "${DELVE_BINARY}" --prefix "${FOLDER}/installed")
  file(RENAME "${FOLDER}/installed" "${FOLDER}/moved")
  file(GLOB_RECURSE files "${FOLDER}/moved/*.cmake")
  if(NOT files)
    message(FATAL_ERROR "nothing was installed in ${FOLDER}/moved")
  endif()
  foreach(file IN LISTS files)
    file(STRINGS "${file}" lines)
    foreach(path "${DELVE_SOURCE}" "${DELVE_BINARY}" "${FOLDER}" "/usr/" "${TORCH}")
      string(FIND "${lines}" "${path}" position)
      if(NOT position EQUAL -1 AND NOT file MATCHES "FindDelveTorch.cmake$")
        message(FATAL_ERROR "${file} holds the path ${path}")
      endif()
    endforeach()
  endforeach()
  set(delve "-Ddelve_ROOT=${FOLDER}/moved")
else()
  set(delve "-DDELVE_SOURCE=${DELVE_SOURCE}")
endif()

if(NOT CCACHE)
  set(CCACHE "")
endif()
run("${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}/${WAY}" -B "${FOLDER}/build" -G "${GENERATOR}"
    -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_COMPILER=${COMPILER}"
    "-DCMAKE_CXX_COMPILER_LAUNCHER=${CCACHE}" "-DTorch_DIR=${TORCH}"
    "-DDELVE_TORCH_BY_HAND=${BY_HAND}" ${delve})
run("${CMAKE_COMMAND}" --build "${FOLDER}/build")
run("${CMAKE_COMMAND}" -E chdir "${FOLDER}/build" ./consumer)
