# SPDX-License-Identifier: Apache-2.0
# Language level, warnings, and the tools that shorten builds.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# -fPIC everywhere (not -fPIE for programs): the precompiled header is shared by all targets.
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
# torch's class layouts depend on NDEBUG, so every configuration defines it (colossal_torch does, too).
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g -DNDEBUG")

find_program(COLOSSAL_CCACHE ccache)
if(COLOSSAL_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_DEPEND=1 CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${COLOSSAL_CCACHE})
endif()
# A fast linker. mold before 2.4 is passed over: now and then it hangs, or writes a program that cannot be loaded.
find_program(COLOSSAL_MOLD mold)
find_program(COLOSSAL_LLD ld.lld)
if(COLOSSAL_MOLD)
  execute_process(COMMAND ${COLOSSAL_MOLD} --version OUTPUT_VARIABLE _mold_version)
  string(REGEX MATCH "[0-9]+\\.[0-9.]*[0-9]" _mold_version "${_mold_version}")
endif()
if(COLOSSAL_MOLD AND _mold_version VERSION_GREATER_EQUAL 2.4)
  add_link_options(-fuse-ld=mold)
elseif(COLOSSAL_LLD)
  add_link_options(-fuse-ld=lld)
endif()

add_library(colossal_options INTERFACE)
target_compile_options(colossal_options INTERFACE -fPIC -Wall -Wextra -Wno-unused-parameter -Werror -fopenmp
  -ffp-contract=off -fno-math-errno -fno-trapping-math)   # the last two: sqrt and selects vectorise, no value changes
target_link_libraries(colossal_options INTERFACE Colossal::fmt)   # its include folder comes before torch's
# g++ may leave the cold part of a function empty, and lld then loses the unwind entry of the function behind it (tools/check_unwind.py).
target_compile_options(colossal_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-fno-reorder-blocks-and-partition>)
# g++ collects its garbage from 1.5 GB on only: a tenth of the time, no more memory at its peak.
target_compile_options(colossal_options INTERFACE
  "$<$<CXX_COMPILER_ID:GNU>:SHELL:--param ggc-min-expand=100 --param ggc-min-heapsize=1500000>")
# -fopenmp as a plain flag: libgomp.so.1 is found through the rpath in torch/lib, so there is one OpenMP runtime.
target_link_options(colossal_options INTERFACE -fopenmp)
target_link_libraries(colossal_options INTERFACE Threads::Threads)
if(COLOSSAL_SANITIZE)
  # -O1 -g1: a third of the compile time of -O2 -g. vptr: libtorch's objects carry no type information for it.
  set(_sanitizers -fsanitize=${COLOSSAL_SANITIZE})
  target_compile_options(colossal_options INTERFACE ${_sanitizers} -fno-sanitize-recover=all -fno-sanitize=vptr
    -fno-omit-frame-pointer -O1 -g1
    -Wno-error)   # g++ warns of more, and wrongly, in instrumented code
  target_link_options(colossal_options INTERFACE ${_sanitizers})
endif()
