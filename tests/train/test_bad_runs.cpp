// SPDX-License-Identifier: Apache-2.0
// Runs that cannot be: batches and ranks, tensor parallelism, files, devices.
#include <ATen/Context.h>

#include "colossal/train/memory_check.h"
#include "colossal/train/outline.h"
#include "tests/train/bad_configs.h"

using namespace colossal;
using namespace colossal::train;
using testing::check;
using testing::told;

TEST_CASE("tensor parallelism") {
  check({
      {"[parallel]\ntensor = { mode = \"2d\", size = 3 }",
       "run.toml:2: parallel.tensor.size = 3 is not a square. Nearest sizes that are: 1 and 4.", 3},
      {"[parallel]\ntensor = { mode = \"2.5d\", size = 10, depth = 2 }",
       "run.toml:2: parallel.tensor.size = 10 is not depth x q x q with depth = 2. Nearest sizes that are: 8 "
       "and 18.",
       10},
      {"[parallel]\ntensor = { mode = \"3d\", size = 4 }",
       "run.toml:2: parallel.tensor.size = 4 is not a cube. Nearest sizes that are: 1 and 8.", 4},
      {"[parallel]\ntensor = { mode = \"1d\", size = 2, depth = 2 }",
       "run.toml:2: parallel.tensor.depth = 2 belongs to mode \"2.5d\".", 2},
      {"[parallel.tensor]\nsize = 2",
       "run.toml:2: parallel.tensor.size = 2 needs a mode: 1d, 1d-sequence, 2d, 2.5d or 3d.", 2},
      {"[parallel]\ntensor = { mode = \"2.5\", size = 2 }",
       "run.toml:2: parallel.tensor.mode = \"2.5\" is unknown. Allowed: none, 1d, 1d-sequence, 2d, 2.5d, "
       "3d. Did you mean \"2.5d\"?",
       2},
      {"[parallel]\ntensor = { mode = \"1d\", size = 3 }",
       "run.toml:2: parallel.tensor.size = 3 does not divide 4 ranks. Start 3 or 6 ranks.", 4},
      {"[parallel]\ndata = 2\ntensor = { mode = \"1d\", size = 3 }",
       "run.toml:2: parallel.data = 2 × parallel.tensor.size = 3 = 6 does not fill 4 ranks. Leave "
       "parallel.data out, or start 6 ranks.",
       4},
      {"[model]\nnum_heads = 6\n[parallel]\ntensor = { mode = \"1d\", size = 4 }",
       "run.toml:2: model.num_heads = 6 cannot be cut into 4 by parallel.tensor.mode = \"1d\" of 4 ranks. "
       "Nearest: 4 or 8, or parallel.tensor.size = 2.",
       4},
      {"[model]\nnum_heads = 4\n[parallel]\ntensor = { mode = \"1d\", size = 8 }",
       "run.toml:2: model.num_heads = 4 cannot be cut into 8 by parallel.tensor.mode = \"1d\" of 8 ranks. "
       "Nearest: 8, or parallel.tensor.size = 4.",
       8},
      {"[model]\nnum_heads = 4\n[parallel]\ndata = 1\ntensor = { mode = \"1d\", size = 8 }",
       "run.toml:2: model.num_heads = 4 cannot be cut into 8 by parallel.tensor.mode = \"1d\" of 8 ranks. "
       "Nearest: 8.",
       8},
      {"[parallel]\ntensor = { mode = \"2d\" }",
       "run.toml:2: parallel.tensor.mode = \"2d\" needs a size: with 4 ranks parallel.tensor.size = 4.", 4},
      {"[parallel]\ntensor = { mode = \"1d\" }",
       "run.toml:2: parallel.tensor.mode = \"1d\" needs a size: with 12 ranks parallel.tensor.size = 2, 3, "
       "4, "
       "6 or 12.",
       12},
      {"[parallel]\ntensor = { mode = \"2.5d\" }",
       "run.toml:2: parallel.tensor.mode = \"2.5d\" needs a size: with 8 ranks parallel.tensor.size = 4 or 8 "
       "with parallel.tensor.depth = 2.",
       8},
      {"[parallel]\ntensor = { mode = \"3d\" }",
       "run.toml:2: parallel.tensor.mode = \"3d\" needs a size: start 8 or 16 ranks and set "
       "parallel.tensor.size = 8.",
       10},
      {"[parallel]\ntensor = { mode = \"2.5d\", size = 8 }",
       "run.toml:2: parallel.tensor.size = 8 is not depth x q x q with depth = 1. Nearest sizes that are: 4 "
       "and 9. With 8 ranks: 4 or 8 with parallel.tensor.depth = 2.",
       8},
      {"[parallel]\ntensor = { mode = \"2d\", size = 2 }",
       "run.toml:2: parallel.tensor.size = 2 is not a square. Nearest sizes that are: 1 and 4. With 8 ranks: "
       "4.",
       8},
      {"[model]\nhidden_size = 390\nffn_size = 8\n[parallel]\ntensor = { mode = \"3d\", size = 8 }",
       "run.toml:2: model.hidden_size = 390 cannot be cut into 4 by parallel.tensor.mode = \"3d\" of 8 "
       "ranks. Nearest: 388 or 392.",
       8},
      // Neither whole heads of keys and values nor pieces of each.
      {"[model]\nfamily = \"llama\"\nnum_heads = 12\nnum_kv_heads = 4\nhidden_size = 768\nffn_size = 12\n"
       "[parallel]\ntensor = { mode = \"1d\", size = 3 }",
       "run.toml:4: model.num_kv_heads = 4 of 64 features each cannot be cut into 3 by parallel.tensor.mode "
       "= "
       "\"1d\" of 3 ranks. Nearest: 3 or 6, or model.head_dim = 60 or 66.",
       3},
      {"[model]\nfamily = \"llama\"\nnum_heads = 8\nnum_kv_heads = 2\nhidden_size = 80\nffn_size = 16\n"
       "[parallel]\ntensor = { mode = \"1d\", size = 4 }",
       "run.toml:4: model.num_kv_heads = 2 of 10 features each cannot be cut into 4 by parallel.tensor.mode "
       "= "
       "\"1d\" of 4 ranks. Nearest: 4, or model.head_dim = 8 or 12, or parallel.tensor.size = 2.",
       4},
      // What the contraction of an attention takes in is cut twice.
      {"[model]\nfamily = \"llama\"\nnum_heads = 3\nhead_dim = 16\nhidden_size = 36\nffn_size = 18\n"
       "[train]\nglobal_batch_size = 9\n[parallel]\ntensor = { mode = \"3d\", size = 27 }",
       "run.toml:4: model.num_heads × model.head_dim = 3 × 16 = 48 cannot be cut into 9 by "
       "parallel.tensor.mode = \"3d\" of 27 ranks. Nearest: model.head_dim = 12 or 18.",
       27},
      {"[train]\nmicrobatch_size = 2\n[parallel]\ntensor = { mode = \"3d\", size = 8 }",
       "run.toml:2: train.microbatch_size = 2 cannot be cut into 4 by parallel.tensor.mode = \"3d\" of 8 "
       "ranks. Nearest: 4.",
       8},
  });
}

