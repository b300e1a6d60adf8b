// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "colossal/base/config/schema.h"
#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/models/family.h"
#include "colossal/train/config.h"
#include "colossal/train/config/components.h"
#include "colossal/train/config/describe.h"
#include "colossal/train/config/model_sizes.h"
#include "tests/support/scratch.h"

using namespace colossal;
using namespace colossal::train;

namespace {

RunConfig parse(const std::string& toml, const std::vector<std::string>& changes = {},
                int64_t world_size = 1) {
  std::vector<std::string> all = {"data.train=synthetic"};
  all.insert(all.end(), changes.begin(), changes.end());
  return parse_run_config(toml, "run.toml", all, world_size);
}

}  // namespace

TEST_CASE("an empty file is a whole small run") {
  const RunConfig c = parse("", {}, 2);
  CHECK(c.run.name == "run");
  CHECK(c.run.output == "runs/run");
  CHECK(c.checkpoint_folder() == "runs/run/checkpoints");
  CHECK(c.data.cache == "runs/run/tokens");
  CHECK(c.model.family == "gpt2");
  CHECK(c.model.num_layers == 6);
  CHECK(c.model.hidden_size == 384);
  CHECK(c.model.num_heads == 6);
  CHECK(c.model.num_kv_heads == 6);
  CHECK(c.model.ffn_size == 1536);
  CHECK(c.model.max_positions == 256);
  CHECK(c.model.tie_embeddings == true);
  CHECK_FALSE(c.model.vocab_size.has_value());
  CHECK(c.parallel.data == 2);
  CHECK(c.train.microbatch_size == 4);
  CHECK(c.accumulation_steps() == 1);
  CHECK(c.optimizer.weight_decay == 0.1);
  CHECK(c.optimizer.beta1 == 0.9);
  CHECK(c.optimizer.eps == 1e-8);
  CHECK(c.schedule.total_steps == 1000);
}

TEST_CASE("presets, families and loaded models fill the sizes that are not given") {
  const RunConfig gpt2 = parse("[model]\npreset = \"gpt2\"\nnum_layers = 2");
  CHECK(gpt2.model.num_layers == 2);
  CHECK(gpt2.model.hidden_size == 768);
  CHECK(gpt2.model.vocab_size == 50257);
  CHECK(gpt2.model.max_positions == 1024);
  const RunConfig llama =
      parse("[model]\npreset = \"llama3.1-8b\"\nnum_kv_heads = 4");  // the preset says the family
  CHECK(llama.model.family == "llama");
  CHECK(llama.model.num_kv_heads == 4);
  CHECK(llama.model.rope_theta == 500000.0);
  CHECK(llama.model.rope_scaling->factor == 8.0);
  const RunConfig small = parse("[model]\nfamily = \"llama\"\nhidden_size = 256\nnum_heads = 4");
  CHECK(small.model.ffn_size == 704);  // 682.67 rounded up to a multiple of 64
  CHECK(small.model.rope_theta == 10000.0);
  CHECK(small.model.tie_embeddings == false);
  const RunConfig loaded =
      parse("", {"model.load=" COLOSSAL_ORACLES "/models/llama3", "data.sequence_length=16"});
  CHECK(loaded.model.family == "llama");
  CHECK(loaded.model.num_heads == 4);
  CHECK(loaded.model.num_kv_heads == 2);
}

TEST_CASE("every preset passes all rules and means the same to the model") {
  int presets = 0;
  for (const models::Family& family : models::families()) {
    for (const models::Preset& preset : family.presets) {
      CAPTURE(preset.name);
      const RunConfig c = parse("", {"model.preset=" + preset.name});
      CHECK(models::complete(model_config(c.model, {})) == models::complete(preset.config));
      ++presets;
    }
  }
  CHECK(presets > 27);
}

