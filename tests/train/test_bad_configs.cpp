// SPDX-License-Identifier: Apache-2.0
// What a person is told about words, sizes and models that cannot be.

#include <chrono>

#include "tests/support/images.h"
#include "tests/train/bad_configs.h"

using namespace colossal;
using namespace colossal::train;
using testing::BadConfig;
using testing::check;
using testing::told;

namespace {

const std::string kTrainKeys =
    "steps, global_batch_size, microbatch_size, precision, clip_norm, on_nonfinite, loss_scale, "
    "loss_scale_growth, "
    "loss_scale_backoff, loss_scale_interval, evaluate_every, evaluate_batches, sample_every, sample_prompt, "
    "sample_tokens, sample_temperature, sample_top_k, sample_top_p, profile, profile_start, profile_steps";

}  // namespace

TEST_CASE("spelling and syntax") {
  check({
      {"[modle]\nnum_layers = 2",
       "run.toml:2: unknown key \"modle.num_layers\". Did you mean \"model.num_layers\"?"},
      {"[model]\nnum_layer = 2",
       "run.toml:2: unknown key \"model.num_layer\". Did you mean \"model.num_layers\"?"},
      {"[train]\nlearning_rate = 1e-3",
       "run.toml:2: unknown key \"train.learning_rate\". Did you mean \"optimizer.learning_rate\"?"},
      {"[train]\nlr = 1e-3",
       "run.toml:2: unknown key \"train.lr\". Did you mean \"optimizer.learning_rate\"?"},
      {"[model]\nn_embd = 64",
       "run.toml:2: unknown key \"model.n_embd\". Did you mean \"model.hidden_size\"?"},
      {"[train]\nbatch-size = 64",
       "run.toml:2: unknown key \"train.batch-size\". Did you mean \"train.global_batch_size\"?"},
      {"[optimiser]\nname = \"sgd\"",
       "run.toml:2: unknown key \"optimiser.name\". Did you mean \"optimizer.name\"?"},
      {"steps = 5", "run.toml:1: unknown key \"steps\". Did you mean \"train.steps\"?"},
      {"[train]\nunicorns = 5",
       "run.toml:2: unknown key \"train.unicorns\". Keys of [train]: " + kTrainKeys + "."},
      {"[train]\nepochs = 3",
       "run.toml:2: unknown key \"train.epochs\". Runs are counted in train.steps, each of "
       "train.global_batch_size sequences or images."},
      {"[parallel]\nzero = 1",
       "run.toml:2: unknown key \"parallel.zero\". Keys of [parallel]: data, bucket_mb, overlap, tensor."},
      {"[zoo]\nunicorns = 5",
       "run.toml:2: unknown key \"zoo.unicorns\". Sections: run, model, model.rope_scaling, data, train, "
       "optimizer, "
       "schedule, parallel, parallel.tensor, checkpoint, comm."},
      {"train = 5",
       "run.toml:1: train = 5 is a whole number, not a table. Keys of [train]: " + kTrainKeys + "."},
      {"[train]\nsteps = = 5",
       "run.toml:2: not valid TOML: Error while parsing value: could not determine value type. The line is: "
       "steps = = 5"},
      {"[train]\nsteps = 5\nsteps = 6",
       "run.toml:3: train.steps is given twice, first on line 2. Remove one of the lines."},
      {"", "run.toml: data.train is missing. Write for example data.train = \"corpus.txt\"."},
  });
}

