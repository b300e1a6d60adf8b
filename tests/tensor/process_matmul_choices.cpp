// SPDX-License-Identifier: Apache-2.0
// The file in which the processes of a machine keep the kernels that they have measured (matmul_tuner.h).
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "colossal/base/file.h"
#include "colossal/base/json.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"

namespace {

using namespace colossal::testing;
using colossal::Json;
namespace fs = std::filesystem;

constexpr const char* kMeasured = "forward Float 512x256->384, 1 threads";

std::string chosen_with(std::vector<std::string> environment) {
  environment.emplace_back("OMP_NUM_THREADS=1");
  const Finished run = run_process({COLOSSAL_PROGRAMS "/multiply"}, {.environment = environment});
  INFO(run.output);
  CHECK(run.exit_code == 0);
  return run.output;
}

fs::path only_file(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".json") found.push_back(entry.path());
  REQUIRE(found.size() == 1);
  return found[0];
}

TEST_CASE("a choice is measured once per machine and read by all others; a damaged file is measured afresh") {
  const ScratchFolder scratch;
  const std::string cache = "COLOSSAL_CACHE_DIR=" + (scratch / "cache").string();
  const std::string measured = chosen_with({cache});
  const fs::path file = only_file(scratch / "cache");
  CHECK(file.filename().string().starts_with("matmul-"));
  Json content = Json::parse(colossal::read_file(file));
  Json& choice = content.at("choices").at(kMeasured);
  CHECK(measured.starts_with(fmt::format("{}: {}, ", kMeasured, choice.at("kernel").get<std::string>())));
  REQUIRE(choice.at("gflops").size() >= 2);  // and blocks, where the processor has them

  // Numbers that nobody could have measured, and the slower kernel: what is in the file is not asked again.
  const std::string other = choice.at("kernel") == "aten" ? "onednn" : "aten";
  choice = {{"kernel", other}, {"gflops", {{"aten", 1e9}, {"onednn", 2e9}}}};
  const std::string edited = content.dump();
  colossal::write_file_durably(file, edited);
  const std::string reused = fmt::format("{}: {}, aten 1e+09, onednn 2e+09\n", kMeasured, other);
  CHECK(chosen_with({cache}) == reused);
  CHECK(colossal::read_file(file) == edited);
  CHECK(chosen_with({cache, "COLOSSAL_MATMUL=onednn"}) == fmt::format("{}: onednn\n", kMeasured));  // forced

  colossal::write_file_durably(file, edited.substr(0, edited.size() / 2));
  CHECK(chosen_with({cache}) != reused);
  const Json again = Json::parse(colossal::read_file(file)).at("choices").at(kMeasured).at("gflops");
  CHECK(again.at("aten").get<double>() < 1e6);
  // Where nothing can be kept, nothing is measured, and all processes take the default.
  CHECK(chosen_with({"COLOSSAL_CACHE_DIR=/proc/nowhere"}) == fmt::format("{}: aten\n", kMeasured));
}

}  // namespace