TEST_CASE("a tensor mode as text on the command line") {
  const auto said = [](const std::string& change, int64_t world_size) {
    return told({"", "", world_size}, {change});
  };
  CHECK(said("parallel.tensor=2d", 4) ==
        "--set parallel.tensor: parallel.tensor = \"2d\" is text, not a table. Write --set "
        "parallel.tensor.mode=2d --set parallel.tensor.size=4");
  CHECK(said("parallel.tensor=2.5d", 8) ==
        "--set parallel.tensor: parallel.tensor = \"2.5d\" is text, not a table. Write --set "
        "parallel.tensor.mode=2.5d --set parallel.tensor.size=8 --set parallel.tensor.depth=2");
  CHECK(said("parallel.tensor=1d", 1) ==
        "--set parallel.tensor: parallel.tensor = \"1d\" is text, not a table. Write --set "
        "parallel.tensor.mode=1d --set parallel.tensor.size=2");
  CHECK(said("parallel.tensor=4d", 4) ==
        "--set parallel.tensor: parallel.tensor = \"4d\" is text, not a table. Keys of [parallel.tensor]: "
        "mode, "
        "size, depth, keep_gathered.");
}

TEST_CASE("a short trial of a run with a warm-up") {
  const testing::BadConfig file{"[train]\nsteps = 350\n[schedule]\nwarmup_steps = 60", ""};
  CHECK(told(file, {"train.steps=20"}) ==
        "--set train.steps: schedule.warmup_steps = 60 is not below train.steps = 20: the rate would never "
        "reach "
        "its peak. For a short trial add --set schedule.warmup_steps=2");
  CHECK(told(file, {"train.steps=20", "schedule.warmup_steps=2"}) == "accepted");
  CHECK(
      told(file, {"train.steps=20", "schedule.warmup_steps=20"}) ==
      "--set schedule.warmup_steps: schedule.warmup_steps = 20 is not below train.steps = 20: the rate would "
      "never reach its peak. Nearest: 19.");
}

