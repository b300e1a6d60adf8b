# SPDX-License-Identifier: Apache-2.0
# The Debian libraries that Colossal links (docs/dependencies.md). Read by this build and by projects that use the installed package.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(ZLIB REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(STB IMPORTED_TARGET stb)
if(NOT STB_FOUND)   # its pkg-config name does not tell the package
  message(FATAL_ERROR "stb, which decodes images, is missing: install libstb-dev (`make setup` installs all that is missing).")
endif()

# torch's include folder ships an fmt of its own, without a library to it: a folder with nothing but the distribution's fmt
# stands in front of it, so that fmt is compiled once (in its library) and not into every file.
find_path(COLOSSAL_FMT_INCLUDE fmt/format.h DOC "folder that holds the fmt of the distribution")
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/colossal-include)
file(CREATE_LINK ${COLOSSAL_FMT_INCLUDE}/fmt ${CMAKE_BINARY_DIR}/colossal-include/fmt SYMBOLIC)
if(NOT TARGET Colossal::fmt)
  add_library(Colossal::fmt INTERFACE IMPORTED GLOBAL)
  target_include_directories(Colossal::fmt SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/colossal-include)
  target_link_libraries(Colossal::fmt INTERFACE fmt::fmt)
endif()
