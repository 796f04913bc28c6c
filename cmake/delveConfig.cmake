# SPDX-License-Identifier: MIT
include(CMakeFindDependencyMacro)

# FindDelveTorch.cmake lies beside this file.
list(INSERT CMAKE_MODULE_PATH 0 "${CMAKE_CURRENT_LIST_DIR}")
find_dependency(DelveTorch)
list(REMOVE_AT CMAKE_MODULE_PATH 0)
find_dependency(Eigen3 CONFIG)
find_dependency(fmt CONFIG)

include("${CMAKE_CURRENT_LIST_DIR}/delveTargets.cmake")
