# SPDX-License-Identifier: MIT
#
# Finds LibTorch as find_package(Torch) does, and gets past what stops that on many machines. Used
# by delve's own build and, installed, by every project that calls find_package(delve).
#
# Makes the imported target `torch`. Sets DelveTorch_FOUND and DelveTorch_VERSION.
#
# Reads, beside what find_package(Torch) reads (Torch_DIR, CMAKE_PREFIX_PATH):
#   DELVE_TORCH_BY_HAND  ON: link LibTorch's libraries without its own CMake files. This is done
#                        unasked where LibTorch comes with CUDA and no CUDA toolkit is installed.
# Leaves in the cache what find_package(Torch) leaves there, and nothing else.

# Sets `result` to the nearest folder above `path` that has LibTorch's headers, or to "".
function(_delve_torch_prefix path result)
  set(${result} "" PARENT_SCOPE)
  get_filename_component(folder "${path}" REALPATH)
  while(NOT EXISTS "${folder}/include/ATen/ATen.h")
    get_filename_component(parent "${folder}" DIRECTORY)
    if(parent STREQUAL folder)
      return()
    endif()
    set(folder "${parent}")
  endwhile()
  set(${result} "${folder}" PARENT_SCOPE)
endfunction()

# Sets `result` to the file of an imported library, whatever its build type, or to "".
function(_delve_torch_location target result)
  set(location "")
  if(TARGET ${target})
    get_target_property(location ${target} IMPORTED_LOCATION)
    get_target_property(configurations ${target} IMPORTED_CONFIGURATIONS)
    foreach(configuration IN LISTS configurations)
      if(NOT location)
        get_target_property(location ${target} IMPORTED_LOCATION_${configuration})
      endif()
    endforeach()
  endif()
  if(NOT location)
    set(location "")
  endif()
  set(${result} "${location}" PARENT_SCOPE)
endfunction()

