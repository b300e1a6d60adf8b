// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/common/token_types.h"

#include "colossal/nn/common/parts.h"
#include "colossal/nn/functional/embedding.h"

namespace colossal::nn {

TokenTypes::TokenTypes(LayerContextPtr context, const EmbeddingOptions& options)
    : context_(std::move(context)) {
  ParameterSpec spec = context_->along_hidden({options.num_embeddings, options.size}, 1, context_->stream,
                                              Init::normal(options.init_std), true);
  const tensor::Shape local = spec.layout.local_shape();
  weight_ = add_parameter("weight", local, std::move(spec), context_->parameter_options());
}

at::Tensor TokenTypes::forward(const at::Tensor& x, const at::Tensor& types) {
  const Placement& stream = context_->stream;
  at::Tensor ids;
  if (types.defined()) {
    ids =
        own_part(own_part(types, 0, stream.batch, context_->mesh, 0), 1, stream.sequence, context_->mesh, 0);
  } else {
    ids = at::zeros(x.sizes().slice(0, 2), x.options().dtype(at::kLong));
  }
  return x + functional::embedding(ids.contiguous(), weight_, x.scalar_type());
}

}  // namespace colossal::nn