TEST_CASE("types and ranges") {
  check({
      {"[train]\nsteps = \"100\"",
       "run.toml:2: train.steps = \"100\" is text, not a whole number. Write train.steps = 100, "
       "without quotes."},
      {"[train]\nsteps = 1e3",
       "run.toml:2: train.steps = 1000.0 is not a whole number. Write train.steps = 1000."},
      {"[train]\nsteps = 0", "run.toml:2: train.steps = 0 is too small. Allowed: at least 1."},
      {"[train]\nglobal_batch_size = -8",
       "run.toml:2: train.global_batch_size = -8 is too small. Allowed: at least 1."},
      {"[train]\nprecision = \"float16\"",
       "run.toml:2: train.precision = \"float16\" is unknown. Allowed: fp32, bf16, fp16, fp64. Did you mean "
       "\"fp16\"?"},
      {"[train]\nprecision = 16",
       "run.toml:2: train.precision = 16 is a whole number, not text. Write train.precision = "
       "\"16\", in quotes."},
      {"[train]\non_nonfinite = \"ignore\"",
       "run.toml:2: train.on_nonfinite = \"ignore\" is unknown. Allowed: skip, stop."},
      {"[train]\nsample_top_p = 0",
       "run.toml:2: train.sample_top_p = 0 is too small. Allowed: above 0 and at most 1."},
      {"[optimizer]\nlearning_rate = 0",
       "run.toml:2: optimizer.learning_rate = 0 is too small. Allowed: above 0 and at most 1000."},
      {"[optimizer]\nlearning_rate = nan",
       "run.toml:2: optimizer.learning_rate = nan is not a finite number. Allowed: above 0 and at most "
       "1000."},
      {"[optimizer]\nbeta2 = 1.0",
       "run.toml:2: optimizer.beta2 = 1.0 is too large. Allowed: at least 0 and below 1."},
      {"[optimizer]\nname = \"adamww\"",
       "run.toml:2: optimizer.name = \"adamww\" is unknown. Allowed: adamw, adam, sgd, "
       "adafactor, lamb, lars. Did you mean \"adamw\"?"},
      {"[schedule]\nname = \"warmup_stable_decay\"",
       "run.toml:2: schedule.name = \"warmup_stable_decay\" is unknown. Allowed: constant, linear, cosine, "
       "cosine_restarts, polynomial, inverse_sqrt, wsd. "
       "Did you mean \"wsd\"?"},
      {"[model]\nfamily = \"gpt\"",
       "run.toml:2: model.family = \"gpt\" is unknown. Allowed: gpt2, llama, qwen2, palm, bert, vit. Did you "
       "mean \"gpt2\"?"},
      {"[model]\ndropout = 1.5",
       "run.toml:2: model.dropout = 1.5 is too large. Allowed: at least 0 and below 1."},
      {"[model]\ntie_embeddings = \"yes\"",
       "run.toml:2: model.tie_embeddings = \"yes\" is text, not true or false. Write "
       "model.tie_embeddings = true, without quotes."},
      {"[data]\ntrain = \"synthetic\"\nshuffle = 1",
       "run.toml:3: data.shuffle = 1 is a whole number, not true or false. Write data.shuffle = true."},
      {"[data]\ntrain = \"synthetic\"\nvalidation_fraction = 0.9",
       "run.toml:3: data.validation_fraction = 0.9 is too large. Allowed: at least 0 and at most 0.5."},
      {"[checkpoint]\nkeep = 0", "run.toml:2: checkpoint.keep = 0 is too small. Allowed: at least 1."},
      {"[comm]\ntimeout_seconds = 0",
       "run.toml:2: comm.timeout_seconds = 0 is too small. Allowed: at least 1 and at most 86400."},
      {"[comm]\nbackend = \"mpi\"",
       "run.toml:2: comm.backend = \"mpi\" is unknown. Allowed: auto, local, gloo, nccl. Did you mean "
       "\"gloo\"?"},
      {"[run]\nseed = -1", "run.toml:2: run.seed = -1 is too small. Allowed: at least 0."},
  });
}