# Sets `result` to the version that LibTorch's headers state.
function(_delve_torch_version prefix result)
  set(version "")
  foreach(header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
    if(NOT version AND EXISTS "${prefix}/include/${header}")
      file(STRINGS "${prefix}/include/${header}" lines
           REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
      string(REGEX REPLACE "[^0-9;]" "" version "${lines}")
      string(REPLACE ";" "." version "${version}")
    endif()
  endforeach()
  set(${result} "${version}" PARENT_SCOPE)
endfunction()

# Makes the target `torch` of the libraries alone. The headers of a LibTorch with CUDA that delve
# includes need nothing of the CUDA toolkit, and the libraries bring their own.
function(_delve_torch_by_hand prefix config)
  add_library(torch INTERFACE IMPORTED)
  target_include_directories(torch INTERFACE "${prefix}/include"
                                             "${prefix}/include/torch/csrc/api/include")
  # Nothing refers to the CUDA libraries by symbol: they register themselves when they are loaded.
  foreach(library torch_cpu c10 torch_cuda c10_cuda)
    if(EXISTS "${prefix}/lib/lib${library}.so")
      set(file "${prefix}/lib/lib${library}.so")
      target_link_libraries(torch INTERFACE
                            "-Wl,--push-state,--no-as-needed,${file},--pop-state")
    endif()
  endforeach()
  target_link_options(torch INTERFACE "LINKER:-rpath,${prefix}/lib")
  # Wheels before 2.7 may use the old C++ ABI, and say so only here.
  file(STRINGS "${config}" abi REGEX "set\\(TORCH_CXX_FLAGS \"-D_GLIBCXX_USE_CXX11_ABI=[01]\"")
  if(abi MATCHES "ABI=([01])")
    target_compile_definitions(torch INTERFACE _GLIBCXX_USE_CXX11_ABI=${CMAKE_MATCH_1})
  endif()
endfunction()

set(_delve_torch_reason "")
set(_delve_torch_config "")

if(NOT TARGET torch)
  # A version that does not exist: this tells where Torch is without loading it.
  set(_delve_torch_dir "${Torch_DIR}")
  find_package(Torch 999999 QUIET CONFIG)
  if(Torch_CONSIDERED_CONFIGS)
    list(GET Torch_CONSIDERED_CONFIGS 0 _delve_torch_config)
    get_filename_component(_delve_torch_dir "${_delve_torch_config}" DIRECTORY)
    _delve_torch_prefix("${_delve_torch_dir}" _delve_torch_root)
    set(Torch_DIR "${_delve_torch_dir}" CACHE PATH "The folder of TorchConfig.cmake" FORCE)
  else()
    set(_delve_torch_reason
        "There is no LibTorch. On Debian: apt-get install libtorch-dev libopenblas0-pthread. \
Elsewhere set CMAKE_PREFIX_PATH to the folder libtorch of a download from pytorch.org, or to what \
this prints: python3 -c 'print(__import__(\"torch\").__path__[0])'")
  endif()
endif()

if(NOT TARGET torch AND _delve_torch_config)
  set(_delve_torch_by_hand "${DELVE_TORCH_BY_HAND}")
  if(EXISTS "${_delve_torch_root}/lib/libtorch_cuda.so" AND NOT _delve_torch_by_hand)
    find_package(CUDAToolkit QUIET)
    if(NOT CUDAToolkit_FOUND OR NOT CUDAToolkit_NVCC_EXECUTABLE)
      message(STATUS "LibTorch has CUDA, this machine no CUDA toolkit: its libraries are linked "
                     "without its CMake files, which would stop here")
      set(_delve_torch_by_hand ON)
    elseif(NOT TARGET CUDA::nvToolsExt)
      # LibTorch 2.5 to 2.8 links it; toolkits from 12.9 on have only the headers of its successor.
      add_library(CUDA::nvToolsExt INTERFACE IMPORTED)
    endif()
  endif()

  if(_delve_torch_by_hand)
    _delve_torch_by_hand("${_delve_torch_root}" "${_delve_torch_config}")
  else()
    # TorchConfig.cmake looks for its parts in the system's folders before its own, and keeps in the
    # cache what it found: another LibTorch's, where two are installed.
    foreach(_delve_torch_variable Caffe2_DIR TORCH_LIBRARY c10_LIBRARY C10_CUDA_LIBRARY
                                  kineto_LIBRARY)
      _delve_torch_prefix("${${_delve_torch_variable}}" _delve_torch_other)
      if(NOT _delve_torch_other STREQUAL _delve_torch_root)
        unset(${_delve_torch_variable} CACHE)
      endif()
    endforeach()
    # It asks of CUDA the standard that C++ has, and stops where CMake does not know that of the
    # toolkit (C++20 of CUDA 13, CMake 3.25). Nothing of delve is CUDA.
    set(_delve_torch_standard "${CMAKE_CXX_STANDARD}")
    set(CMAKE_CXX_STANDARD 17)
    list(INSERT CMAKE_PREFIX_PATH 0 "${_delve_torch_root}")
    find_package(Torch QUIET CONFIG)
    list(REMOVE_AT CMAKE_PREFIX_PATH 0)
    if(_delve_torch_standard)
      set(CMAKE_CXX_STANDARD "${_delve_torch_standard}")
    else()
      unset(CMAKE_CXX_STANDARD)
    endif()
    if(NOT TARGET torch)
      set(_delve_torch_reason
          "${_delve_torch_config} could not be used: ${Torch_NOT_FOUND_MESSAGE}")
    endif()
  endif()
endif()

if(TARGET torch)
  get_target_property(_delve_torch_includes torch INTERFACE_INCLUDE_DIRECTORIES)
  list(GET _delve_torch_includes 0 _delve_torch_headers)
  _delve_torch_prefix("${_delve_torch_headers}" _delve_torch_root)
  _delve_torch_version("${_delve_torch_root}" DelveTorch_VERSION)

  foreach(_delve_torch_target torch torch_cpu c10)
    _delve_torch_location(${_delve_torch_target} _delve_torch_library)
    _delve_torch_prefix("${_delve_torch_library}" _delve_torch_other)
    if(_delve_torch_library AND NOT _delve_torch_other STREQUAL _delve_torch_root)
      set(_delve_torch_reason
          "LibTorch's headers are those of ${_delve_torch_root}, but its library is \
${_delve_torch_library}. Set CMAKE_PREFIX_PATH to one LibTorch and configure in an empty folder.")
    endif()
  endforeach()

  # Once for each target, which other projects may share.
  get_target_property(_delve_torch_done torch DELVE_TORCH_DONE)
  if(NOT _delve_torch_done)
    set_target_properties(torch PROPERTIES DELVE_TORCH_DONE ON)
    # The libraries of a wheel with CUDA need those of the packages beside it, which the linker
    # would otherwise look for, and take older ones, in the system's folders.
    if(EXISTS "${_delve_torch_root}/lib/libtorch_cuda.so")
      file(GLOB _delve_torch_folders LIST_DIRECTORIES true "${_delve_torch_root}/../nvidia/*/lib")
      foreach(_delve_torch_folder IN LISTS _delve_torch_folders)
        set_property(TARGET torch APPEND PROPERTY INTERFACE_LINK_OPTIONS
                                                  "LINKER:-rpath-link,${_delve_torch_folder}")
      endforeach()
    endif()
    # Its headers use C++20 from 2.12 on, and later ones refuse less.
    if(DelveTorch_VERSION VERSION_GREATER_EQUAL 2.12)
      target_compile_features(torch INTERFACE cxx_std_20)
    endif()
  endif()
endif()

include(FindPackageHandleStandardArgs)
if(_delve_torch_reason)
  set(_delve_torch_root "")
endif()
find_package_handle_standard_args(
  DelveTorch
  REQUIRED_VARS _delve_torch_root
  VERSION_VAR DelveTorch_VERSION
  REASON_FAILURE_MESSAGE "${_delve_torch_reason}")
