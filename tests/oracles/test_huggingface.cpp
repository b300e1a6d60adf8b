// SPDX-License-Identifier: Apache-2.0
// Folders written by transformers: both spellings of config.json, and the same names, shapes, dtypes and bytes after a round trip.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "colossal/base/error.h"
#include "colossal/checkpoint/huggingface.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/models/family.h"
#include "colossal/nn/dense_factory.h"
#include "colossal/tensor/redistribute.h"
#include "tests/oracles/models.h"
#include "tests/support/error.h"
#include "tests/support/scratch.h"

using namespace colossal;
using namespace colossal::checkpoint;
using colossal::testing::ScratchFolder;

namespace {

std::vector<nn::Parameter> load(const HuggingFaceFolder& folder, std::shared_ptr<models::Model>& model,
                                at::ScalarType dtype) {
  nn::DenseFactory make(comm::Mesh(), std::make_shared<nn::StepState>(), {.compute = dtype});
  model = models::build(folder.config(), make);
  std::vector<nn::Parameter> parameters = nn::parameters(*model, comm::Mesh());
  at::NoGradGuard no_grad;
  for (const nn::Parameter& p : parameters) at::Tensor(p.tensor).fill_(std::nan(""));
  folder.load(parameters, 0);
  for (const nn::Parameter& p : parameters) {
    CAPTURE(p.name);
    CHECK(at::isfinite(p.tensor).all().item<bool>());  // every element came from the file
  }
  return parameters;
}

void check_same(const SafetensorsSet& a, const SafetensorsSet& b) {
  CHECK(a.names() == b.names());
  for (const std::string& name : a.names()) {
    CAPTURE(name);
    CHECK(a.info(name).shape == b.info(name).shape);
    CHECK((a.info(name).dtype == b.info(name).dtype));
    const auto x = a.bytes(name);
    const auto y = b.bytes(name);
    CHECK(x.size() == y.size());
    CHECK(std::memcmp(x.data(), y.data(), x.size()) == 0);
  }
}

// A copy of the folder whose weights went through `change`.
void rewrite(const std::filesystem::path& from, const std::filesystem::path& to,
             const std::function<void(std::map<std::string, at::Tensor>&)>& change) {
  const SafetensorsSet source(from);
  std::map<std::string, at::Tensor> tensors;
  for (const std::string& name : source.names()) tensors[name] = source.read(name);
  change(tensors);
  std::vector<TensorInfo> infos;
  for (const auto& [name, t] : tensors)
    infos.push_back({.name = name, .dtype = t.scalar_type(), .shape = t.sizes().vec()});
  SafetensorsSetWriter writer(to, infos);
  for (const auto& [name, t] : tensors) writer.write(name, t);
  writer.close();
  write_file_durably(to / "config.json", read_file(from / "config.json"));
}

// Files that hold more than the model's tensors come back without it.
void check_kept(const SafetensorsSet& all, const SafetensorsSet& kept,
                const std::vector<std::string>& dropped) {
  std::vector<std::string> names = kept.names();
  names.insert(names.end(), dropped.begin(), dropped.end());
  std::ranges::sort(names);
  CHECK(names == all.names());
}

void round_trip(const std::filesystem::path& path, at::ScalarType dtype, uint64_t max_file_bytes) {
  ScratchFolder temp;
  const HuggingFaceFolder folder(path);
  std::shared_ptr<models::Model> model;
  const auto parameters = load(folder, model, dtype);
  HuggingFaceSaveOptions options = folder.save_options();
  options.max_file_bytes = max_file_bytes;
  save_huggingface(temp / "out", folder.config(), parameters, comm::Mesh(), options);
  const HuggingFaceFolder copy(temp / "out");
  CHECK((max_file_bytes > 1'000'000) == (copy.weights().readers().size() == 1));
  check_same(folder.weights(), copy.weights());
  CHECK(copy.config_json() == folder.config_json());
}

std::string folder_error(const std::filesystem::path& path) {
  return colossal::testing::error_of([&] { HuggingFaceFolder folder(path); });
}

}  // namespace