TEST_CASE("batches, ranks, schedules, optimizers") {
  check({
      {"[train]\nglobal_batch_size = 10\nmicrobatch_size = 4",
       "run.toml:2: train.global_batch_size = 10 is not a multiple of train.microbatch_size × parallel.data "
       "= 4 × 2 = 8. "
       "Nearest: 8 or 16. Microbatch sizes that divide 5: 1, 5.",
       2},
      {"[train]\nmicrobatch_size = 16",
       "run.toml:2: train.global_batch_size = 8 is not a multiple of train.microbatch_size × parallel.data = "
       "16 × 1 = 16. "
       "Nearest: 16. Microbatch sizes that divide 8: 1, 2, 4, 8."},
      {"[train]\nglobal_batch_size = 10",
       "run.toml:2: train.global_batch_size = 10 cannot be shared evenly by 4 data-parallel ranks. Nearest: "
       "8 or 12. Ranks that can share 10: 1, 2, 5, 10.",
       4},
      {"[train]\nglobal_batch_size = 16",
       "run.toml:2: train.global_batch_size = 16 cannot be shared evenly by 7 data-parallel ranks. Nearest: "
       "14 or 21. Ranks that can share 16: 1, 2, 4, 8, 16.",
       7},
      {"[train]\nglobal_batch_size = 1000",
       "run.toml:2: train.global_batch_size = 1000 cannot be shared evenly by 449 data-parallel ranks. "
       "Nearest: 898 or 1347. Ranks that can share 1000: for example 50, 100, 125, 200, 250, 500.",
       449},
      {"[train]\nglobal_batch_size = 16\nmicrobatch_size = 4",
       "run.toml:2: train.global_batch_size = 16 is not a multiple of train.microbatch_size × parallel.data "
       "= 4 × 3 = 12. Nearest: 12 or 24. Ranks that can share 4 microbatches: 1, 2, 4.",
       3},
      {"[parallel]\ndata = 3",
       "run.toml:2: parallel.data = 3 does not fill 4 ranks. Set parallel.data = 4, or start 3 ranks.", 4},
      {"[train]\nsteps = 50\n[schedule]\nwarmup_steps = 50",
       "run.toml:4: schedule.warmup_steps = 50 is not below train.steps = 50: the rate would never reach its "
       "peak. Nearest: 49."},
      {"[schedule]\nwarmup_steps = 80\ntotal_steps = 80",
       "run.toml:2: schedule.warmup_steps = 80 is not below schedule.total_steps = 80: the rate would never "
       "reach its peak. "
       "Nearest: 79."},
      {"[schedule]\nname = \"wsd\"\nwarmup_steps = 600\ndecay_steps = 500",
       "run.toml:4: schedule.warmup_steps = 600 + schedule.decay_steps = 500 is more than train.steps = "
       "1000. "
       "schedule.decay_steps can be at most 400."},
      {"[schedule]\npower = 2.0",
       "run.toml:2: schedule.power has no effect with schedule.name = \"cosine\". Remove it, or set "
       "schedule.name to \"polynomial\"."},
      {"[optimizer]\nmomentum = 0.9",
       "run.toml:2: optimizer.momentum has no effect with optimizer.name = \"adamw\". Remove it, "
       "or set optimizer.name to \"sgd\" or \"lars\"."},
      {"[optimizer]\nname = \"sgd\"\nnesterov = true",
       "run.toml:3: optimizer.nesterov = true needs optimizer.momentum above 0. Write for example "
       "optimizer.momentum = 0.9."},
      {"[optimizer]\nname = \"adafactor\"\nrelative_step = true\nlearning_rate = 1e-3",
       "run.toml:4: optimizer.learning_rate has no effect with optimizer.relative_step = true. Remove it, or "
       "set "
       "optimizer.relative_step to false."},
      {"[train]\nloss_scale = 1024",
       "run.toml:2: train.loss_scale has no effect with train.precision = \"fp32\". Remove it, or "
       "set train.precision to \"fp16\"."},
      {"[train]\nsteps = 4\nprofile = true\n[schedule]\nname = \"constant\"",
       "run.toml:2: train.profile_start = 3 and train.profile_steps = 3 end at step 5, after train.steps = "
       "4."},
      {"[run]\ndevice = \"cpu\"\n[comm]\nbackend = \"nccl\"",
       "run.toml:4: comm.backend = \"nccl\" needs GPUs, but run.device = \"cpu\". Allowed there: auto, "
       "local, gloo."},
      {"[run]\ndevice = \"cuda\"\n[comm]\nbackend = \"local\"",
       "run.toml:4: comm.backend = \"local\" carries CPU tensors, but run.device = \"cuda\". Allowed there: "
       "auto, gloo, nccl."},
  });
}

