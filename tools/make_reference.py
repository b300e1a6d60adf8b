#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what `colossal verify` compares with: the numbers of transformers for a Hugging Face folder.

    pip install torch "transformers>=5" safetensors numpy      # in an environment of your own
    tools/make_reference.py MODEL_DIR                          # MODEL_DIR/reference.safetensors and tolerance.json
    colossal verify MODEL_DIR -n 2

reference.safetensors, all in float64: the batch (input_ids, attention_mask and labels [rows, tokens]; BERT: token_type_ids, too,
and next_sentence_label [rows]; ViT: pixel_values and labels [rows]); logits; loss; grad.NAME of every parameter; loss_after_step,
the losses of the AdamW steps (learning rate 1e-3, betas 0.9 and 0.95, eps 1e-8, decay 0.1 of matrices). tolerance.json: how far the
same in float32 is from it. Memory: about 50 bytes per parameter.
"""
import argparse
import copy
import json
import pathlib
import tempfile


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="Hugging Face folder of GPT-2, Llama, Qwen2, BERT or ViT")
    parser.add_argument("--output", type=pathlib.Path, help="default: reference.safetensors in the folder; tolerance.json goes beside it")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=16, help="in a row, at least 2; not for images")
    parser.add_argument("--steps", type=int, default=10, help="of AdamW")
    parser.add_argument("--seed", type=int, default=1, help="of the tokens")
    parser.add_argument("--batch", type=pathlib.Path, help="take the inputs of this reference instead of random ones")
    arguments = parser.parse_args()
    if arguments.tokens < 2 or arguments.rows < 1 or arguments.steps < 1:
        parser.error("needs at least --rows 1, --tokens 2 and --steps 1")
    return arguments


ARGUMENTS = read_arguments() if __name__ == "__main__" else None  # --help needs nothing of what follows

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.overrides import TorchFunctionMode


class Float64(TorchFunctionMode):
    """transformers forms norms, softmax and rotary angles in float32 whatever the model's dtype: here float32 means float64."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        double = lambda a: torch.float64 if a is torch.float32 else a
        if function is torch.Tensor.float:
            function = torch.Tensor.double
        return function(*map(double, args), **{key: double(value) for key, value in (kwargs or {}).items()})

    def __enter__(self):
        torch.set_default_dtype(torch.float64)
        return super().__enter__()

    def __exit__(self, *error):
        torch.set_default_dtype(torch.float32)
        return super().__exit__(*error)


def model_class(config):
    """The class whose weights the folder holds; of older folders that do not say it, the causal language model."""
    name = (config.architectures or ["AutoModelForCausalLM"])[0]
    return getattr(transformers, name, transformers.AutoModelForCausalLM)


def make_batch(config, rows, tokens, seed):
    """Random inputs; every other row of tokens is padded on the right and some labels are ignored, so that masks are tested too."""
    generator = torch.Generator().manual_seed(seed)
    integers = lambda high, *shape: torch.randint(high, shape, generator=generator)
    if config.model_type == "vit":
        side = config.image_size
        pixels = torch.randn(rows, config.num_channels, side, side, generator=generator, dtype=torch.float32)
        return {"pixel_values": pixels, "labels": integers(config.num_labels, rows)}
    ids = integers(config.vocab_size - 1, rows, tokens)
    pad = config.pad_token_id if config.pad_token_id is not None else config.vocab_size - 1
    ids += ids >= pad  # never the padding token: its row of the embedding gets no gradient in transformers
    mask = torch.ones_like(ids)
    for row in range(1, rows, 2):
        mask[row, int(torch.randint(tokens // 2 + 1, tokens + 1, (1,), generator=generator)):] = 0
    batch = {"input_ids": ids, "attention_mask": mask}
    ignored = (mask == 0) | (torch.rand(ids.shape, generator=generator) < 0.1)
    if config.model_type == "bert":
        batch["token_type_ids"] = integers(config.type_vocab_size, rows, tokens)
        if config.architectures == ["BertForPreTraining"]:
            batch["next_sentence_label"] = integers(2, rows)
    return batch | {"labels": ids.masked_fill(ignored, -100)}


def build(folder, weights, dtype):
    """A new model, not the one that was loaded: so its rotary frequencies are exact in `dtype`."""
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    config._attn_implementation = "eager"
    model = model_class(config)._from_config(config).to(dtype)
    model.load_state_dict(weights)
    model.tie_weights()
    return model.eval()  # no dropout


def by_file_names(model, gradients):
    """Under the names that save_pretrained gives to parameters, which may be others than those of the modules."""
    with tempfile.TemporaryDirectory() as folder:
        holder = copy.deepcopy(model)
        for name, parameter in holder.named_parameters():
            parameter.data = gradients[name]
        holder.save_pretrained(folder)
        return {f"grad.{name}": value for file in pathlib.Path(folder).glob("*.safetensors") for name, value in load_file(file).items()}


def run(model, batch, steps):
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
                                  lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    values, losses = {}, []
    for step in range(steps):
        optimizer.zero_grad()
        output = model(**{name: value.to(model.dtype) if value.is_floating_point() else value for name, value in batch.items()})
        output.loss.backward()
        if step == 0:
            logits = output.prediction_logits if "prediction_logits" in output else output.logits
            values = {"logits": logits, "loss": output.loss}
            if "seq_relationship_logits" in output:
                values["seq_relationship_logits"] = output.seq_relationship_logits
            values |= by_file_names(model, {name: p.grad for name, p in model.named_parameters()})
            values = {name: value.detach().clone().contiguous() for name, value in values.items()}
        losses.append(output.loss.detach().to(values["loss"].dtype))
        optimizer.step()
        print(f"{values['loss'].dtype} step {step + 1}: loss {losses[-1]:.6f}", flush=True)
    return values | {"loss_after_step": torch.stack(losses)}


def tolerance(exact, rounded, prefix):
    """The worst error in float32, and never less than two roundings of the largest value."""
    names = [name for name in exact if name == prefix or prefix == "grad." and name.startswith(prefix)]
    error = max(float((exact[name] - rounded[name]).abs().max()) for name in names)
    return max(error, 2.5e-7 * max(1.0, *(float(exact[name].abs().max()) for name in names)))


def main(arguments):
    path = arguments.output or arguments.model / "reference.safetensors"
    config = transformers.AutoConfig.from_pretrained(arguments.model, local_files_only=True)
    weights = model_class(config).from_pretrained(arguments.model, local_files_only=True, dtype="auto").state_dict()
    batch = make_batch(config, arguments.rows, arguments.tokens, arguments.seed)
    if arguments.batch:
        given = load_file(arguments.batch)
        batch = {name: given[name] for name in batch}
    with Float64():
        exact = run(build(arguments.model, weights, torch.float64), batch, arguments.steps)
    rounded = run(build(arguments.model, weights, torch.float32), batch, arguments.steps)

    save_file(batch | exact, path)
    prefixes = {"max_abs_logits": "logits", "abs_loss": "loss", "max_abs_grad": "grad.", "max_abs_loss_after_step": "loss_after_step"}
    tolerances = {key: tolerance(exact, rounded, prefix) for key, prefix in prefixes.items()}
    path.with_name("tolerance.json").write_text(json.dumps(tolerances, indent=2) + "\n")
    print(path)


if __name__ == "__main__":
    main(ARGUMENTS)