TEST_CASE(
    "every tensor survives a round trip byte by byte, through fp32 and fp64, in one file and in several") {
  for (const char* name : kModelCases) {
    CAPTURE(name);
    round_trip(kModels / name, at::kFloat, 5'000'000'000);
    round_trip(kModels / name, at::kDouble, 50'000);
  }
}

TEST_CASE("bf16 tensors, names without prefix, repeated heads and old buffers survive or are left out") {
  ScratchFolder temp;
  std::filesystem::create_directory(temp / "bf16");
  rewrite(kModels / "qwen2", temp / "bf16", [](auto& tensors) {
    for (auto& [name, t] : tensors) t = t.to(name.ends_with("norm.weight") ? at::kFloat : at::kBFloat16);
  });
  round_trip(temp / "bf16", at::kFloat, 5'000'000'000);

  std::filesystem::create_directory(temp / "bare");
  rewrite(kModels / "gpt2", temp / "bare", [](auto& tensors) {
    std::map<std::string, at::Tensor> bare;
    for (const auto& [name, t] : tensors) bare[name.substr(std::string("transformer.").size())] = t;
    bare["lm_head.weight"] = bare["wte.weight"];
    tensors = bare;
  });
  round_trip(temp / "bare", at::kFloat, 5'000'000'000);

  std::filesystem::create_directory(temp / "buffers");
  rewrite(kModels / "gpt2", temp / "buffers", [](auto& tensors) {
    tensors["transformer.h.0.attn.bias"] = at::ones({1, 1, 64, 64}, at::kBool);
    tensors["transformer.h.0.attn.masked_bias"] = at::ones({});
  });
  CHECK(folder_error(temp / "buffers") == "no error");
}

TEST_CASE(
    "BERT folders as others wrote them: repeated heads, buffers, heads that are not asked for, old names of "
    "norms") {
  ScratchFolder temp;
  const auto write = [&](const char* name, const char* from, const auto& change) {
    std::filesystem::create_directory(temp / name);
    rewrite(kModels / from, temp / name, change);
    return temp / name;
  };
  const auto repeated = [](auto& tensors) {
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"];
    tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"];
  };
  round_trip(write("repeated", "bert", repeated), at::kFloat, 5'000'000'000);

  const auto untied = write("untied", "bert-mlm", [](auto& tensors) {
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"] + 1;
  });
  Json json = Json::parse(read_file(untied / "config.json"));
  CHECK(folder_error(untied) ==
        fmt::format(
            "{}: the weights do not fit config.json\n  not tied: \"cls.predictions.decoder.weight\" differs "
            "from \"bert.embeddings.word_embeddings.weight\", config.json says they are one",
            untied.string()));
  json["tie_word_embeddings"] = false;
  write_file_durably(untied / "config.json", json.dump());
  round_trip(untied, at::kFloat, 5'000'000'000);

  // As bert-base-uncased is published: the weights of pretraining, the config of masked tokens alone.
  const auto published = write("published", "bert", [](auto& tensors) {
    std::map<std::string, at::Tensor> old;
    for (const auto& [name, t] : tensors) {
      std::string renamed = name;
      for (const auto& [today, before] :
           {std::pair("LayerNorm.weight", "LayerNorm.gamma"), {"LayerNorm.bias", "LayerNorm.beta"}}) {
        if (name.ends_with(today)) renamed = name.substr(0, name.size() - strlen(today)) + before;
      }
      old[renamed] = t;
    }
    old["bert.embeddings.position_ids"] = at::arange(64).unsqueeze(0);
    tensors = old;
  });
  json = Json::parse(read_file(published / "config.json"));
  json["architectures"] = {"BertForMaskedLM"};
  write_file_durably(published / "config.json", json.dump());
  const HuggingFaceFolder folder(published), modern(kModels / "bert");
  std::shared_ptr<models::Model> model;
  const auto parameters = load(folder, model, at::kFloat);
  save_huggingface(temp / "out", folder.config(), parameters, comm::Mesh(), folder.save_options());
  const HuggingFaceFolder out(temp / "out");
  check_kept(modern.weights(), out.weights(),
             {"bert.pooler.dense.bias", "bert.pooler.dense.weight", "cls.seq_relationship.bias",
              "cls.seq_relationship.weight"});
  for (const std::string& name : out.weights().names())
    CHECK(at::equal(out.weights().read(name), modern.weights().read(name)));
}

TEST_CASE("both spellings of config.json say the same") {
  for (const char* name : {"llama", "llama3", "qwen2"}) {
    CAPTURE(name);
    const auto read = [&](const char* file) {
      const Json json = Json::parse(read_file(kModels / name / file));
      return models::foreign_family(json["model_type"], "config.json").foreign.read(json, "config.json");
    };
    const models::ModelConfig config = read("config.json");
    CHECK(config == read("config.legacy.json"));
    const models::Family& family = models::family(config.family);
    Json both = family.foreign.write(config);
    CHECK(family.foreign.read(both, "ours") == config);
    both.erase("rope_parameters");
    CHECK(family.foreign.read(both, "ours, 4.x") == config);
  }
}

TEST_CASE("a model of our own becomes a folder and comes back") {
  ScratchFolder temp;
  for (const char* family : {"gpt2", "llama", "qwen2", "palm", "bert", "vit"}) {
    models::ModelConfig config{.family = family,
                               .num_layers = 2,
                               .hidden_size = 24,
                               .num_heads = 6,
                               .num_kv_heads = 6,
                               .vocab_size = 37};
    if (config.family == "llama") config.num_kv_heads = 2;
    if (config.family == "palm") config.num_kv_heads = 0;  // one
    if (config.family == "vit") {
      config.vocab_size = 0;
      config.image = {.size = 12, .patch = 4, .channels = 1, .num_classes = 7};
    }
    config.next_sentence = config.family == "bert";
    config.tie_embeddings = config.family != "llama";
    config = models::complete(config);
    nn::DenseFactory make(comm::Mesh(), std::make_shared<nn::StepState>());
    const auto model = models::build(config, make);
    const auto parameters = nn::parameters(*model, comm::Mesh());
    nn::initialize(parameters, 5, 0);
    save_huggingface(temp / family, config, parameters, comm::Mesh());
    const HuggingFaceFolder folder(temp / family);
    CHECK(folder.config() == config);
    std::shared_ptr<models::Model> copy;
    const auto loaded = load(folder, copy, at::kFloat);
    REQUIRE(loaded.size() == parameters.size());
    for (size_t i = 0; i < loaded.size(); ++i) CHECK(at::equal(loaded[i].tensor, parameters[i].tensor));
  }
}

TEST_CASE("a rank of a sharded layout reads its slices only, and they make up the whole") {
  const HuggingFaceFolder folder(kModels / "llama");
  std::shared_ptr<models::Model> model;
  const auto full = load(folder, model, at::kFloat);
  const comm::MeshShape mesh({{"row", 2}, {"tensor", 2}});
  for (const nn::Parameter& p : full) {
    const tensor::Shape shape = p.layout().shape();
    std::vector<comm::Axes> dims(shape.size());
    dims[shape.size() >= 3 ? shape.size() - 2 : 0] = {"tensor"};
    if (shape.size() >= 2) dims.back() = {"row"};
    const tensor::Layout layout(shape, mesh, dims);
    for (int rank = 0; rank < 4; ++rank) {
      const tensor::Slice slice = layout.slice(rank);
      at::Tensor local = at::full({layout.local_numel()}, std::nan(""), at::kFloat);
      folder.load({{p.name, local, {.layout = layout}}}, rank);
      at::Tensor expected = p.tensor.detach().view(shape);
      for (size_t d = 0; d < shape.size(); ++d) {
        expected = expected.narrow(static_cast<int64_t>(d), slice.offset[d], slice.size[d]);
      }
      CAPTURE(p.name);
      CHECK(at::equal(local.view(slice.size), expected));
    }
  }
}

TEST_CASE("padding is filled with zeros and left out of the file") {
  const HuggingFaceFolder folder(kModels / "llama");
  std::shared_ptr<models::Model> model;
  const auto full = load(folder, model, at::kFloat);
  ScratchFolder temp;
  const comm::MeshShape shape({{"tensor", 3}});  // 96 rows of vocabulary divide, 64 columns do not
  comm::run_ranks(3, [&](std::shared_ptr<comm::World> world) {
    const comm::Mesh mesh(world, shape);
    std::vector<nn::Parameter> parameters;
    for (const nn::Parameter& p : full) {
      std::vector<comm::Axes> dims(p.layout().shape().size());
      dims.back() = {"tensor"};
      const auto layout = tensor::Layout::padded(p.layout().shape(), shape, dims);
      parameters.push_back(
          {p.name, at::full({layout.local_numel()}, std::nan(""), at::kFloat), {.layout = layout}});
    }
    folder.load(parameters, mesh.rank());
    for (size_t i = 0; i < full.size(); ++i) {
      const tensor::Layout& layout = parameters[i].layout();
      const at::Tensor expected =
          tensor::local_piece(full[i].tensor.detach().view(layout.shape()), layout, mesh.rank());
      if (!at::equal(parameters[i].tensor.view(layout.local_shape()), expected))
        throw InternalError(fmt::format("{} {} was not loaded", full[i].name, layout.describe()));
    }
    save_huggingface(temp.path(), folder.config(), parameters, mesh, folder.save_options());
  });
  check_same(folder.weights(), SafetensorsSet(temp.path()));
}

TEST_CASE("all tensors that do not fit are listed in one error") {
  ScratchFolder temp;
  rewrite(kModels / "gpt2", temp.path(), [](auto& tensors) {
    tensors.erase("transformer.h.1.ln_2.bias");
    tensors["transformer.h.0.mlp.c_fc.weight"] = tensors["transformer.h.0.mlp.c_fc.weight"].t().contiguous();
    tensors["extra"] = at::ones({3});
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"] + 1;
  });
  CHECK(folder_error(temp.path()) ==
        fmt::format("{}: the weights do not fit config.json\n"
                    "  missing: \"transformer.h.1.ln_2.bias\" [64]\n"
                    "  not tied: \"lm_head.weight\" differs from \"transformer.wte.weight\", config.json "
                    "says they are one\n"
                    "  unexpected: \"extra\" [3]\n"
                    "  wrong shape: \"transformer.h.0.mlp.c_fc.weight\" is [256, 64], expected [64, 256]",
                    temp.path().string()));
}

TEST_CASE("a config.json that no family can be says everything that is wrong") {
  ScratchFolder temp;
  const auto with = [&](const char* from, const std::function<void(Json&)>& change) {
    Json json = Json::parse(read_file(kModels / from / "config.json"));
    change(json);
    write_file_durably(temp / "config.json", json.dump());
    std::string text = folder_error(temp.path());
    const std::string path = (temp / "config.json").string();
    for (size_t at = 0; (at = text.find(path)) != std::string::npos;)
      text.replace(at, path.size(), "config.json");
    return text;
  };
  CHECK(with("gpt2", [](Json& j) { j["model_type"] = "gpt3"; }) ==
        "config.json: model_type = \"gpt3\" is unknown. Allowed: gpt2, llama, qwen2, palm, bert, vit. Did "
        "you mean \"gpt2\"?");
  CHECK(with("gpt2", [](Json& j) { j.erase("model_type"); }) == "config.json: has no model_type");
  CHECK(with("gpt2",
             [](Json& j) {
               j.erase("n_layer");
               j["n_embd"] = "x";
               j["add_cross_attention"] = true;
               j["activation_function"] = "relu";
             }) ==
        "config.json: n_layer is missing. Expected: a whole number.\n"
        "config.json: n_embd = \"x\". Expected: a whole number.\n"
        "config.json: activation_function = \"relu\" is not supported. Allowed: gelu_new, gelu_pytorch_tanh, "
        "gelu.\n"
        "config.json: add_cross_attention = true is not supported. Allowed: false.");
  CHECK(with("llama3", [](Json& j) { j["rope_parameters"]["rope_type"] = "yarn"; }) ==
        "config.json: rope_parameters: rope_type = \"yarn\" is not supported. Allowed: default, linear, "
        "llama3.");
  CHECK(with("bert",
             [](Json& j) {
               j["architectures"] = {"BertModel"};
               j["position_embedding_type"] = "relative_key";
             }) ==
        "config.json: architectures = [\"BertModel\"] is not supported. Allowed: BertForPreTraining, "
        "BertForMaskedLM.\n"
        "config.json: position_embedding_type = \"relative_key\" is not supported. Allowed: \"absolute\".");
  CHECK(with("vit",
             [](Json& j) {
               j["image_size"] = {32, 16};
               j["qkv_bias"] = false;
             }) ==
        "config.json: image_size = [32,16]. Expected: a whole number.\n"
        "config.json: qkv_bias = false is not supported. Allowed: true.");
  CHECK(with("vit", [](Json& j) { j["patch_size"] = 5; }) ==
        "model.patch_size = 5 does not divide model.image_size = 32. Divisors: 1, 2, 4, 8, 16, 32.");
  CHECK(with("qwen2", [](Json& j) { j["num_key_value_heads"] = 3; }) ==
        "model.num_kv_heads = 3 does not divide model.num_heads = 8. Divisors: 1, 2, 4, 8.");
}
