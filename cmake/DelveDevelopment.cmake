# SPDX-License-Identifier: MIT
#
# What delve's own tests and examples are compiled with. Never exported, and nothing here touches
# the flags of a project that delve is part of.

option(DELVE_WARNINGS_AS_ERRORS "Stop at a warning in delve, its tests or examples" OFF)
option(DELVE_PRECOMPILE "Compile LibTorch's headers once for all tests and examples"
       ${DELVE_TOP_LEVEL})
set(DELVE_TEST_OPTIMIZATION "-O1" CACHE STRING
    "How tests and examples are optimised in a Release build: -O3 takes twice as long to compile. \
With -O1, those that spend their time in LibTorch are not optimised at all.")
set(DELVE_SANITIZE "" CACHE STRING "Sanitizers for tests and examples, as for -fsanitize=")

add_library(delve_flags INTERFACE)
target_compile_options(delve_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
if(DELVE_WARNINGS_AS_ERRORS)
  target_compile_options(delve_flags INTERFACE -Werror)
endif()
if(DELVE_SANITIZE)
  set(sanitize "-fsanitize=${DELVE_SANITIZE}" -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_compile_options(delve_flags INTERFACE ${sanitize})
  target_link_options(delve_flags INTERFACE ${sanitize})
endif()

# What has its time's worth in LibTorch need not be optimised itself. With -O1, GCC 12 takes parts of
# Eigen for uninitialised that it knows to be set with -O3, by which benchmarks are compiled.
add_library(delve_quick INTERFACE)
target_compile_options(
  delve_quick INTERFACE $<$<CONFIG:Release>:${DELVE_TEST_OPTIMIZATION}>
                        $<$<AND:$<CONFIG:Release>,$<CXX_COMPILER_ID:GNU>>:-Wno-maybe-uninitialized>)

add_library(delve_quickest INTERFACE)
if(DELVE_TEST_OPTIMIZATION STREQUAL "-O1")
  target_compile_options(delve_quickest INTERFACE $<$<CONFIG:Release>:-O0>)
else()
  target_link_libraries(delve_quickest INTERFACE delve_quick)
endif()

# All of delve, and what of it must work without LibTorch.
add_library(delve_full INTERFACE)
target_link_libraries(delve_full INTERFACE delve::delve delve_flags)
add_library(delve_plain INTERFACE)
target_include_directories(delve_plain INTERFACE "${PROJECT_SOURCE_DIR}/include")
target_compile_features(delve_plain INTERFACE cxx_std_17)
target_link_libraries(delve_plain INTERFACE Eigen3::Eigen fmt::fmt-header-only delve_flags)

# Compiler caches work for whole folders of targets: only at top level.
find_program(DELVE_CCACHE ccache)
if(DELVE_TOP_LEVEL AND DELVE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Without this sloppiness nothing that uses a precompiled header would be cached; with the other
  # two, a clone finds what another one compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      "${CMAKE_COMMAND}" -E env CCACHE_SLOPPINESS=pch_defines,time_macros
      "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1 "${DELVE_CCACHE}")
endif()

# delve_add_precompiled(NAME HEADERS HEADER... LIBRARIES LIBRARY...): headers that are compiled once,
# for all targets that link the same libraries and so have the same flags.
function(delve_add_precompiled name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "HEADERS;LIBRARIES")
  if(NOT DELVE_PRECOMPILE)
    return()
  endif()
  set(source "${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp")
  file(CONFIGURE OUTPUT "${source}" CONTENT "")
  add_library(${name} OBJECT EXCLUDE_FROM_ALL "${source}")
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES})
  target_precompile_headers(${name} PRIVATE ${arg_HEADERS})
  # Or each file would compile all writers: 10 to 20 seconds.
  target_compile_definitions(${name} PUBLIC DELVE_REGISTERED_ELSEWHERE)
  # ccache asks for one each of these.
  target_compile_options(
    ${name} PUBLIC $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>
                   "$<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>")
endfunction()

# delve_precompile(TARGET NAME): spares a target the time that those headers take. A library that it
# links does what DELVE_REGISTERED_ELSEWHERE leaves to it.
function(delve_precompile target name)
  if(DELVE_PRECOMPILE)
    target_compile_options(${target}
                           PRIVATE $<TARGET_PROPERTY:${name},INTERFACE_COMPILE_OPTIONS>)
    target_compile_definitions(
      ${target} PRIVATE $<TARGET_PROPERTY:${name},INTERFACE_COMPILE_DEFINITIONS>)
    target_precompile_headers(${target} REUSE_FROM ${name})
  endif()
endfunction()

# The tracker and the writers, which take most of the time that a program with them takes to compile:
# once for all. Plain programs link the writers alone.
set(delve_once "${CMAKE_CURRENT_LIST_DIR}/compiled_once")
add_library(delve_compiled_once OBJECT EXCLUDE_FROM_ALL "${delve_once}.cpp")
target_link_libraries(delve_compiled_once PRIVATE delve_full delve_quick)
add_library(delve_compiled_writers OBJECT EXCLUDE_FROM_ALL "${CMAKE_CURRENT_LIST_DIR}/compiled_writers.cpp")
target_link_libraries(delve_compiled_writers PRIVATE delve_plain delve_quick)
delve_add_precompiled(delve_precompiled HEADERS <torch/torch.h> <Eigen/Dense> <fmt/format.h>
                      <delve/delve.hpp> "${delve_once}.hpp" LIBRARIES delve_full delve_quickest)

# delve_program(NAME SOURCE... [OPTIMIZED | TEST] [LIBRARIES ...]): a program that uses LibTorch;
# OPTIMIZED: as the build type says, and by itself; TEST: with what tests link.
function(delve_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "OPTIMIZED;TEST" "" "LIBRARIES")
  if(arg_OPTIMIZED)
    add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
    target_link_libraries(${name} PRIVATE delve_full ${arg_LIBRARIES})
    return()
  endif()
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE delve_full delve_compiled_once delve_quickest ${arg_LIBRARIES})
  if(arg_TEST)
    target_link_libraries(${name} PRIVATE delve_test)
  endif()
  delve_precompile(${name} delve_precompiled)
endfunction()
