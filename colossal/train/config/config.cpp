// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/config.h"

#include <fmt/format.h>

#include "colossal/base/config/render.h"
#include "colossal/base/config/review.h"
#include "colossal/base/config/toml.h"
#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/train/config/describe.h"

namespace colossal::train {
namespace {

// The `--set` arguments; malformed ones become problems like any other.
void take_overrides(const std::vector<std::string>& overrides, config::Review& review, int64_t world_size) {
  for (const std::string& text : overrides) {
    try {
      const config::Override change = config::parse_override(text);
      if (std::string problem = tensor_as_text(change, world_size); !problem.empty())
        review.problem(change.value.origin, std::move(problem));
      else
        review.take(change);
    } catch (const ConfigError& error) {
      review.problem({"", 0}, error.what());  // says "--set ..." itself
    }
  }
}

}  // namespace

bool is_on_command_line(const config::Review& review, const std::string& key) {
  const auto origins = review.origins();
  const auto origin = origins.find(key);
  return origin != origins.end() && origin->second.line == 0;
}

const config::Schema& run_schema() {
  static const config::Schema schema = config::make_schema<RunConfig>([](config::Section<RunConfig>& c) {
    c.table("run", &RunConfig::run, "The run as a whole.", describe_run);
    c.table("model", &RunConfig::model,
            "What is trained. With no key at all: GPT-2 of 6 layers, 384 wide, 6 heads.", describe_model);
    c.table("data", &RunConfig::data, "What it is trained on.", describe_data);
    c.table("train", &RunConfig::train, "How long, in which portions, in which precision.", describe_train);
    c.table("optimizer", &RunConfig::optimizer, "The update rule.", describe_optimizer);
    c.table("schedule", &RunConfig::schedule, "The learning rate over the steps.", describe_schedule);
    c.table("parallel", &RunConfig::parallel, "How the ranks share the work.", describe_parallel);
    c.table("checkpoint", &RunConfig::checkpoint, "What is saved, and when.", describe_checkpoint);
    c.table("comm", &RunConfig::comm, "How ranks talk.", describe_comm);
  });
  return schema;
}

RunConfig parse_run_config(const std::string& text, const std::string& name,
                           const std::vector<std::string>& overrides, int64_t world_size) {
  RunConfig c;
  config::Review review(run_schema(), name);
  review.take(config::parse_toml(text, name));
  take_overrides(overrides, review, world_size);
  review.write(&c);
  infer_family(c, review);
  review.check_conditions(&c);
  if (c.run.name.empty()) c.run.name = std::filesystem::path(name).stem().string();
  if (!review.given("run.output")) c.run.output = "runs/" + c.run.name;
  if (!c.data.cache) c.data.cache = (std::filesystem::path(c.run.output) / "tokens").string();
  resolve_model(c, review);
  resolve_parallel(c.parallel, review, world_size);
  resolve_batch(c, review);
  check_tensor_parallel(c, review);
  resolve_train(c, review);
  resolve_optimizer(c, review);
  check_files(c, review);
  review.finish();
  c.origins = review.origins();
  return c;
}

RunConfig read_resolved(const std::string& toml, const std::string& name) {
  RunConfig c;
  config::Review review(run_schema(), name);
  review.take(config::parse_toml(toml, name));
  review.write(&c);
  return c;
}

ParallelSection parse_parallel(const std::vector<std::string>& overrides, int64_t world_size) {
  struct Layout {
    ParallelSection parallel;
  } layout;
  static const config::Schema schema = config::make_schema<Layout>([](config::Section<Layout>& c) {
    c.table("parallel", &Layout::parallel, "How the ranks share the work.", describe_parallel);
  });
  config::Review review(schema, "");
  take_overrides(overrides, review, world_size);
  review.write(&layout);
  review.check_conditions(&layout);
  resolve_parallel(layout.parallel, review, world_size);
  review.finish();
  return layout.parallel;
}

RunConfig load_run_config(const std::filesystem::path& path, const std::vector<std::string>& overrides,
                          int64_t world_size) {
  std::error_code problem;
  const auto kind = std::filesystem::status(path, problem).type();
  if (kind != std::filesystem::file_type::regular) {
    const char* what = kind == std::filesystem::file_type::directory   ? "is a folder"
                       : kind == std::filesystem::file_type::not_found ? "no such file"
                       : problem                                       ? "permission denied"
                                 : "is no file that every rank can read again";
    throw ConfigError(
        fmt::format("{}: {}. Name a run file, for example configs/quickstart.toml.", path.string(), what));
  }
  return parse_run_config(read_file(path), path.string(), overrides, world_size);
}

std::optional<std::string> nearest_run_key(std::string_view word) {
  return config::nearest_key(run_schema(), word);
}

std::string run_config_toml(const RunConfig& config, Detail detail) {
  if (detail == Detail::values) return config::to_toml(run_schema(), &config);
  return config::to_toml(run_schema(), &config, {.help = true, .origins = config.origins});
}

std::string run_config_reference() {
  return "# Configuration of a run\n\n"
         "`colossal train run.toml` reads one TOML file with the sections below; `--set section.key=value` "
         "changes single "
         "keys. `colossal config run.toml` prints the file with everything filled in. Every key has a "
         "default but "
         "`data.train`. Relative paths start at the working folder. All problems are reported at once, with "
         "file and line, "
         "before any rank starts (exit code 2).\n\n"
         "This page is generated from the declarations in `colossal/train/config/describe_*.cpp`; "
         "`colossal config --markdown` prints it.\n\n" +
         config::to_markdown(run_schema());
}

Json run_config_json_schema() { return config::to_json_schema(run_schema(), "Colossal run configuration"); }

}  // namespace colossal::train
