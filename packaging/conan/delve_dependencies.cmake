# SPDX-License-Identifier: MIT
#
# Included by what Conan makes for find_package(delve): adds to delve::delve what Conan does not
# bring. That is LibTorch, and Eigen and fmt where a profile has them as [platform_requires].

include(CMakeFindDependencyMacro)
list(INSERT CMAKE_MODULE_PATH 0 "${CMAKE_CURRENT_LIST_DIR}")
find_dependency(DelveTorch)
list(REMOVE_AT CMAKE_MODULE_PATH 0)
find_dependency(Eigen3 CONFIG)
find_dependency(fmt CONFIG)
foreach(library torch Eigen3::Eigen fmt::fmt-header-only)
  if(TARGET ${library})
    set_property(TARGET delve::delve APPEND PROPERTY INTERFACE_LINK_LIBRARIES ${library})
  endif()
endforeach()