TEST_CASE("tasks: keys that a family has no use for, masks, images") {
  const testing::ScratchFolder folder;
  const std::string at = folder.path().string();
  const auto images =
      testing::write_idx(folder.path(), "train", {.count = 4, .height = 6, .width = 6, .classes = 2});
  testing::write_file(folder / "lone-images-idx3-ubyte", testing::idx_header({1, 2, 2}) + "abcd");
  testing::write_file(folder / "text.txt", "text");
  testing::write_file(folder / "flat/1.png", "x");
  const std::string vit = "[model]\nfamily = \"vit\"\n", bert = "[model]\nfamily = \"bert\"\n";
  check({
      {bert + "[train]\nsample_every = 10",
       "run.toml:4: train.sample_every has no effect with model.family = \"bert\". Remove it, or set "
       "model.family to \"gpt2\" or "
       "\"llama\" or \"qwen2\" or \"palm\"."},
      {vit + "[data]\ntrain = \"synthetic\"\nsequence_length = 64",
       "run.toml:5: data.sequence_length has no effect with model.family = \"vit\". Remove it, or set "
       "model.family to \"gpt2\" or "
       "\"llama\" or \"qwen2\" or \"palm\" or \"bert\"."},
      {"[data]\ntrain = \"synthetic\"\nflip = true",
       "run.toml:3: data.flip has no effect with model.family = \"gpt2\". Remove it, or set model.family to "
       "\"vit\"."},
      {"[data]\ntrain = \"synthetic\"\nmlm_probability = 0.2",
       "run.toml:3: unknown key \"data.mlm_probability\". Did you mean \"data.mask_probability\"?"},
      {"[model]\nnext_sentence = true",
       "run.toml:2: model.next_sentence has no effect with model.family = \"gpt2\". Remove it, or set "
       "model.family to \"bert\"."},
      {bert + "[data]\ntrain = \"synthetic\"\nmask_probability = 0",
       "run.toml:5: data.mask_probability = 0 is too small. Allowed: above 0 and at most 1."},
      {bert + "[data]\ntrain = \"synthetic\"\nsequence_length = 4",
       "run.toml:5: data.sequence_length = 4 leaves no room for text beside 3 special tokens. Allowed: at "
       "least 5."},
      {bert + "next_sentence = false\n[data]\ntrain = \"synthetic\"\nsequence_length = 2",
       "run.toml:6: data.sequence_length = 2 leaves no room for text beside 2 special tokens. Allowed: at "
       "least 3."},
      {bert + "vocab_size = 259",
       "run.toml:3: model.vocab_size = 259 is smaller than the tokenizer \"bytes\", which has 260 ids "
       "([CLS], [SEP] and [MASK] among "
       "them). Set model.vocab_size to at least 260."},
      {vit + "image_size = 28\npatch_size = 5",
       "run.toml:4: model.patch_size = 5 does not divide model.image_size = 28. Nearest that do: 1, 2, 4, 7, "
       "14, 28."},
      {"[model]\npreset = \"vit-base-16\"\nimage_size = 100",
       "run.toml:3: model.patch_size = 16 does not divide model.image_size = 100. Nearest that do: 2, 4, 5, "
       "10, 20, 25."},
      {vit + "channels = 2", "run.toml:3: model.channels = 2. Allowed: 1 (grey) or 3 (red, green, blue)."},
      {vit + "num_classes = 1",
       "run.toml:3: model.num_classes = 1 is too small. Allowed: at least 2 and at most 16777216."},
      {vit + "[data]\ntrain = \"synthetic\"\npixel_std = [0.1, 0.2]",
       "run.toml:5: data.pixel_std = [0.1, 0.2] holds 2 numbers. Allowed: one, or one for each of 3 "
       "channels."},
      {vit + "[data]\ntrain = \"synthetic\"\npixel_std = 0",
       "run.toml:5: data.pixel_std = 0 is too small. Allowed: above 0."},
      {vit + "[data]\ntrain = [\"" + at + "/flat\", \"" + at + "/text.txt\"]",
       "run.toml:4: data.train names 2 sources of images. Allowed: one folder or one IDX file."},
      {vit + "[data]\ntrain = \"" + at + "/text.txt\"",
       "run.toml:4: data.train: " + at +
           "/text.txt: no images. Allowed: a folder that holds a folder of images for each class, or an IDX "
           "file, which is named like "
           "train-images-idx3-ubyte or train-images-idx3-ubyte.gz."},
      {vit + "[data]\ntrain = \"" + at + "/flat\"",
       "run.toml:4: data.train: " + at +
           "/flat: holds no folder. Expected: a folder of images for each class, two or more."},
      {vit + "[data]\ntrain = \"" + images.string() + "\"\nvalidation = \"" + at +
           "/lone-images-idx3-ubyte\"",
       "run.toml:5: data.validation: " + at +
           "/lone-images-idx3-ubyte: has no lone-labels-idx1-ubyte beside it, with the classes of the "
           "images."},
      {vit + "[data]\ntrain = \"" + at + "/trian-images-idx3-ubyte\"",
       "run.toml:4: data.train = \"" + at + "/trian-images-idx3-ubyte\" does not exist. Did you mean \"" +
           at + "/train-images-idx3-ubyte\"?"},
  });
}

