# SPDX-License-Identifier: MIT
#
# Brings delve to a project of a user in one `WAY`, in an empty `FOLDER`; configures, builds and runs
# that project.

cmake_minimum_required(VERSION 3.19)

include("${CMAKE_CURRENT_LIST_DIR}/run.cmake")

# Sets `result` to where delve was installed and then moved to: it must not know where it was.
function(install_and_move result)
  run("${CMAKE_COMMAND}" --install "${DELVE_BINARY}" --prefix "${FOLDER}/installed" ${ARGN})
  file(RENAME "${FOLDER}/installed" "${FOLDER}/moved")
  file(GLOB_RECURSE files "${FOLDER}/moved/*.cmake" "${FOLDER}/moved/*.pc")
  foreach(file IN LISTS files)
    file(STRINGS "${file}" lines)
    foreach(path "${DELVE_SOURCE}" "${DELVE_BINARY}" "${FOLDER}" "/usr/" "${TORCH}")
      string(FIND "${lines}" "${path}" position)
      if(NOT position EQUAL -1 AND NOT file MATCHES "FindDelveTorch.cmake$")
        message(FATAL_ERROR "${file} holds the path ${path}")
      endif()
    endforeach()
  endforeach()
  set(${result} "${FOLDER}/moved" PARENT_SCOPE)
endfunction()

# Flags for the headers of Eigen and fmt, which a user without their CMake packages writes.
set(flags -DFMT_HEADER_ONLY)
foreach(folder IN LISTS EIGEN FMT)
  string(APPEND flags " -I${folder}")
endforeach()

file(REMOVE_RECURSE "${FOLDER}")
file(MAKE_DIRECTORY "${FOLDER}")
set(project "${WAY}")
# The tracker takes half a minute to compile: once is enough for each place that its headers can come
# from; the others, and their flags, show with less.
set(program tiny)
set(build_type None)  # no flags: compiles in half the time

if(WAY STREQUAL "find_package")
  install_and_move(prefix)
  set(delve "-Ddelve_ROOT=${prefix}")
  set(program main)
  set(build_type Release)
  # In less time than with -O3.
  set(release_flags "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG")
elseif(WAY STREQUAL "add_subdirectory")
  set(delve "-DDELVE_SOURCE=${DELVE_SOURCE}")
  set(program small)
elseif(WAY STREQUAL "fetch_content")
  run("${CMAKE_COMMAND}" -E chdir "${DELVE_SOURCE}" "${CMAKE_COMMAND}" -E tar cz
      "${FOLDER}/delve.tar.gz" CMakeLists.txt LICENSE cmake include)
  set(delve "-DDELVE_ARCHIVE=file://${FOLDER}/delve.tar.gz")
elseif(WAY STREQUAL "pkg_config")
  install_and_move(prefix)
  run_for(flags "${CMAKE_COMMAND}" -E env "PKG_CONFIG_PATH=${prefix}/share/pkgconfig"
          "${PKG_CONFIG}" --cflags --print-errors delve)
  set(project by_hand)
elseif(WAY STREQUAL "copy")
  file(COPY "${DELVE_SOURCE}/include" DESTINATION "${FOLDER}")
  string(PREPEND flags "-I${FOLDER}/include ")
  set(project by_hand)
elseif(WAY STREQUAL "single_header")
  install_and_move(prefix --component single_header)
  expect_files("${prefix}" include/delve/delve.hpp)
  string(PREPEND flags "-I${prefix}/include ")
  set(project by_hand)
  set(program small)
elseif(WAY STREQUAL "deb")
  # From a build folder with nothing to build: cpack makes all first.
  run("${CMAKE_COMMAND}" -S "${DELVE_SOURCE}" -B "${FOLDER}/delve" -G "${GENERATOR}"
      "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DTorch_DIR=${TORCH}" "-DDELVE_TORCH_BY_HAND=${BY_HAND}"
      -DDELVE_BUILD_TESTS=OFF -DDELVE_BUILD_EXAMPLES=OFF)
  run("${CMAKE_COMMAND}" -E chdir "${FOLDER}/delve" "${CPACK}" -G DEB)
  file(GLOB package "${FOLDER}/delve/*.deb")
  run("${DPKG_DEB}" --info "${package}")
  run_for(fields "${DPKG_DEB}" --field "${package}" Package Architecture Depends)
  set(expected "Package: libdelve-cpp-dev\nArchitecture: all
Depends: libtorch-dev, libeigen3-dev, libfmt-dev")
  if(NOT fields STREQUAL expected)
    message(FATAL_ERROR "${package} says\n${fields}\nnot\n${expected}")
  endif()
  run("${DPKG_DEB}" --contents "${package}")
  run("${DPKG_DEB}" --extract "${package}" "${FOLDER}/unpacked")
  set(project find_package)
  set(delve "-Ddelve_ROOT=${FOLDER}/unpacked/usr")
else()
  message(FATAL_ERROR "no such way: ${WAY}")
endif()
if(project STREQUAL "by_hand")
  message(STATUS "Flags: ${flags}")
  set(delve "-DDELVE_SOURCE=${DELVE_SOURCE}" "-DDELVE_FLAGS=${flags}")
endif()

if(NOT CCACHE)
  set(CCACHE "")
endif()
run("${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}/${project}" -B "${FOLDER}/build" -G "${GENERATOR}"
    -DCMAKE_BUILD_TYPE=${build_type} ${release_flags} "-DCMAKE_CXX_COMPILER=${COMPILER}"
    "-DCMAKE_CXX_COMPILER_LAUNCHER=${CCACHE}" "-DTorch_DIR=${TORCH}"
    "-DDELVE_TORCH_BY_HAND=${BY_HAND}" "-DPROGRAM=${program}" ${delve})
run("${CMAKE_COMMAND}" --build "${FOLDER}/build")
run("${CMAKE_COMMAND}" -E chdir "${FOLDER}/build" ./consumer)
