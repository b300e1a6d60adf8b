// SPDX-License-Identifier: Apache-2.0
// A checkpoint of two ranks leaves the run: as a Hugging Face folder, for inference, as the start of another run.
#include <doctest/doctest.h>

#include <fstream>

#include "colossal/base/error.h"
#include "colossal/checkpoint/directory.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/models/generate.h"
#include "colossal/train/build.h"
#include "colossal/train/export.h"
#include "tests/support/error.h"
#include "tests/support/scratch.h"
#include "tests/train/small_run.h"

using namespace colossal;
using namespace colossal::train;
using namespace colossal::testing;

namespace {

at::Tensor ids() { return at::arange(24, at::kLong).view({2, 12}) * 7 % 257; }

at::Tensor logits_of(const LoadedModel& loaded) {
  at::NoGradGuard no_grad;
  return loaded.model->outputs({{"input_ids", ids()}}).at("logits");
}

std::vector<std::string> short_run(const std::string& family, const std::string& precision) {
  std::vector<std::string> changes = {"train.steps=3", "model.family=" + family,
                                      "train.precision=" + precision};
  if (family != "gpt2") changes.emplace_back("model.num_kv_heads=1");
  return changes;
}

}  // namespace

TEST_CASE("an exported checkpoint gives the same logits as the run, and continues a prompt") {
  const comm::Mesh alone;
  for (const std::string family : {"gpt2", "llama", "qwen2", "palm"}) {
    for (const std::string precision : {"fp64", "bf16"}) {
      CAPTURE(family);
      CAPTURE(precision);
      const ScratchFolder scratch;
      const RunConfig config = small_run(scratch.path(), 2, short_run(family, precision));
      run_trainer(config, Start::anew);
      const auto checkpoint = config.checkpoint_folder() / checkpoint::folder_name(3);
      export_huggingface(checkpoint, scratch / "exported");

      const auto dtype = precision == "fp64" ? at::kDouble : at::kFloat;
      const LoadedModel run = load_for_inference(config.run.output, alone, dtype);
      const LoadedModel step = load_for_inference(checkpoint, alone, dtype);
      const LoadedModel exported = load_for_inference(scratch / "exported", alone, dtype);
      REQUIRE(run.tokenizer);
      CHECK(run.tokenizer->vocab_size() == 257);
      CHECK(at::equal(logits_of(run), logits_of(step)));
      CHECK(at::equal(logits_of(run), logits_of(exported)));
      CHECK_FALSE(run.model->state().training);  // no dropout
      CHECK_FALSE(exported.model->state().training);
      CHECK((logits_of(run).scalar_type() == dtype));

      const at::Tensor prompt = ids().narrow(1, 0, 4);
      const at::Tensor text = models::generate(*exported.model, prompt, {.max_new_tokens = 6});
      CHECK((text.sizes() == at::IntArrayRef({2, 10})));
      CHECK(at::equal(text, models::generate(*run.model, prompt, {.max_new_tokens = 6})));
      // Greedy: each token is the likeliest behind those before it.
      at::NoGradGuard no_grad;
      const at::Tensor likeliest = run.model->logits(text.narrow(1, 0, 9)).argmax(-1).narrow(1, 3, 6);
      CHECK(at::equal(text.narrow(1, 4, 6), likeliest));
    }
  }
}

