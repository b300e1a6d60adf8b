# SPDX-License-Identifier: Apache-2.0
# One object library per folder of colossal/, one test program per folder of tests/.

# Several files per compilation: reading torch's headers costs more than the files themselves.
function(colossal_unity target files)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${COLOSSAL_UNITY} UNITY_BUILD_BATCH_SIZE ${files})
endfunction()

# What only calls the layers that compute needs less optimizing.
function(colossal_glue target folder)
  if(folder MATCHES "^(models|checkpoint|train|cli)$")
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
  endif()
endfunction()

# colossal_layer(NAME): every .cpp below colossal/NAME. All layers but base see torch and share precompiled headers.
function(colossal_layer name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/colossal/${name}/*.cpp)
  if(COLOSSAL_CUDA)
    list(FILTER sources EXCLUDE REGEX "/no_(cuda|nccl)\\.cpp$")
  else()
    list(FILTER sources EXCLUDE REGEX "/(cuda|nccl)(/[^/]*)?\\.cpp$")
  endif()
  if(NOT sources)
    return()
  endif()
  add_library(colossal_${name} OBJECT ${sources})
  colossal_unity(colossal_${name} 9)
  colossal_glue(colossal_${name} ${name})
  target_include_directories(colossal_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(colossal_${name} PUBLIC colossal_options nlohmann_json::nlohmann_json
                        PRIVATE ZLIB::ZLIB PkgConfig::PCRE2 PkgConfig::UTF8PROC PkgConfig::ZSTD PkgConfig::XXHASH)
  if(NOT name STREQUAL base)
    target_link_libraries(colossal_${name} PUBLIC colossal_torch)
    colossal_use_pch(colossal_${name} ${name})
  endif()
  if(name STREQUAL comm)   # the wheel has Gloo inside but not its headers
    target_include_directories(colossal_comm SYSTEM PRIVATE ${PROJECT_SOURCE_DIR}/colossal/comm/backends/gloo/shim)
  endif()
  if(name STREQUAL data)
    target_link_libraries(colossal_data PRIVATE PkgConfig::STB)
    # compiled alone: it has classes (Simple, Sequence) of the names of those in normalizer.cpp
    set_source_files_properties(${PROJECT_SOURCE_DIR}/colossal/data/tokenizers/decoder.cpp
                                PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endif()
  set_property(GLOBAL APPEND PROPERTY COLOSSAL_LAYERS ${name})
endfunction()

# Two precompiled headers, each built once and reused by every target: cmake/pch_tensor.h for code on tensors, cmake/pch_module.h
# for code on modules and autograd functions. (g++ repeats the templates of a precompiled header in every file: less is faster.)
function(colossal_add_pch kind)
  file(WRITE ${PROJECT_BINARY_DIR}/pch_${kind}.cpp "")
  add_library(colossal_pch_${kind} OBJECT ${PROJECT_BINARY_DIR}/pch_${kind}.cpp)
  target_link_libraries(colossal_pch_${kind} PUBLIC colossal_options colossal_torch nlohmann_json::nlohmann_json)
  target_precompile_headers(colossal_pch_${kind} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch_${kind}.h)
endfunction()

# colossal_use_pch(TARGET FOLDER): the one that fits the folder of colossal/ that the target is or tests.
function(colossal_use_pch target folder)
  set(kind module)
  if(folder MATCHES "^(base|comm|tensor|data|cli)$")
    set(kind tensor)
  endif()
  target_precompile_headers(${target} REUSE_FROM colossal_pch_${kind})
endfunction()

function(colossal_library)
  get_property(layers GLOBAL PROPERTY COLOSSAL_LAYERS)
  add_library(colossal STATIC)
  add_library(Colossal::colossal ALIAS colossal)
  foreach(layer IN LISTS layers)
    target_sources(colossal PRIVATE $<TARGET_OBJECTS:colossal_${layer}>)
  endforeach()
  if(COLOSSAL_SANITIZE MATCHES thread)
    target_sources(colossal PRIVATE ${PROJECT_SOURCE_DIR}/cmake/tsan_openmp.cpp)
  endif()
  target_include_directories(colossal PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:include>)
  target_compile_features(colossal PUBLIC cxx_std_20)
  target_link_libraries(colossal PUBLIC $<BUILD_INTERFACE:colossal_options> $<BUILD_INTERFACE:colossal_torch>
    Threads::Threads Colossal::fmt nlohmann_json::nlohmann_json
    PRIVATE ZLIB::ZLIB PkgConfig::PCRE2 PkgConfig::UTF8PROC PkgConfig::ZSTD PkgConfig::XXHASH PkgConfig::STB rt dl)
  set_target_properties(colossal PROPERTIES LINKER_LANGUAGE CXX)
endfunction()

function(colossal_program)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/colossal/cli/*.cpp)
  if(sources)
    add_executable(colossal_cli ${sources})
    set_target_properties(colossal_cli PROPERTIES OUTPUT_NAME colossal RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
    target_link_libraries(colossal_cli PRIVATE colossal)
    colossal_use_pch(colossal_cli cli)
    colossal_unity(colossal_cli 9)
    colossal_glue(colossal_cli cli)
  endif()
endfunction()

# colossal_suite(NAME): tests/NAME/*.cpp become the program test_NAME, each file one ctest entry "NAME/<file>".
# The prefix of the file name is its label: test_ is fast, slow_ and process_ (real processes) say so.
function(colossal_suite name)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${name}/*.cpp)
  if(NOT sources)
    return()
  endif()
  string(REPLACE / _ target test_${name})
  add_executable(${target} ${sources})
  target_link_libraries(${target} PRIVATE colossal colossal_test_support)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-Og>)   # tests are compiled more often than they run
  colossal_use_pch(${target} ${name})
  colossal_unity(${target} 8)
  if(TARGET colossal_cli)
    add_dependencies(${target} colossal_cli)
  endif()
  get_property(programs GLOBAL PROPERTY COLOSSAL_TEST_PROGRAMS)
  if(programs)
    add_dependencies(${target} ${programs})
  endif()
  target_compile_definitions(${target} PRIVATE
    COLOSSAL_SOURCE_DIR="${PROJECT_SOURCE_DIR}" COLOSSAL_BINARY="${PROJECT_BINARY_DIR}/colossal"
    COLOSSAL_ORACLES="${PROJECT_SOURCE_DIR}/../shared/oracles/data"
    COLOSSAL_PROGRAMS="${PROJECT_BINARY_DIR}/tests/programs" COLOSSAL_TORCHRUN="${COLOSSAL_TORCHRUN}")
  foreach(source IN LISTS sources)
    get_filename_component(file ${source} NAME_WE)
    string(REGEX MATCH "^(test|slow|process)_" prefix ${file})
    if(NOT prefix)
      continue()
    endif()
    add_test(NAME ${name}/${file} COMMAND ${target} "--source-file=*/${file}.cpp" --no-intro)
    set(labels fast)
    set(processors 1)
    if(prefix STREQUAL "slow_")
      set(labels slow)
    elseif(prefix STREQUAL "process_")
      set(labels fast process)
      set(processors 2)
    endif()
    set(timeout 300)
    if(COLOSSAL_SANITIZE)
      set(timeout 1200)
    endif()
    set_tests_properties(${name}/${file} PROPERTIES LABELS "${labels}" TIMEOUT ${timeout} PROCESSORS ${processors}
      ENVIRONMENT "OMP_NUM_THREADS=1" FAIL_REGULAR_EXPRESSION "test cases: +0 \\|")
  endforeach()
endfunction()