TEST_CASE("loaded models mean the same to the model as their config.json") {
  for (const std::string name :
       {"gpt2", "gpt2-untied", "llama", "llama3", "qwen2", "palm", "bert", "bert-mlm", "vit"}) {
    CAPTURE(name);
    const std::string folder = COLOSSAL_ORACLES "/models/" + name;
    models::ModelConfig theirs = *read_loaded(folder);
    std::vector<std::string> changes = {"model.load=" + folder};
    if (name != "vit") changes.emplace_back("data.sequence_length=8");
    if (name.starts_with("bert"))
      changes.emplace_back("data.tokenizer=" COLOSSAL_ORACLES "/tokenizers/bert-wordpiece");
    const RunConfig c = parse("", changes);
    theirs.dropout = theirs.attention_dropout = 0;  // the run's own business
    theirs.init_std = 0.02;
    CHECK(models::complete(model_config(c.model, {})) == theirs);
  }
}

TEST_CASE("sizes that the data says stay open, and are filled from it") {
  const RunConfig vit = parse("[model]\nfamily = \"vit\"\nhidden_size = 64\nnum_heads = 4");
  CHECK_FALSE(vit.model.image_size.has_value());
  CHECK_FALSE(vit.model.vocab_size.has_value());
  CHECK_FALSE(vit.model.max_positions.has_value());
  CHECK(vit.model.ffn_size == 256);
  const models::ModelConfig small =
      models::complete(model_config(vit.model, {.image_size = 28, .channels = 1, .num_classes = 10}));
  CHECK(small.image == models::ImageConfig{.size = 28, .patch = 4, .channels = 1, .num_classes = 10});
  CHECK(small.max_positions == 50);
  CHECK(model_config(vit.model, {.image_size = 224, .channels = 3, .num_classes = 7}).image.patch == 16);
  const RunConfig bert = parse("[model]\nfamily = \"bert\"");
  CHECK(bert.model.next_sentence == true);
  CHECK(bert.model.max_positions == 256);
  CHECK(model_config(bert.model, {.vocab_size = 260}).next_sentence);
  CHECK(parse("[model]\npreset = \"bert-base\"").model.vocab_size == 30522);
}

TEST_CASE("a checkpoint brings its model along") {
  const testing::ScratchFolder folder;
  const RunConfig first =
      parse("[model]\nfamily = \"llama\"\nhidden_size = 128\nnum_heads = 4\nvocab_size = 300");
  const Json manifest = {{"state", {{"config", run_config_toml(first)}}}};
  write_file_durably(folder / "manifest.json", manifest.dump());
  const RunConfig second = parse("", {"model.load=" + folder.path().string()});
  CHECK(model_config(second.model, {}) == model_config(first.model, {}));
}

TEST_CASE("options reach the components") {
  RunConfig c = parse("", {"optimizer.name=adafactor", "optimizer.beta1=0.9", "optimizer.decay_rate=0.7"});
  CHECK(optimizer_options(c.optimizer).momentum == 0.9);
  CHECK(optimizer_options(c.optimizer).adafactor.decay_rate == 0.7);
  CHECK(optimizer_options(c.optimizer).adafactor.square_eps == 1e-30);
  c = parse("", {"optimizer.name=lamb", "schedule.warmup_steps=10", "schedule.min_ratio=0.1"});
  CHECK(optimizer_options(c.optimizer).eps == 1e-6);
  CHECK(schedule_options(c).total_steps == 1000);
  CHECK(optim::make_schedule(schedule_options(c))(10) == c.optimizer.learning_rate);
  CHECK(optim::make_schedule(schedule_options(c))(1000) == doctest::Approx(0.1 * c.optimizer.learning_rate));
  for (const char* name :
       {"constant", "linear", "cosine", "cosine_restarts", "polynomial", "inverse_sqrt", "wsd"}) {
    optim::make_schedule(
        schedule_options(parse("", {std::string("schedule.name=") + name, "schedule.warmup_steps=5"})));
  }
  CHECK(data_options(c).tokenize.cache == "runs/run/tokens");
  CHECK(backend_kind(parse("", {"comm.backend=gloo"}).comm) == comm::BackendKind::gloo);
  CHECK((scalar_type(Precision::bf16) == at::kBFloat16));
}

TEST_CASE("batches and accumulation") {
  const RunConfig c = parse("[train]\nglobal_batch_size = 16\nmicrobatch_size = 2", {}, 4);
  CHECK(c.accumulation_steps() == 2);
  CHECK(parse("[train]\nglobal_batch_size = 16", {}, 4).train.microbatch_size == 4);
}

