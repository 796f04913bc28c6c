# SPDX-License-Identifier: MIT
#
# What stops find_package(Torch) on many machines, each made anew with a LibTorch of a few empty files
# in a `FOLDER`: FindDelveTorch.cmake must get past it, or say what to do. Nothing is compiled.

cmake_minimum_required(VERSION 3.19)

# fake_torch(NAME VERSION [CUDA] [LIBRARY FILE] [CONFIG LINE...]): makes `FOLDER`/NAME/torch, whose
# TorchConfig.cmake defines a target `torch` of its libtorch.so, or of FILE, after these lines.
function(fake_torch name version)
  cmake_parse_arguments(PARSE_ARGV 2 arg "CUDA" "LIBRARY" "CONFIG")
  set(prefix "${FOLDER}/${name}/torch")
  string(REPLACE "." ";" parts "${version}")
  list(GET parts 0 major)
  list(GET parts 1 minor)
  file(WRITE "${prefix}/include/ATen/ATen.h" "")
  file(WRITE "${prefix}/include/torch/csrc/api/include/torch/version.h"
       "#define TORCH_VERSION_MAJOR ${major}\n#define TORCH_VERSION_MINOR ${minor}\n"
       "#define TORCH_VERSION_PATCH 0\n")
  foreach(library torch torch_cpu c10)
    file(WRITE "${prefix}/lib/lib${library}.so" "")
  endforeach()
  if(arg_CUDA)
    file(WRITE "${prefix}/lib/libtorch_cuda.so" "")
    file(WRITE "${FOLDER}/${name}/nvidia/nccl/lib/libnccl.so.2" "")
  endif()
  if(NOT arg_LIBRARY)
    set(arg_LIBRARY "${prefix}/lib/libtorch.so")
  endif()
  list(JOIN arg_CONFIG "\n" lines)
  file(WRITE "${prefix}/share/cmake/Torch/TorchConfig.cmake" "${lines}
add_library(torch SHARED IMPORTED)
set_target_properties(torch PROPERTIES IMPORTED_LOCATION \"${arg_LIBRARY}\"
  INTERFACE_INCLUDE_DIRECTORIES \"${prefix}/include;${prefix}/include/torch/csrc/api/include\")
")
endfunction()

# configure(NAME RESULT [ARGUMENT...]): sets `result` to all that CMake says, and `failed`.
function(configure name result)
  execute_process(
    COMMAND "${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/traps" -B "${FOLDER}/${name}/build"
            -G "${GENERATOR}" "-DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM}" "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DDELVE_SOURCE=${DELVE_SOURCE}"
            "-DCMAKE_PREFIX_PATH=${FOLDER}/${name}/torch" ${ARGN}
    OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE status)
  # CMake breaks messages into lines.
  string(REGEX REPLACE "[ \n]+" " " output "${output}")
  set(${result} "${output}" PARENT_SCOPE)
  set(status ${status} PARENT_SCOPE)
endfunction()

# expect(OUTPUT succeeds|fails TEXT...): stops unless CMake did, and said all of these.
function(expect output how)
  if((how STREQUAL "succeeds" AND NOT status EQUAL 0) OR (how STREQUAL "fails" AND status EQUAL 0))
    message(FATAL_ERROR "${name}: it should have been that it ${how}, but: ${output}")
  endif()
  foreach(text IN LISTS ARGN)
    string(FIND "${output}" "${text}" place)
    if(place EQUAL -1)
      message(FATAL_ERROR "${name}: \"${text}\" is not in: ${output}")
    endif()
  endforeach()
  message(STATUS "${name}: ok")
endfunction()

file(REMOVE_RECURSE "${FOLDER}")

set(name plain)
fake_torch(plain 2.4)
configure(plain output)
expect("${output}" succeeds "version: 2.4.0" "INTERFACE_COMPILE_FEATURES: value-NOTFOUND"
       "IMPORTED_LOCATION: ${FOLDER}/plain/torch/lib/libtorch.so")

set(name none)
configure(none output -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF
          -DCMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH=OFF)
expect("${output}" fails "There is no LibTorch. On Debian: apt-get install libtorch-dev")

# Another LibTorch's library under these headers: what find_library takes from the system's folders.
set(name mixed)
fake_torch(other 1.13)
fake_torch(mixed 2.4 LIBRARY "${FOLDER}/other/torch/lib/libtorch.so")
configure(mixed output)
expect("${output}" fails "headers are those of ${FOLDER}/mixed/torch, but its library is"
       "Set CMAKE_PREFIX_PATH to one LibTorch")

# What such a search left in the cache, of another LibTorch, is dropped before the next.
set(name cached)
fake_torch(cached 2.4 CONFIG "find_library(TORCH_LIBRARY torch PATHS \"${FOLDER}/cached/torch/lib\")"
           "message(STATUS \"found: \${TORCH_LIBRARY}\")")
configure(cached output "-DTORCH_LIBRARY=${FOLDER}/other/torch/lib/libtorch.so")
expect("${output}" succeeds "found: ${FOLDER}/cached/torch/lib/libtorch.so")

# With CUDA, where there is no toolkit: find_package(Torch) would stop, its libraries alone do.
set(name by_hand)
fake_torch(by_hand 2.4 CUDA CONFIG "message(FATAL_ERROR \"no CUDA\")"
           "set(TORCH_CXX_FLAGS \"-D_GLIBCXX_USE_CXX11_ABI=0\")")
configure(by_hand output -DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON)
expect("${output}" succeeds "LibTorch has CUDA, this machine no CUDA toolkit"
       "INTERFACE_COMPILE_DEFINITIONS: _GLIBCXX_USE_CXX11_ABI=0"
       "--no-as-needed,${FOLDER}/by_hand/torch/lib/libtorch_cpu.so" "lib/libtorch_cuda.so"
       "LINKER:-rpath-link,${FOLDER}/by_hand/torch/../nvidia/nccl/lib")
# The same where somebody wishes it.
configure(by_hand output -DDELVE_TORCH_BY_HAND=ON)
expect("${output}" succeeds "--no-as-needed,${FOLDER}/by_hand/torch/lib/libtorch_cpu.so")

# LibTorch 2.5 to 2.8 link a target that newer toolkits lack. It is made where a toolkit is.
set(name nvtx)
fake_torch(nvtx 2.7 CUDA CONFIG "if(NOT TARGET CUDA::nvToolsExt)"
           "message(FATAL_ERROR \"no CUDA::nvToolsExt\")" "endif()")
file(WRITE "${FOLDER}/nvtx/modules/CUDAToolkitConfig.cmake"
     "set(CUDAToolkit_NVCC_EXECUTABLE nvcc)\n")
configure(nvtx output -DCMAKE_FIND_PACKAGE_PREFER_CONFIG=ON
          "-DCUDAToolkit_DIR=${FOLDER}/nvtx/modules")
expect("${output}" succeeds "version: 2.7.0")

# LibTorch's files hand the standard of C++ on to CUDA, whose compiler may not have it.
set(name standard)
fake_torch(standard 2.4 CONFIG "if(CMAKE_CXX_STANDARD EQUAL 20)"
           "message(FATAL_ERROR \"no CUDA20\")" "endif()")
configure(standard output -DCMAKE_CXX_STANDARD=20)
expect("${output}" succeeds "version: 2.4.0" "standard: 20")

set(name cxx20)
fake_torch(cxx20 2.12)
configure(cxx20 output)
expect("${output}" succeeds "INTERFACE_COMPILE_FEATURES: cxx_std_20")

# A LibTorch without Gloo's headers would be compiled with those of the system, of another version.
set(gloo_header include/torch/csrc/distributed/c10d/ProcessGroupGloo.hpp)
file(WRITE "${FOLDER}/system/gloo/algorithm.h" "")
set(name foreign_gloo)
fake_torch(foreign_gloo 2.4)
file(WRITE "${FOLDER}/foreign_gloo/torch/${gloo_header}" "")
configure(foreign_gloo output "-DCMAKE_INCLUDE_PATH=${FOLDER}/system")
expect("${output}" succeeds "those of Gloo in ${FOLDER}/system, of another origin")

set(name own_gloo)
fake_torch(own_gloo 2.4)
file(WRITE "${FOLDER}/own_gloo/torch/${gloo_header}" "")
file(WRITE "${FOLDER}/own_gloo/torch/include/gloo/algorithm.h" "")
configure(own_gloo output "-DCMAKE_INCLUDE_PATH=${FOLDER}/system")
expect("${output}" succeeds "Gloo: .")

set(name no_gloo)
fake_torch(no_gloo 2.4)
file(WRITE "${FOLDER}/no_gloo/torch/${gloo_header}" "")
configure(no_gloo output -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF
          -DCMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH=OFF)
expect("${output}" succeeds "there is no gloo/algorithm.h")
