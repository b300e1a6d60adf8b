// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/dense/embedding.h"

#include "colossal/base/error.h"

namespace colossal::nn {
namespace {

// x + table rows: saves nothing, sums the table's gradient over the batch in the table's precision.
struct AddRows : torch::autograd::Function<AddRows> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& table, int64_t offset) {
    context->saved_data["offset"] = offset;
    context->saved_data["rows"] = table.size(0);
    context->saved_data["dtype"] = static_cast<int64_t>(table.scalar_type());
    return x + table.narrow(0, offset, x.size(1)).to(x.scalar_type());
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const at::Tensor& gradient = gradients[0];
    const int64_t offset = context->saved_data["offset"].toInt();
    const auto dtype = static_cast<at::ScalarType>(context->saved_data["dtype"].toInt());
    at::Tensor table =
        at::zeros({context->saved_data["rows"].toInt(), gradient.size(2)}, gradient.options().dtype(dtype));
    table.narrow(0, offset, gradient.size(1)).copy_(gradient.sum(0, false, dtype));
    return {gradient, table, at::Tensor()};
  }
};

}  // namespace

DenseEmbedding::DenseEmbedding(DenseContextPtr context, const EmbeddingOptions& options)
    : context_(std::move(context)) {
  const tensor::Shape shape = {options.num_embeddings, options.size};
  weight_ = add_parameter("weight", shape, context_->replicated(shape, Init::normal(options.init_std), true),
                          context_->parameter_options());
}

at::Tensor DenseEmbedding::forward(const at::Tensor& ids) {
  return functional::embedding(ids, weight_, context_->compute, deferred_);
}

const functional::DeferredRowsPtr& DenseEmbedding::share_gradient() {
  if (!deferred_ && weight_.requires_grad()) {
    deferred_ = c10::make_intrusive<functional::DeferredRows>();
    deferred_->attach(weight_);
  }
  return deferred_;
}

DensePositions::DensePositions(const DenseContextPtr& context, const EmbeddingOptions& options) {
  const tensor::Shape shape = {options.num_embeddings, options.size};
  weight_ = add_parameter("weight", shape, context->replicated(shape, Init::normal(options.init_std), true),
                          context->parameter_options());
}

at::Tensor DensePositions::forward(const at::Tensor& x, int64_t offset) {
  if (offset < 0 || offset + x.size(1) > weight_.size(0)) {
    throw ShapeError(fmt::format(
        "learned positions: positions {} to {} were asked for. Allowed: 0 to {}. Shorten the sequence.",
        offset, offset + x.size(1) - 1, weight_.size(0) - 1));
  }
  return AddRows::apply(x, weight_, offset);
}

}  // namespace colossal::nn
