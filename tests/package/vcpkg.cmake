# SPDX-License-Identifier: MIT
#
# Holds vcpkg.json against what vcpkg documents of its fields, and the version against the header's.
# Where VCPKG_ROOT names a clone of vcpkg, runs portfile.cmake as vcpkg does: by its own scripts.

cmake_minimum_required(VERSION 3.21)
include("${CMAKE_CURRENT_LIST_DIR}/run.cmake")

set(port "${DELVE_SOURCE}/packaging/vcpkg/ports/delve-cpp")
file(READ "${port}/vcpkg.json" json)

# Stops where an object has a field that is not among the documented ones.
function(expect_fields object)
  string(JSON count LENGTH "${object}")
  math(EXPR last "${count} - 1")
  foreach(index RANGE ${last})
    string(JSON field MEMBER "${object}" ${index})
    if(NOT field IN_LIST ARGN)
      message(FATAL_ERROR "vcpkg.json: \"${field}\" is none of ${ARGN}")
    endif()
  endforeach()
endfunction()

# Stops where an element of "dependencies" is neither a name nor an object of documented fields.
function(expect_dependencies object)
  string(JSON count LENGTH "${object}" dependencies)
  math(EXPR last "${count} - 1")
  foreach(index RANGE ${last})
    string(JSON type TYPE "${object}" dependencies ${index})
    string(JSON name GET "${object}" dependencies ${index})
    if(type STREQUAL "OBJECT")
      expect_fields("${name}" name default-features features host platform version>=)
      string(JSON name GET "${name}" name)
    endif()
    if(NOT name MATCHES "^[a-z0-9]+(-[a-z0-9]+)*$")
      message(FATAL_ERROR "vcpkg.json: no port can be called \"${name}\"")
    endif()
  endforeach()
endfunction()

expect_fields(
  "${json}" name version description homepage documentation license supports dependencies
  default-features features port-version maintainers)
expect_dependencies("${json}")
string(JSON features GET "${json}" features)
string(JSON count LENGTH "${features}")
math(EXPR last "${count} - 1")
foreach(index RANGE ${last})
  string(JSON name MEMBER "${features}" ${index})
  string(JSON feature GET "${features}" "${name}")
  expect_fields("${feature}" description dependencies supports license)
  string(JSON description GET "${feature}" description)
  expect_dependencies("${feature}")
endforeach()
string(JSON default GET "${json}" default-features 0)
string(JSON description GET "${features}" "${default}" description)

string(JSON found GET "${json}" version)
if(NOT found STREQUAL VERSION)
  message(FATAL_ERROR "vcpkg.json says ${found}, include/delve/version.hpp ${VERSION}")
endif()
message(STATUS "vcpkg.json is as documented")

set(vcpkg "$ENV{VCPKG_ROOT}")
if(NOT EXISTS "${vcpkg}/scripts/ports.cmake")
  message(STATUS "portfile.cmake is not run: VCPKG_ROOT names no clone of vcpkg")
  return()
endif()
file(REMOVE_RECURSE "${FOLDER}")
foreach(helper vcpkg-cmake vcpkg-cmake-config)
  list(APPEND helpers "${vcpkg}/ports/${helper}/vcpkg-port-config.cmake")
endforeach()
find_program(NINJA ninja)
string(REPLACE ";" "\\;" helpers "${helpers}")
run("${CMAKE_COMMAND}" -DCMD=BUILD -DPORT=delve-cpp "-DVERSION=${VERSION}" -DFEATURES=core
    "-DCURRENT_PORT_DIR=${port}" -DTARGET_TRIPLET=x64-linux -D_HOST_TRIPLET=x64-linux
    "-DTARGET_TRIPLET_FILE=${vcpkg}/triplets/x64-linux.cmake" "-DVCPKG_ROOT_DIR=${vcpkg}"
    "-D_VCPKG_INSTALLED_DIR=${FOLDER}/installed" "-DDOWNLOADS=${FOLDER}/downloads"
    "-DBUILDTREES_DIR=${FOLDER}/buildtrees" "-DPACKAGES_DIR=${FOLDER}/packages"
    "-DVCPKG_PORT_CONFIGS=${helpers}" -DVCPKG_CONCURRENCY=1 -DVCPKG_FIXUP_ELF_RPATH=OFF
    -DVCPKG_PLATFORM_TOOLSET=external -DVCPKG_BASE_VERSION=2025-01-01 "-DNINJA=${NINJA}"
    -P "${vcpkg}/scripts/ports.cmake")
set(package "${FOLDER}/packages/delve-cpp_x64-linux")
expect_files(
  "${package}/share" delve-cpp/copyright delve-cpp/usage delve/FindDelveTorch.cmake
  delve/delveConfig.cmake delve/delveConfigVersion.cmake delve/delveTargets.cmake
  pkgconfig/delve.pc)
file(READ "${package}/include/delve/delve.hpp" umbrella)
