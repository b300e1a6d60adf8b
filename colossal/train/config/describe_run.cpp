// SPDX-License-Identifier: Apache-2.0
// Keys of [run], [data], [parallel], [checkpoint] and [comm].
#include "colossal/train/config/describe.h"
#include "colossal/train/config/model_sizes.h"

namespace colossal::train {
void describe_run(config::Section<RunSection>& s) {
  s.key("name", &RunSection::name, "Name of the run in reports and progress lines.")
      .unset_means("the name of the file without .toml");
  s.key("output", &RunSection::output,
        "Folder of everything the run writes: metrics, checkpoints, TensorBoard events, the resolved "
        "configuration.")
      .unset_means("runs/<run.name>")
      .also_called({"output_dir", "out_dir", "save_dir", "dir", "folder"});
  s.key("seed", &RunSection::seed,
        "Seed of weights, dropout, data order and sampling. The layout does not matter to it.")
      .at_least(0)
      .also_called({"random_seed", "rng_seed"});
  s.key("device", &RunSection::device,
        "Where to compute. auto: a GPU where this build and the machine have one.")
      .one_of({"auto", "cpu", "cuda"})
      .meant("gpu", "cuda");
  s.key("threads", &RunSection::threads,
        "Threads of each rank; 0 shares the cores of the host evenly among its ranks.")
      .at_least(0)
      .at_most(4096)
      .also_called({"num_threads", "omp_num_threads"});
  s.key("log_every", &RunSection::log_every,
        "Steps between two lines of progress where the output is no terminal; metrics.jsonl has every step.")
      .at_least(1)
      .unset_means("about fifty lines in all")
      .also_called({"log_interval", "logging_steps"});
  s.choice("progress", &RunSection::progress,
           {{"auto", ProgressStyle::automatic},
            {"bar", ProgressStyle::bar},
            {"lines", ProgressStyle::lines},
            {"none", ProgressStyle::none}},
           "What the terminal shows. auto: a bar on a terminal, plain lines elsewhere.");
  s.key("tensorboard", &RunSection::tensorboard, "Write TensorBoard event files too.");
}

namespace {

using models::Task;

void describe_text(config::Section<DataSection>& s) {
  const std::vector<std::string> families = families_with({Task::causal_language, Task::masked_language});
  s.key("tokenizer", &DataSection::tokenizer,
        "A tokenizer.json or a folder that has one; \"bytes\" needs no file: one token per byte.")
      .only_with("model.family", families)
      .also_called({"tokenizer_path", "tokenizer_file", "vocab_file"});
  s.key("sequence_length", &DataSection::sequence_length, "Tokens of one training sequence.")
      .at_least(1)
      .at_most(1 << 24)
      .only_with("model.family", families)
      .also_called(
          {"seq_length", "seq_len", "context_length", "block_size", "max_length", "max_seq_len", "sequence"});
  s.key("text_key", &DataSection::text_key, "Field of a .jsonl line that holds the text.")
      .only_with("model.family", families);
  s.key("mask_probability", &DataSection::mask_probability,
        "Share of the tokens that are to be filled in: of them 80 % become [MASK], 10 % a random token, 10 % "
        "stay.")
      .above(0)
      .at_most(1)
      .only_with("model.family", families_with({Task::masked_language}))
      .also_called({"mlm_probability", "masked_lm_prob"});
}

void describe_images(config::Section<DataSection>& s) {
  const std::vector<std::string> families = families_with({Task::image_classification});
  s.key("pixel_mean", &DataSection::pixel_mean,
        "Taken from pixels between 0 and 1, before they are divided by data.pixel_std. One number, or one "
        "per channel.")
      .at_least(0)
      .at_most(1)
      .only_with("model.family", families)
      .also_called({"image_mean", "mean"});
  s.key("pixel_std", &DataSection::pixel_std,
        "What pixels less data.pixel_mean are divided by. One number, or one per channel.")
      .above(0)
      .only_with("model.family", families)
      .also_called({"image_std", "std"});
  s.key("flip", &DataSection::flip, "Mirror every other training image, left to right.")
      .only_with("model.family", families)
      .also_called({"horizontal_flip", "random_flip", "hflip"});
  s.key("shift", &DataSection::shift,
        "Move training images by up to so many pixels along each side, at random; black moves in.")
      .at_least(0)
      .at_most(65536)
      .only_with("model.family", families)
      .also_called({"random_crop", "crop_padding", "padding"});
}

}  // namespace

void describe_data(config::Section<DataSection>& s) {
  s.key("train", &DataSection::train,
        "Training data: files, folders or patterns with * of plain text, .jsonl (also .gz, .zst), or tokens "
        "(.bin "
        "with .idx). For vit one folder with a folder of images for each class, or one IDX file of images "
        "whose labels lie beside it. "
        "\"synthetic\" for random tokens or pixels.")
      .required()
      .example("\"corpus.txt\"")
      .also_called({"path", "files", "dataset", "data_path", "train_path", "train_files", "train_data"});
  s.key("validation", &DataSection::validation,
        "Validation data, as data.train. Empty: see data.validation_fraction.")
      .example("\"validation.txt\"")
      .also_called({"valid", "val", "eval", "test", "val_path", "valid_path"});
  s.key("validation_fraction", &DataSection::validation_fraction,
        "Share of the training data that is held out for validation when data.validation is empty.")
      .at_least(0)
      .at_most(0.5)
      .also_called({"val_fraction", "split", "valid_fraction"});
  describe_text(s);
  describe_images(s);
  s.key("shuffle", &DataSection::shuffle, "Shuffle the sequences anew in every epoch, by run.seed.");
  s.key("prefetch", &DataSection::prefetch, "Microbatches that a reader thread prepares ahead.")
      .at_least(1)
      .at_most(1024)
      .also_called({"num_workers", "prefetch_factor"});
  s.key("cache", &DataSection::cache, "Folder for tokenized data, reused by later runs.")
      .unset_means("<run.output>/tokens");
}

void describe_parallel(config::Section<ParallelSection>& s) {
  s.key("data", &ParallelSection::data,
        "Data-parallel ranks: replicas of the model, each with its share of the batch.")
      .at_least(1)
      .unset_means("all ranks / parallel.tensor.size")
      .also_called({"dp", "data_parallel", "data_parallel_size", "dp_size", "replicas"});
  s.table("tensor", &ParallelSection::tensor, parallel::kTensorSectionHelp, parallel::describe_tensor);
  s.key("bucket_mb", &ParallelSection::bucket_mb,
        "Gradients below 1 MiB are summed over the data ranks in buckets of this many MiB, each as soon as "
        "it is "
        "full; larger ones alone.")
      .above(0)
      .at_most(65536)
      .also_called({"bucket_size", "bucket_cap_mb"});
  s.key("overlap", &ParallelSection::overlap, "Sum gradients while the backward pass still runs.");
}

void describe_checkpoint(config::Section<CheckpointSection>& s) {
  s.key("every", &CheckpointSection::every,
        "Save after every so many steps, below <run.output>/checkpoints; 0: only as checkpoint.save_at_end "
        "says.")
      .at_least(0)
      .also_called({"save_every", "save_interval", "save_steps", "interval", "checkpoint_interval"});
  s.key("keep", &CheckpointSection::keep,
        "Newest checkpoints to keep; older ones are deleted once a newer one is complete.")
      .at_least(1)
      .also_called({"keep_last", "save_total_limit", "max_to_keep"});
  s.key("save_at_end", &CheckpointSection::save_at_end,
        "Save after the last step, also when checkpoint.every is 0.")
      .also_called({"save_last", "save_final"});
}

void describe_comm(config::Section<CommSection>& s) {
  s.key("backend", &CommSection::backend,
        "What carries collectives. auto: shared memory between ranks of one host, gloo between hosts, nccl "
        "on GPUs.")
      .one_of({"auto", "local", "gloo", "nccl"})
      .meant("mpi", "gloo")
      .meant("shm", "local");
  s.key(
       "timeout_seconds", &CommSection::timeout_seconds,
       "A collective in which nothing moves for so long is a hang: the run stops and names the missing rank.")
      .at_least(1)
      .at_most(86400)
      .also_called({"timeout", "timeout_s"});
  s.key(
       "connect_timeout_seconds", &CommSection::connect_timeout_seconds,
       "Ranks that have not found each other after so long end with an error; more where hosts start slowly.")
      .at_least(1)
      .at_most(86400);
}

}  // namespace colossal::train