TEST_CASE("model: heads, sizes, positions, presets") {
  check({
      {"[model]\nhidden_size = 384\nnum_heads = 5",
       "run.toml:3: model.num_heads = 5 does not divide model.hidden_size = 384. Nearest that do: 1, 2, 3, "
       "4, 6, 8."},
      {"[model]\nhidden_size = 100",
       "run.toml:2: model.num_heads = 6 does not divide model.hidden_size = 100. Nearest that do: 1, 2, 4, "
       "5, 10, 20."},
      {"[model]\nfamily = \"llama\"\nnum_kv_heads = 4",
       "run.toml:3: model.num_kv_heads = 4 does not divide model.num_heads = 6. Nearest that do: 1, 2, 3, "
       "6."},
      {"[model]\nfamily = \"llama\"\nhidden_size = 18",
       "run.toml:3: model.hidden_size / model.num_heads = 18 / 6 = 3 is odd. Rotary positions turn pairs: "
       "the size of a head "
       "must be even."},
      {"[model]\nnum_kv_heads = 2",
       "run.toml:2: model.num_kv_heads has no effect with model.family = \"gpt2\". Remove it, or "
       "set model.family to \"llama\" or \"qwen2\" or \"palm\"."},
      {"[model]\nrope_scaling = { factor = 8.0 }",
       "run.toml:2: model.rope_scaling has no effect with model.family = \"gpt2\", which learns its "
       "positions. Remove it."},
      {"[model]\nfamily = \"llama\"\nrope_scaling = { factor = 8.0, low_freq_factor = 4, high_freq_factor = "
       "4 }",
       "run.toml:3: model.rope_scaling.low_freq_factor = 4 is not below model.rope_scaling.high_freq_factor "
       "= 4. Llama 3 has "
       "1 and 4."},
      {"[model]\nfamily = \"llama\"\nrope_scaling = \"llama3\"",
       "run.toml:3: model.rope_scaling = \"llama3\" is text, not a table. Keys of [model.rope_scaling]: "
       "type, factor, "
       "low_freq_factor, high_freq_factor, original_max_positions."},
      {"[model]\nfamily = \"gpt2\"\npreset = \"gpt2-tiny\"",
       "run.toml:3: model.preset = \"gpt2-tiny\" is unknown. Allowed: quickstart, gpt2, gpt2-small, "
       "gpt2-124m, gpt2-medium, gpt2-large, gpt2-xl, gpt3-175b."},
      {"[model]\nfamily = \"gpt2\"\npreset = \"gpt2-smal\"",
       "run.toml:3: model.preset = \"gpt2-smal\" is unknown. Allowed: quickstart, gpt2, gpt2-small, "
       "gpt2-124m, gpt2-medium, gpt2-large, gpt2-xl, gpt3-175b. Did you mean \"gpt2-small\"?"},
      {"[model]\nfamily = \"gpt2\"\npreset = \"llama3-8b\"",
       "run.toml:3: model.preset = \"llama3-8b\" is of family llama, but model.family = \"gpt2\". Remove "
       "model.family, or set "
       "it to \"llama\"."},
      {"[model]\npreset = \"gpt2\"\n[data]\ntrain = \"synthetic\"\nsequence_length = 2048",
       "run.toml:5: data.sequence_length = 2048 is longer than model.max_positions = 1024. Set "
       "data.sequence_length to at "
       "most 1024, or model.max_positions to at least 2048."},
  });
}

TEST_CASE("a preset on the command line over sizes of the file") {
  const BadConfig file{
      "[model]\nfamily = \"gpt2\"\nnum_layers = 4\nhidden_size = 1600\nffn_size = 512\n"
      "dropout = 0.1\nnum_heads = 4",
      ""};
  CHECK(
      told(file, {"model.preset=gpt2-xl"}) ==
      "run.toml:3: model.num_layers = 4 overrides the preset gpt2-xl given with --set (48). Remove the line, "
      "or add --set model.num_layers=48.\n"
      "run.toml:5: model.ffn_size = 512 overrides the preset gpt2-xl given with --set (6400). Remove the "
      "line, or add --set model.ffn_size=6400.\n"
      "run.toml:7: model.num_heads = 4 overrides the preset gpt2-xl given with --set (25). Remove the line, "
      "or "
      "add --set model.num_heads=25.");
  // What is said on the command line too, or only in the file, is meant.
  CHECK(told(file, {"model.preset=gpt2-xl", "model.num_layers=48", "model.ffn_size=512",
                    "model.num_heads=32"}) == "accepted");
  CHECK(told({"[model]\npreset = \"gpt2-xl\"\nnum_layers = 4", ""}) == "accepted");
}

