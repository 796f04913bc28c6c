# SPDX-License-Identifier: MIT
#
# Makes the target delve_gloo, for programs that use LibTorch's ProcessGroupGloo, or says why there
# is none. LibTorch's header includes those of Gloo, which LibTorch itself may lack: Debian has them in
# libgloo-dev, of the version that its libtorch-dev was built with. A LibTorch of another origin was
# built with another version, and would compile with Debian's headers all the same, to a program of
# two layouts. So Gloo's headers must lie where LibTorch's lie.

get_target_property(gloo_torch_folders torch INTERFACE_INCLUDE_DIRECTORIES)
if(NOT gloo_torch_folders)
  set(gloo_torch_folders "")
endif()
set(DELVE_GLOO_REASON "")
unset(DELVE_GLOO_TORCH CACHE)
unset(DELVE_GLOO_HEADERS CACHE)
set(gloo_header torch/csrc/distributed/c10d/ProcessGroupGloo.hpp)
find_path(DELVE_GLOO_TORCH ${gloo_header} PATHS ${gloo_torch_folders} NO_DEFAULT_PATH)
if(DELVE_GLOO_TORCH)
  find_path(DELVE_GLOO_HEADERS gloo/algorithm.h PATHS "${DELVE_GLOO_TORCH}" ${gloo_torch_folders}
            NO_DEFAULT_PATH)
  if(NOT DELVE_GLOO_HEADERS)
    find_path(DELVE_GLOO_HEADERS gloo/algorithm.h)
    if(DELVE_GLOO_HEADERS)
      set(DELVE_GLOO_REASON
          "LibTorch's headers are in ${DELVE_GLOO_TORCH}, and those of Gloo in \
${DELVE_GLOO_HEADERS}, of another origin: a program built with both would mix two layouts of Gloo's \
classes")
    else()
      set(DELVE_GLOO_REASON
          "there is no gloo/algorithm.h, which LibTorch's ProcessGroupGloo.hpp includes (Debian: \
apt-get install libgloo-dev)")
    endif()
  endif()
else()
  set(DELVE_GLOO_REASON "this LibTorch has no ProcessGroupGloo.hpp")
endif()
if(NOT DELVE_GLOO_REASON)
  add_library(delve_gloo INTERFACE)
  target_include_directories(delve_gloo SYSTEM INTERFACE "${DELVE_GLOO_HEADERS}")
endif()
