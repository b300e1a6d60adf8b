// SPDX-License-Identifier: Apache-2.0
// Saves a checkpoint and is killed on the way, for the tests of saving.
//
//   save_checkpoint FOLDER STEP OPERATION               # SIGKILL before the file system operation of this number, from 0
#include <ATen/ATen.h>
#include <unistd.h>

#include <csignal>

#include "colossal/checkpoint/store.h"

using namespace colossal;

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int64_t step = std::stoll(argv[2]);
  const int64_t deadly = std::stoll(argv[3]);
  int64_t operation = 0;
  const at::Tensor values = at::full({100}, step, at::kDouble);
  checkpoint::save({.folder = argv[1],
                    .step = step,
                    .tensors = {{"values", values, tensor::Layout::replicated({100}, comm::MeshShape())}},
                    .state = {},
                    .keep = 1,
                    .before_operation =
                        [&](const std::string&) {
                          if (operation++ == deadly) kill(getpid(), SIGKILL);
                        }},
                   comm::Group());
}