TEST_CASE("a model to start from") {
  const testing::ScratchFolder folder;
  testing::make_files(folder);
  const std::string at = folder.path().string();
  check({
      {"[model]\nload = \"" + at + "/corpus.txt\"",
       "run.toml:2: model.load = \"" + at +
           "/corpus.txt\" is a file. Name the folder that holds config.json "
           "and the weights."},
      {"[model]\nload = \"" + at + "/empty\"",
       "run.toml:2: model.load = \"" + at +
           "/empty\" has neither config.json (Hugging Face) nor manifest.json "
           "(checkpoint)."},
      {"[model]\nload = \"" + at + "/t5\"",
       "run.toml:2: " + at +
           "/t5/config.json: model_type = \"t5\" is unknown. Allowed: gpt2, llama, qwen2, palm, bert, vit."},
      {"[model]\nload = \"" COLOSSAL_ORACLES
       "/models/bert\"\n[data]\ntrain = \"synthetic\"\nsequence_length = 8",
       "run.toml:2: model.vocab_size = 128 is smaller than the tokenizer \"bytes\", which has 260 ids "
       "([CLS], [SEP] and [MASK] among "
       "them). Set model.vocab_size to at least 260."},
      {"[model]\nload = \"" + at + "/broken\"",
       "run.toml:2: model.load: " + at + "/broken/config.json: is not valid JSON: damaged near byte 2 of 1."},
      {"[model]\nload = \"" + at + "/untyped\"",
       "run.toml:2: model.load = \"" + at + "/untyped\": config.json is no JSON object with a model_type."},
      {"[model]\nload = \"" + at + "/small\"\nnum_layers = 3",
       "run.toml:3: model.num_layers = 3 contradicts model.load = \"" + at +
           "/small\", where it is 2. Remove one of them."},
      {"[model]\nload = \"" + at + "/odd\"",
       "run.toml:2: " + at +
           "/odd/config.json: scale_attn_by_inverse_layer_idx = true is not supported. Allowed: false."},
      {"[model]\nload = \"" + at + "/small\"\npreset = \"gpt2\"",
       "run.toml:3: model.preset has no effect with model.load = \"" + at + "/small\". Remove one of them."},
      {"[model]\nload = \"" + at + "/small\"\n[data]\ntrain = \"synthetic\"\nsequence_length = 1024",
       "run.toml:5: data.sequence_length = 1024 is longer than model.max_positions = 512. Set "
       "data.sequence_length to at "
       "most 512."},
  });
}

TEST_CASE("many problems at once, in order, quickly") {
  const auto begin = std::chrono::steady_clock::now();
  const std::string message =
      told({"[train]\nsteps = 0\nprecison = \"bf16\"\n\n[model]\nnum_heads = 7\n[optimizer]\n"
            "learning_rate = -1.0\n",
            ""},
           {"schedule.warmup=10", "data.sequence_length=abc", "nothing"});
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  CHECK(message ==
        "run.toml:2: train.steps = 0 is too small. Allowed: at least 1.\n"
        "run.toml:3: unknown key \"train.precison\". Did you mean \"train.precision\"?\n"
        "run.toml:6: model.num_heads = 7 does not divide model.hidden_size = 384. Nearest that do: 2, 3, 4, "
        "6, 8, 12.\n"
        "run.toml:8: optimizer.learning_rate = -1.0 is too small. Allowed: above 0 and at most 1000.\n"
        "--set schedule.warmup: unknown key \"schedule.warmup\". Did you mean \"schedule.warmup_steps\"?\n"
        "--set nothing: not of the form section.key=value. Write for example --set train.steps=100.\n"
        "--set data.sequence_length: data.sequence_length = \"abc\" is text, not a whole number. Write for "
        "example "
        "data.sequence_length = 256.");
  CHECK(seconds.count() < 0.5);
}

TEST_CASE("numbers that no computer counts to") {
  CHECK(told({"", ""}, {"train.steps=99999999999999999999"}) ==
        "--set train.steps: train.steps = 99999999999999999999 is too large. Allowed: whole numbers of 64 "
        "bits.");
}

TEST_CASE("the key that an option of another program means") {
  CHECK(nearest_run_key("lr") == "optimizer.learning_rate");
  CHECK(nearest_run_key("steps") == "train.steps");
  CHECK(nearest_run_key("unicorns") == std::nullopt);
}
