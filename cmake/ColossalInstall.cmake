# SPDX-License-Identifier: Apache-2.0
# Install and export: another CMake project says find_package(Colossal) and links Colossal::colossal.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS colossal EXPORT ColossalTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET colossal_cli)
  install(TARGETS colossal_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/colossal DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h" PATTERN "shim" EXCLUDE PATTERN "cli" EXCLUDE)
set(COLOSSAL_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/Colossal)
install(EXPORT ColossalTargets NAMESPACE Colossal:: DESTINATION ${COLOSSAL_CMAKE_DIR})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/ColossalConfig.cmake.in ${PROJECT_BINARY_DIR}/ColossalConfig.cmake
                              INSTALL_DESTINATION ${COLOSSAL_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ColossalConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ColossalConfig.cmake ${PROJECT_BINARY_DIR}/ColossalConfigVersion.cmake
              ${CMAKE_CURRENT_LIST_DIR}/ColossalTorch.cmake ${CMAKE_CURRENT_LIST_DIR}/ColossalDependencies.cmake
        DESTINATION ${COLOSSAL_CMAKE_DIR})