TEST_CASE("models that the host cannot hold") {
  const auto parsed = [](const std::string& keys, int64_t world_size) {
    return parse_run_config("[model]\npreset = \"gpt2\"\n" + keys + "[data]\ntrain = \"synthetic\"\n",
                            "run.toml", {}, world_size);
  };
  constexpr int64_t kGiB = 1 << 30;
  const auto refusal = [&](const std::string& keys, int64_t world_size, int64_t available,
                           int64_t process_bytes = 0) -> std::string {
    try {
      check_memory(parsed(keys, world_size), world_size, process_bytes,
                   {.total = 8 * kGiB, .available = available});
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  // 124439808 parameters of 16 bytes each.
  CHECK(held_bytes(parsed("", 2)).total() == 16 * int64_t{124439808});
  CHECK(refusal("", 1, 16 * int64_t{124439808}) == "accepted");
  CHECK(
      refusal("", 1, 16 * int64_t{124439808} - 1) ==
      "model: weights, gradients and the state of adamw need 1.9 GiB; this host has 1.9 GiB available of 8.0 "
      "GiB. Nearest that fits: model.num_layers = 11.");
  CHECK(
      refusal("", 4, 4 * kGiB) ==
      "model: weights, gradients and the state of adamw need 1.9 GiB for each of 4 ranks; this host has 4.0 "
      "GiB available of 8.0 GiB. Nearest that fits: 2 ranks, or model.num_layers = 3.");
  // Room for three, and for one where a process needs 0.2 GiB: neither more nor what the batch cannot be shared by.
  const std::string batch = "[train]\nglobal_batch_size = 8\n";
  CHECK(refusal(batch, 4, 6 * kGiB).ends_with(" Nearest that fits: 2 ranks, or model.num_layers = 8."));
  CHECK(refusal(batch + "microbatch_size = 2\n", 4, 6 * kGiB)
            .ends_with(" fits: 2 ranks, or model.num_layers = 8."));
  CHECK(refusal("[train]\nglobal_batch_size = 15\n", 5, 6 * kGiB)
            .ends_with(" Nearest that fits: 3 ranks, or model.num_layers = 5."));
  CHECK(
      refusal(batch, 2, 4 * kGiB, kGiB / 5) ==
      "model: weights, gradients and the state of adamw need 1.9 GiB for each of 2 ranks, and the process of "
      "each 204.8 MiB; this host has 4.0 GiB available of 8.0 GiB. Nearest that fits: 1 rank, or "
      "model.num_layers = 11.");
  CHECK(refusal("[optimizer]\nname = \"sgd\"\n", 1, kGiB / 4) ==
        "model: weights, gradients and the state of sgd need 949.4 MiB; this host has 256.0 MiB available of "
        "8.0 "
        "GiB. One of its 12 layers alone needs 354.6 MiB. Take a smaller model, or share it among more hosts "
        "with parallel.tensor.");
  // A share each, with the rows that pad the vocabulary.
  const std::string halves = "[parallel]\ntensor = { mode = \"1d\", size = 2 }\n";
  CHECK(held_bytes(parsed(halves, 2)).total() == 16 * outline_of(parsed(halves, 2)).local_numel());
  CHECK(refusal(halves, 2, 2 * kGiB) == "accepted");
  CHECK(refusal(halves, 4, 2 * kGiB) ==
        "model: weights, gradients and the state of adamw need 955.8 MiB for each of 4 ranks; this host has "
        "2.0 "
        "GiB available of 8.0 GiB. Nearest that fits: 2 ranks, or model.num_layers = 3.");
}

TEST_CASE("files and folders") {
  const testing::ScratchFolder folder;
  testing::make_files(folder);
  const std::string at = folder.path().string();
  const auto data = [](const std::string& line) { return "[data]\n" + line; };
  check({
      {data("train = \"" + at + "/corups.txt\""), "run.toml:2: data.train = \"" + at +
                                                      "/corups.txt\" does not exist. Did you mean \"" + at +
                                                      "/corpus.txt\"?"},
      {data("train = \"no-such-text\""), "run.toml:2: data.train = \"no-such-text\" does not exist in " +
                                             std::filesystem::current_path().string() +
                                             ". Write \"synthetic\" for random tokens."},
      {data("train = \"a.txt,b.txt\""),
       "run.toml:2: data.train = \"a.txt,b.txt\" does not exist in " +
           std::filesystem::current_path().string() +
           ". Several files are a list: data.train = [\"a.txt\", \"b.txt\"]."},
      {data("train = \"synthetic\"\nvalidation = \"" + at + "/nothing*\""),
       "run.toml:3: data.validation: " + at + "/nothing.txt is empty. Name a file with text."},
      {data("train = []"),
       "run.toml:2: data.train = [] names no file. Write \"synthetic\" for random tokens."},
      {data("train = [\"" + at + "/corpus.txt\", \"synthetic\"]"),
       "run.toml:2: data.train[1] = \"synthetic\" stands among files. It can only stand alone."},
      {data("train = \"" + at + "/tokens.bin\""), "run.toml:2: data.train = \"" + at +
                                                      "/tokens.bin\" has no \"" + at +
                                                      "/tokens.idx\" beside it. Token files come in pairs."},
      {data("train = \"" + at + "/*.jsonl\""),
       "run.toml:2: data.train: " + at +
           "/*.jsonl: no such file, folder or pattern. Relative paths start at " +
           std::filesystem::current_path().string() + "."},
      {data("train = \"" + at + "/empty\""),
       "run.toml:2: data.train: " + at +
           "/empty: the folder holds no text. Allowed: .txt, .text, .md, .jsonl, "
           ".ndjson, .json (each also .gz, .zst), .idx with .bin."},
      {data("train = \"" + at + "/corpus.txt\"\n[model]\nvocab_size = 256"),
       "run.toml:4: model.vocab_size = 256 is smaller than the tokenizer \"bytes\", which has 257 ids. Set "
       "model.vocab_size to at least 257."},
      {data("train = \"synthetic\"\nvalidation = \"" + at + "/corpus.txt\"\nvalidation_fraction = 0.1"),
       "run.toml:4: data.validation_fraction = 0.1 has no effect with data.validation. Remove one of them."},
      {data("train = \"" + at + "/corpus.txt\"\n[train]\nevaluate_every = 10"),
       "run.toml:4: train.evaluate_every = 10 needs validation data. Set data.validation, or "
       "data.validation_fraction = "
       "0.01."},
      {data("train = \"synthetic\"\ntokenizer = \"" + at + "/tokens.json\""),
       "run.toml:3: data.tokenizer = \"" + at + "/tokens.json\" does not exist. Did you mean \"" + at +
           "/tokens.bin\"?"},
      {data("train = \"synthetic\"\ntokenizer = \"" + at + "/empty\""),
       "run.toml:3: data.tokenizer = \"" + at + "/empty\" is a folder without tokenizer.json."},
      {"[run]\noutput = \"" + at + "/corpus.txt/run\"", "run.toml:2: run.output = \"" + at +
                                                            "/corpus.txt/run\" cannot be created: " + at +
                                                            "/corpus.txt is a file, not a folder."},
      {"[run]\noutput = \"\"",
       "run.toml:2: run.output = \"\" names no folder. Write for example run.output = \"runs/first\"."},
  });
}

TEST_CASE("a machine without GPUs") {
  if (at::hasCUDA()) {
    MESSAGE("left out: this machine has a GPU");
    return;
  }
  check({
      {"[run]\ndevice = \"cuda\"",
       "run.toml:2: run.device = \"cuda\", but this build or this machine has no GPU (`colossal doctor` "
       "lists the "
       "backends). Allowed here: auto, cpu."},
      {"[comm]\nbackend = \"nccl\"",
       "run.toml:2: comm.backend = \"nccl\" needs GPUs, but this build or this machine has none (`colossal "
       "doctor` lists "
       "the backends). Allowed here: auto, local, gloo."},
  });
}
