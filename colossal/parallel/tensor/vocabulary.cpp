// SPDX-License-Identifier: Apache-2.0
#include "colossal/parallel/tensor/vocabulary.h"

#include "colossal/base/error.h"
#include "colossal/comm/autograd.h"
#include "colossal/nn/common/parts.h"
#include "colossal/nn/functional/cross_entropy.h"

namespace colossal::parallel {
namespace {

using nn::own_part;
using nn::padded;
using nn::padded_size;

// Every rank sees all labels, so all of them throw.
void check_labels(const at::Tensor& labels, int64_t vocab_size) {
  if (!labels.is_cpu()) return;
  const at::Tensor outside = labels.lt(0).logical_or(labels.ge(vocab_size));
  const at::Tensor wrong =
      outside.logical_and(labels.ne(nn::functional::kIgnoredLabel)).reshape(-1).nonzero();
  if (wrong.numel() == 0) return;
  const int64_t token = wrong[0].item<int64_t>();
  throw ShapeError(fmt::format(
      "head: label {} (token {}) is outside the vocabulary. Allowed: 0 to {}, or {} for no target.",
      labels.reshape(-1)[token].item<int64_t>(), token, vocab_size - 1, nn::functional::kIgnoredLabel));
}

void check_ids(const at::Tensor& ids, int64_t num_embeddings) {
  if (ids.numel() == 0 || ids.is_meta()) return;
  const int64_t least = ids.min().item<int64_t>(), most = ids.max().item<int64_t>();
  if (least >= 0 && most < num_embeddings) return;
  throw ShapeError(fmt::format("embedding: id {} is outside the table of {} rows (0 to {}).",
                               least < 0 ? least : most, num_embeddings, num_embeddings - 1));
}

}  // namespace

nn::ParameterSpec vocabulary_table(const nn::LayerContext& context, int64_t rows, int64_t columns,
                                   const comm::Axes& vocabulary, const comm::Axes& replicas,
                                   double init_std) {
  return {.layout = tensor::Layout::padded({rows, columns}, context.mesh.shape(),
                                           {vocabulary, context.stream.hidden}),
          .init = nn::Init::normal(init_std),
          .decay = true,
          .sum_axes = replicas};
}

TensorEmbedding::TensorEmbedding(nn::LayerContextPtr context, const nn::EmbeddingOptions& options,
                                 const comm::Axes& vocabulary, const comm::Axes& replicas,
                                 std::optional<int64_t> dim)
    : context_(std::move(context)), num_embeddings_(options.num_embeddings), replicas_(replicas), dim_(dim) {
  const nn::ParameterSpec spec = vocabulary_table(*context_, options.num_embeddings, options.size, vocabulary,
                                                  replicas, options.init_std);
  first_ = spec.layout.slice(context_->mesh.rank()).offset[0];
  // Rows are cut in the order of the stream's batch axes, whatever the order of the table's.
  const comm::Axes& batch = context_->stream.batch;
  comm::Axes axes = vocabulary;
  if (dim_ == 0) {
    axes.clear();
    for (const std::string& axis : batch) {
      if (std::find(replicas.begin(), replicas.end(), axis) == replicas.end()) axes.push_back(axis);
    }
  }
  group_ = context_->mesh.group(axes);
  weight_ = add_parameter("weight", spec.layout.local_shape(), spec, context_->parameter_options());
}

at::Tensor TensorEmbedding::forward(const at::Tensor& ids_in) {
  const comm::Mesh& mesh = context_->mesh;
  context_->state->num_rows = ids_in.size(0);
  context_->state->sequence_length = ids_in.size(1);
  check_ids(ids_in, num_embeddings_);
  // All tokens of the ranks among which the sum is cut.
  const nn::Placement& stream = context_->stream;
  const at::Tensor rows = padded(ids_in, 0, padded_size(ids_in.size(0), stream.batch, mesh), 0);
  const at::Tensor ids =
      padded(own_part(rows, 0, replicas_, mesh, 0), 1, padded_size(ids_in.size(1), stream.sequence, mesh), 0);
  const at::Tensor x = nn::functional::embedding(ids - first_, weight_, context_->compute, deferred_,
                                                 nn::functional::Outside::zeros);
  return dim_ ? comm::scatter_sum_to(x, group_, *dim_) : comm::reduce_from(x, group_);
}

const nn::functional::DeferredRowsPtr& TensorEmbedding::share_gradient() {
  if (!deferred_ && weight_.requires_grad()) {
    deferred_ = std::make_shared<nn::functional::DeferredRows>();
    deferred_->attach(weight_);
  }
  return deferred_;
}

TensorHead::TensorHead(nn::LayerContextPtr context, const nn::HeadOptions& options,
                       const nn::ParameterSpec& table, ProductPorts ports)
    : context_(std::move(context)), vocab_size_(options.vocab_size) {
  const comm::Mesh& mesh = context_->mesh;
  if (options.tied_embedding) {
    weight_ = tie_parameter("weight", options.tied_embedding->named_parameters()["weight"], table);
    if (auto* embedding = dynamic_cast<TensorEmbedding*>(options.tied_embedding.get()))
      deferred_ = embedding->share_gradient();
  } else {
    weight_ = add_parameter("weight", table.layout.local_shape(), table, context_->parameter_options());
  }
  const comm::Axes& columns = context_->inner.hidden;
  const int64_t each = table.layout.padded_shape()[0] / mesh.shape().axes_size(columns);
  const int64_t first = mesh.shape().group_index(mesh.rank(), columns) * each;
  head_ = {.ports = std::move(ports),
           .vocabulary = mesh.group(columns),
           .tokens = mesh.group(context_->inner.batch),
           .first = first,
           .valid = std::clamp<int64_t>(vocab_size_ - first, 0, each)};
  if (options.bias) add_bias(table.layout.dims()[0], each);
}

// Cut like the rows of the weight. A rank adds it to its columns, so the others' part of its gradient is elsewhere.
void TensorHead::add_bias(const comm::Axes& rows, int64_t columns) {
  nn::ParameterSpec spec = {.layout = tensor::Layout::padded({vocab_size_}, context_->mesh.shape(), {rows}),
                            .init = nn::Init::zeros(),
                            .decay = false,
                            .sum_axes = {}};
  for (const comm::Axes& axes : {context_->inner.batch, context_->inner.hidden}) {
    for (const std::string& axis : axes) {
      if (std::find(rows.begin(), rows.end(), axis) == rows.end()) spec.sum_axes.push_back(axis);
    }
  }
  num_columns_ = columns;
  const tensor::Shape local = spec.layout.local_shape();
  bias_ = add_parameter("bias", local, std::move(spec), context_->parameter_options());
}

// Of this rank's columns.
at::Tensor TensorHead::own_bias() const {
  if (!bias_.defined()) return {};
  const at::Tensor gathered = comm::gather_from(bias_, head_.ports.weight.group(), 0);
  return gathered.size(0) == num_columns_ ? gathered : gathered.narrow(0, head_.first, num_columns_);
}

// The labels of the tokens whose logits this rank gets; none for padding.
at::Tensor TensorHead::own_labels(const at::Tensor& labels) const {
  check_labels(labels, vocab_size_);
  const comm::Mesh& mesh = context_->mesh;
  const int64_t none = nn::functional::kIgnoredLabel;
  return padded(own_part(labels, 0, context_->inner.batch, mesh, static_cast<double>(none)), 1,
                padded_size(labels.size(1), context_->stream.sequence, mesh), static_cast<double>(none));
}

const at::Tensor& TensorHead::announced(const at::Tensor& output) const {
  if (deferred_) deferred_->expect_dense_from(output);
  return output;
}

at::Tensor TensorHead::loss(const at::Tensor& x, const at::Tensor& labels, double num_targets) {
  return announced(vocabulary_parallel_loss(x, weight_, own_bias(), own_labels(labels), num_targets, head_));
}

nn::functional::TokenScores TensorHead::scores(const at::Tensor& x, const at::Tensor& labels) {
  const auto own = vocabulary_parallel_scores(x, weight_, own_bias(), own_labels(labels), head_);
  const auto joined = [&](const at::Tensor& t) {
    return comm::join_from(t, head_.tokens, 0).narrow(0, 0, labels.size(0)).narrow(1, 0, labels.size(1));
  };
  return {joined(own.log_probs), joined(own.right)};
}

// All rows and the whole vocabulary on every rank, padding removed but for that of the sequence.
at::Tensor TensorHead::joined_logits(const at::Tensor& x, const ProductPorts& ports) const {
  at::Tensor own =
      announced(ported_linears(x, nn::functional::Activation::none, {{weight_}}, ports, Keep::shards)[0]);
  if (bias_.defined()) own = own + own_bias().to(own.scalar_type());
  const at::Tensor all = comm::join_from(comm::join_from(own, head_.vocabulary, 2), head_.tokens, 0);
  return all.narrow(0, 0, context_->state->num_rows).narrow(2, 0, vocab_size_);
}

at::Tensor TensorHead::logits(const at::Tensor& x) {
  return joined_logits(x, head_.ports).narrow(1, 0, context_->state->sequence_length);
}

at::Tensor TensorHead::last_logits(const at::Tensor& x) {
  ProductPorts ports = head_.ports;
  at::Tensor tokens = x;
  if (!context_->stream.sequence
           .empty()) {  // one rank has the last token: all take the whole sequence, and then its end
    const comm::Group group = context_->mesh.group(context_->stream.sequence);
    tokens = comm::join_from(x, group, 1);  // the port sums the gradient
    ports.input = Port::sum(group);
  }
  return joined_logits(tokens.narrow(1, context_->state->sequence_length - 1, 1), ports).squeeze(1);
}

}  // namespace colossal::parallel
