# SPDX-License-Identifier: Apache-2.0
# colossal_torch: libtorch from a wheel or a folder, found by path (no find_package(Torch), no python at configure time).
set(COLOSSAL_TORCH_MIN 2.11)
set(COLOSSAL_TORCH_MAX 2.13)

function(_colossal_find_torch out)
  set(candidates)
  if(COLOSSAL_TORCH)
    list(APPEND candidates ${COLOSSAL_TORCH} ${COLOSSAL_TORCH}/torch ${COLOSSAL_TORCH}/libtorch)
    file(GLOB inside ${COLOSSAL_TORCH}/lib/python3*/site-packages/torch)
  else()
    set(venv .venv)
    if(COLOSSAL_CUDA)
      set(venv .venv-cuda)
    endif()
    file(GLOB inside ${CMAKE_CURRENT_SOURCE_DIR}/${venv}/lib/python3*/site-packages/torch
         $ENV{VIRTUAL_ENV}/lib/python3*/site-packages/torch)
  endif()
  foreach(dir IN LISTS candidates inside)
    if(EXISTS ${dir}/include/ATen/ATen.h AND EXISTS ${dir}/lib/libtorch_cpu.so)
      get_filename_component(dir ${dir} REALPATH)
      set(${out} ${dir} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  set(${out} "" PARENT_SCOPE)
endfunction()

_colossal_find_torch(COLOSSAL_TORCH_ROOT)
if(NOT COLOSSAL_TORCH_ROOT)
  set(_where "")
  if(COLOSSAL_TORCH)
    set(_where " in ${COLOSSAL_TORCH}")
  endif()
  message(FATAL_ERROR
    "libtorch not found${_where}. Run `make setup` (installs the wheel into .venv), or pass "
    "-DCOLOSSAL_TORCH=<folder that holds include/ATen and lib/libtorch_cpu.so>.")
endif()

file(STRINGS ${COLOSSAL_TORCH_ROOT}/include/torch/headeronly/version.h _version_lines
     REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
if(NOT _version_lines)
  file(STRINGS ${COLOSSAL_TORCH_ROOT}/include/torch/csrc/api/include/torch/version.h _version_lines
       REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
endif()
string(REGEX MATCHALL "[0-9]+" _version_numbers "${_version_lines}")
list(JOIN _version_numbers . COLOSSAL_TORCH_VERSION)
string(REGEX MATCH "^[0-9]+\\.[0-9]+" _minor "${COLOSSAL_TORCH_VERSION}")
if(_minor VERSION_LESS COLOSSAL_TORCH_MIN OR _minor VERSION_GREATER COLOSSAL_TORCH_MAX)
  message(FATAL_ERROR
    "libtorch ${COLOSSAL_TORCH_VERSION} in ${COLOSSAL_TORCH_ROOT} is outside the supported "
    "${COLOSSAL_TORCH_MIN} to ${COLOSSAL_TORCH_MAX}. Run `make setup` for the tested wheel, or point -DCOLOSSAL_TORCH at another folder.")
endif()
message(STATUS "libtorch ${COLOSSAL_TORCH_VERSION}: ${COLOSSAL_TORCH_ROOT}")

add_library(colossal_torch INTERFACE)
target_include_directories(colossal_torch SYSTEM INTERFACE
  $<BUILD_INTERFACE:${COLOSSAL_TORCH_ROOT}/include>
  $<BUILD_INTERFACE:${COLOSSAL_TORCH_ROOT}/include/torch/csrc/api/include>)
target_compile_definitions(colossal_torch INTERFACE NDEBUG USE_DISTRIBUTED USE_C10D_GLOO)
foreach(lib torch torch_cpu c10)
  target_link_libraries(colossal_torch INTERFACE $<BUILD_INTERFACE:${COLOSSAL_TORCH_ROOT}/lib/lib${lib}.so>)
endforeach()

if(COLOSSAL_CUDA)
  # The wheel brings CUDA's and NCCL's headers and libraries in site-packages/nvidia/*, but for crt/, which is the toolkit's.
  if(NOT EXISTS ${COLOSSAL_TORCH_ROOT}/lib/libtorch_cuda.so)
    message(FATAL_ERROR "COLOSSAL_CUDA=ON, but the libtorch in ${COLOSSAL_TORCH_ROOT} is a CPU build. Run `make check-cuda` "
                        "(installs a CUDA wheel into .venv-cuda), or pass -DCOLOSSAL_TORCH=<folder of a CUDA build>.")
  endif()
  get_filename_component(_site_packages ${COLOSSAL_TORCH_ROOT} DIRECTORY)
  file(GLOB _nvidia_includes ${_site_packages}/nvidia/*/include)
  file(GLOB _nvidia_libraries ${_site_packages}/nvidia/*/lib)
  file(GLOB _toolkits /usr/local/cuda*/include)
  find_path(COLOSSAL_CUDA_CRT crt/host_defines.h HINTS $ENV{CUDA_HOME}/include ${_toolkits} ${_nvidia_includes}
            DOC "folder that holds crt/host_defines.h of a CUDA toolkit")
  if(NOT COLOSSAL_CUDA_CRT)
    message(FATAL_ERROR "crt/host_defines.h not found. Install a CUDA toolkit, or pass -DCOLOSSAL_CUDA_CRT=<its include folder>.")
  endif()
  target_include_directories(colossal_torch SYSTEM INTERFACE ${_nvidia_includes} ${COLOSSAL_CUDA_CRT})
  target_compile_definitions(colossal_torch INTERFACE USE_CUDA USE_C10D_NCCL)
  # Its kernels register themselves when it is loaded, so it is linked although nothing names it.
  target_link_libraries(colossal_torch INTERFACE -Wl,--no-as-needed ${COLOSSAL_TORCH_ROOT}/lib/libtorch_cuda.so
                        ${COLOSSAL_TORCH_ROOT}/lib/libc10_cuda.so -Wl,--as-needed -Wl,--allow-shlib-undefined)
  file(GLOB _cudart ${_site_packages}/nvidia/cu*/lib/libcudart.so.*)
  target_link_libraries(colossal_torch INTERFACE ${_cudart})
endif()
set(CMAKE_BUILD_RPATH ${COLOSSAL_TORCH_ROOT}/lib ${_nvidia_libraries})
set(CMAKE_INSTALL_RPATH ${COLOSSAL_TORCH_ROOT}/lib ${_nvidia_libraries})