TEST_CASE("optimizers have their own defaults") {
  CHECK(parse("", {"optimizer.name=adafactor"}).optimizer.beta1 == 0.0);
  CHECK(parse("", {"optimizer.name=adafactor"}).optimizer.eps == 1e-30);
  CHECK(parse("", {"optimizer.name=lars"}).optimizer.momentum == 0.9);
  CHECK(parse("", {"optimizer.name=sgd"}).optimizer.momentum == 0.0);
  CHECK_FALSE(parse("", {"optimizer.name=sgd"}).optimizer.eps.has_value());
  CHECK(parse("", {"schedule.name=wsd", "train.steps=50"}).schedule.decay_steps == 5);
}

TEST_CASE("the resolved configuration reads back to itself") {
  const std::vector<std::vector<std::string>> cases = {
      {},
      {"model.preset=llama3.1-8b", "train.precision=bf16"},
      {"model.load=" COLOSSAL_ORACLES "/models/qwen2", "data.sequence_length=8"},
      {"optimizer.name=adafactor", "optimizer.relative_step=true"},
      {"optimizer.name=lars", "schedule.name=wsd", "train.precision=fp16"},
      {"model.family=bert", "model.next_sentence=false"},
      {"model.family=vit", "model.channels=3", "data.pixel_mean=[0.1,0.2,0.3]", "data.shift=2"},
      {"schedule.name=constant", "train.sample_prompt=\"a\\n\\\"b\\\"\"", "model.dropout=0.1"},
  };
  for (const auto& changes : cases) {
    const RunConfig c = parse("", changes, 2);
    for (const Detail detail : {Detail::values, Detail::with_help}) {
      const std::string text = run_config_toml(c, detail);
      CAPTURE(text);
      CHECK(run_config_toml(parse_run_config(text, "again.toml", {}, 2)) == run_config_toml(c));
    }
  }
}

TEST_CASE("the dump says where a value was set") {
  const std::string text = run_config_toml(parse("[train]\nsteps = 7\n", {"run.seed=3"}), Detail::with_help);
  CHECK(text.find("\nsteps = 7  # run.toml:2\n") != std::string::npos);
  CHECK(text.find("\nseed = 3  # --set run.seed\n") != std::string::npos);
}

TEST_CASE("docs/config.md is what the declarations say") {
  const std::filesystem::path page = COLOSSAL_SOURCE_DIR "/docs/config.md";
  if (std::getenv("COLOSSAL_UPDATE_DOCS") != nullptr) write_file_durably(page, run_config_reference());
  INFO("renew it: make docs");
  CHECK(read_file(page) == run_config_reference());
}

TEST_CASE("the JSON schema has every key, and every default keeps to it") {
  const Json json = run_config_json_schema();
  for (const config::Field& field : run_schema().fields) {
    CAPTURE(field.path);
    const Json* at = &json;
    std::string rest = field.path;
    while (!rest.empty()) {
      const size_t dot = rest.find('.');
      at = &(*at)["properties"].at(rest.substr(0, dot));
      rest = dot == rest.npos ? "" : rest.substr(dot + 1);
    }
    CHECK((*at)["description"] == field.help);
    CHECK(field.help.ends_with("."));
  }
  CHECK(json["properties"]["data"]["required"] == Json::parse(R"(["train"])"));
  CHECK(json["properties"]["train"]["properties"]["precision"]["enum"] ==
        Json::parse(R"(["fp32","bf16","fp16","fp64"])"));
}

TEST_CASE("no two keys of the schema share a path") {
  std::vector<std::string> paths;
  for (const config::Field& field : run_schema().fields) paths.push_back(field.path);
  std::sort(paths.begin(), paths.end());
  CHECK(std::adjacent_find(paths.begin(), paths.end()) == paths.end());
}

TEST_CASE("missing run files are named") {
  CHECK_THROWS_WITH_AS(load_run_config("nowhere.toml", {}, 1),
                       "nowhere.toml: no such file. Name a run file, for example configs/quickstart.toml.",
                       ConfigError);
  CHECK_THROWS_WITH_AS(load_run_config("/tmp", {}, 1),
                       "/tmp: is a folder. Name a run file, for example configs/quickstart.toml.",
                       ConfigError);
}
