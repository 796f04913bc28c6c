# SPDX-License-Identifier: MIT
#
# Included by what Conan makes for find_package(delve): adds LibTorch to delve::delve.

list(INSERT CMAKE_MODULE_PATH 0 "${CMAKE_CURRENT_LIST_DIR}")
find_package(DelveTorch REQUIRED)
list(REMOVE_AT CMAKE_MODULE_PATH 0)
set_property(TARGET delve::delve APPEND PROPERTY INTERFACE_LINK_LIBRARIES torch)
