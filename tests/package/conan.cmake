# SPDX-License-Identifier: MIT
#
# Makes the package of packaging/conan in a cache of its own, without a remote, and builds and runs
# test_package with it.

cmake_minimum_required(VERSION 3.18)
include("${CMAKE_CURRENT_LIST_DIR}/run.cmake")

file(REMOVE_RECURSE "${FOLDER}")
set(ENV{CONAN_HOME} "${FOLDER}/home")
set(ENV{CXX} "${COMPILER}")
set(recipe "${DELVE_SOURCE}/packaging/conan")

run("${CONAN}" profile detect)
run_for(found "${CONAN}" inspect "${recipe}")
if(NOT found MATCHES "\nversion: ${VERSION}(\n|$)")
  message(FATAL_ERROR "The recipe's version is not ${VERSION}:\n${found}")
endif()
set(torch "{'Torch_DIR': '${TORCH}', 'DELVE_TORCH_BY_HAND': '${BY_HAND}'}")
run("${CONAN}" create "${recipe}" --no-remote --profile:build default --profile:host default
    --profile:host "${recipe}/system.profile"
    -c "tools.cmake.cmake_layout:test_folder=${FOLDER}/test"
    -c "tools.cmake.cmaketoolchain:user_presets=" -c "tools.cmake.cmaketoolchain:generator=Ninja"
    -c "tools.cmake.cmaketoolchain:extra_variables=${torch}")