TEST_CASE("model.load starts a run from a checkpoint or from its export, on any number of ranks") {
  const ScratchFolder scratch;
  const RunConfig first = small_run(scratch.path(), 2, {"train.steps=3"});
  run_trainer(first, Start::anew);
  const auto checkpoint = first.checkpoint_folder() / checkpoint::folder_name(3);
  export_huggingface(checkpoint, scratch / "exported");
  const at::Tensor expected = logits_of(load_for_inference(checkpoint, comm::Mesh(), at::kDouble));

  const std::string rest =
      "[train]\nprecision = \"fp64\"\nglobal_batch_size = 4\n[data]\nsequence_length = 12\n";
  for (const auto& folder : {checkpoint, scratch / "exported"}) {
    CAPTURE(folder);
    const RunConfig config = parse_run_config(rest, "run.toml",
                                              {"data.train=" + (scratch / "train.txt").string(),
                                               "model.load=" + folder.string(), "model.dropout=0.3"},
                                              2);
    comm::run_ranks(2, [&](std::shared_ptr<comm::World> world) {
      const Context context = launch_on(std::move(world));
      const auto model = build_model(config, context, {.vocab_size = 257});
      CHECK(model->config().dropout == 0.3);
      CHECK(model->config().attention_dropout == 0.0);
      model->state().training = false;
      at::NoGradGuard no_grad;
      CHECK(at::equal(model->outputs({{"input_ids", ids()}}).at("logits"), expected));
    });
  }
}

TEST_CASE("an export brings its tokenizer along, and replaces only what it was told to") {
  const ScratchFolder scratch;
  const RunConfig config = small_run(scratch.path(), 1, {"train.steps=1", "schedule.warmup_steps=0"});
  run_trainer(config, Start::anew);
  const auto checkpoint = config.checkpoint_folder() / checkpoint::folder_name(1);
  const auto folder = scratch / "exported";
  std::filesystem::create_directory(folder);  // an empty one is as good as none
  CHECK(export_huggingface(checkpoint, folder) == "");
  const auto bytes = data::Tokenizer::load("bytes");
  const auto exported = data::Tokenizer::load(folder.string());
  CHECK(exported->vocab_size() == bytes->vocab_size());
  CHECK(exported->end_of_text() == bytes->end_of_text());
  std::string text = "Zażółć  \t\n 1234 naïve 漢字 🙂 don't";
  for (char c = 0; c < 127; ++c) text += c;
  const auto ids = exported->encode(text);
  CHECK(ids == bytes->encode(text));
  CHECK(exported->decode(ids) == text);

  std::ofstream(folder / "model-00001-of-00002.safetensors") << "stale";
  std::ofstream(folder / "notes.txt") << "mine";
  CHECK(error_of<ConfigError>([&] { export_huggingface(checkpoint, folder); }) ==
        folder.string() +
            ": holds a Hugging Face model already. Name another folder, or add --overwrite to replace it.");
  export_huggingface(checkpoint, folder, Overwrite::yes);
  CHECK_FALSE(std::filesystem::exists(folder / "model-00001-of-00002.safetensors"));
  CHECK(std::filesystem::exists(folder / "notes.txt"));
  CHECK(error_of<ConfigError>([&] { export_huggingface(checkpoint, scratch / "train.txt"); }) ==
        (scratch / "train.txt").string() + ": is a file. Name a folder to export to.");
  // To start from the run itself, its checkpoint is named.
  CHECK(error_of<ConfigError>([&] {
          small_run(scratch.path(), 1,
                    {"train.steps=1", "schedule.warmup_steps=0", "model.load=" + config.run.output});
        }) == "--set model.load: model.load = \"" + config.run.output +
                  "\" is the folder of a run. Its newest checkpoint: \"" + checkpoint.string() + "\".");
}

TEST_CASE("what is no model is refused by name") {
  const ScratchFolder scratch;
  const comm::Mesh alone;
  const std::string nowhere = scratch / "nowhere", empty = scratch / "some/folder";
  std::filesystem::create_directories(empty);
  const std::string wanted =
      " Name the output folder of a run (run.output), a checkpoint, or a Hugging Face folder.";
  CHECK_THROWS_WITH_AS(load_for_inference(nowhere, alone, at::kFloat),
                       (nowhere + ": no such folder." + wanted).c_str(), ConfigError);
  CHECK_THROWS_WITH_AS(
      load_for_inference(empty, alone, at::kFloat),
      (empty + ": holds neither config.json (a Hugging Face folder) nor a checkpoint." + wanted).c_str(),
      ConfigError);
}
