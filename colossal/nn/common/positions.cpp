// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/common/positions.h"

#include "colossal/base/error.h"
#include "colossal/nn/functional/sum_rows.h"

namespace colossal::nn {
namespace {

namespace ag = torch::autograd;

// x + rows `offset` onwards of the table, for the first `count` of x: saves nothing, sums the table's gradient over the batch in
// the table's precision.
struct AddRows : ag::Function<AddRows> {
  static at::Tensor forward(ag::AutogradContext* context, const at::Tensor& x, const at::Tensor& table,
                            int64_t offset, int64_t count) {
    context->saved_data["offset"] = offset;
    context->saved_data["count"] = count;
    context->saved_data["rows"] = table.size(0);
    context->saved_data["dtype"] = static_cast<int64_t>(table.scalar_type());
    const at::Tensor rows = table.narrow(0, offset, count).to(x.scalar_type());
    if (count == x.size(1)) return x + rows;
    at::Tensor y = x.clone();
    y.narrow(1, 0, count).add_(rows);
    return y;
  }
  static ag::variable_list backward(ag::AutogradContext* context, const ag::variable_list& gradients) {
    const at::Tensor& gradient = gradients[0];
    const int64_t offset = context->saved_data["offset"].toInt(),
                  count = context->saved_data["count"].toInt();
    const auto dtype = static_cast<at::ScalarType>(context->saved_data["dtype"].toInt());
    at::Tensor table =
        at::zeros({context->saved_data["rows"].toInt(), gradient.size(2)}, gradient.options().dtype(dtype));
    if (count > 0) {  // a rank may hold nothing but padding
      table.narrow(0, offset, count)
          .copy_(functional::sum_rows(gradient.narrow(1, 0, count).flatten(1), dtype).view({count, -1}));
    }
    return {gradient, table, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

Positions::Positions(LayerContextPtr context, const EmbeddingOptions& options)
    : context_(std::move(context)) {
  const tensor::Shape shape = {options.num_embeddings, options.size};
  ParameterSpec spec =
      context_->along_hidden(shape, 1, context_->stream, Init::normal(options.init_std), true);
  const tensor::Shape local = spec.layout.local_shape();
  weight_ = add_parameter("weight", local, std::move(spec), context_->parameter_options());
}

at::Tensor Positions::forward(const at::Tensor& x, int64_t offset) {
  const comm::Axes& axes = context_->stream.sequence;
  const int64_t length = axes.empty() ? x.size(1) : context_->state->sequence_length;
  if (offset < 0 || offset + length > weight_.size(0)) {
    throw ShapeError(fmt::format(
        "learned positions: positions {} to {} were asked for. Allowed: 0 to {}. Shorten the sequence.",
        offset, offset + length - 1, weight_.size(0) - 1));
  }
  const Part part = part_of(length, axes, context_->mesh.shape(), context_->mesh.rank());
  return AddRows::apply(x, weight_, offset + std::min(part.begin, length), part.valid);
}

}  // namespace colossal::nn
