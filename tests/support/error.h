// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "colossal/base/error.h"

namespace colossal::testing {

// What `body` complains of; "no error" where it does not. An error that is no Expected leaves the test, another exit code
// than `code` fails it.
template <class Expected = Error, class Body>
std::string error_of(Body&& body, std::optional<ExitCode> code = {}) {
  try {
    body();
  } catch (const Expected& error) {
    if (code) CHECK(error.exit_code() == *code);
    return error.what();
  }
  return "no error";
}

}  // namespace colossal::testing
