// SPDX-License-Identifier: Apache-2.0
// The two layers that hold the vocabulary: where tokens enter the stream, and where they leave it. Both take ids and labels of the
// whole data-parallel replica and cut out what is theirs; rows, sequence and vocabulary are padded where they do not divide.
//
//   at::Tensor x = embedding->forward(ids);                    // int64 [b, s] -> this rank's part of [b, s, h]
//   at::Tensor loss = head->loss(x, labels, num_targets);      // 0-d, equal on all ranks
//
// Thread safety: one rank, one thread; collective over the mode's groups.
#pragma once
#include "colossal/nn/common/context.h"
#include "colossal/nn/functional/embedding.h"
#include "colossal/nn/layer_factory.h"
#include "colossal/parallel/tensor/cross_entropy.h"

namespace colossal::parallel {

// The table [vocabulary, hidden]: rows over `vocabulary`, columns like the stream's hidden dim; `replicas` hold copies.
nn::ParameterSpec vocabulary_table(const nn::LayerContext& context, int64_t rows, int64_t columns,
                                   const comm::Axes& vocabulary, const comm::Axes& replicas, double init_std);

// Each rank looks up its rows for all tokens; the sum goes to the ranks that hold the tokens. The table never moves. Sent per rank for
// X = [b, s, h]: 1D 2 (t - 1) / t |X| forward; else each way: with sequence (t - 1) / t |X|, 2D (q - 1) / q^2 |X| (2.5D: |X| / d),
// 3D (q^2 - 1) / q^3 |X|.
class TensorEmbedding final : public nn::UnaryLayer {
 public:
  // vocabulary: axes of the table's rows. The sum is taken over them and cut along `dim` (0 rows, 1 sequence), or kept whole.
  TensorEmbedding(nn::LayerContextPtr context, const nn::EmbeddingOptions& options,
                  const comm::Axes& vocabulary, const comm::Axes& replicas, std::optional<int64_t> dim);
  at::Tensor forward(const at::Tensor& ids) override;
  // For a head that uses the same weight: it must announce its dense gradient (DeferredRows::expect_dense_from).
  const nn::functional::DeferredRowsPtr& share_gradient();

 private:
  nn::LayerContextPtr context_;
  int64_t num_embeddings_;
  comm::Axes replicas_;
  comm::Group group_;
  std::optional<int64_t> dim_;
  int64_t first_ = 0;  // word of this rank's first row
  at::Tensor weight_;
  nn::functional::DeferredRowsPtr deferred_;  // null unless shared
};

// Sent per rank for the loss, X = [b, s, h], E = [V, h], Z = [b, s, V], V padded: 1D and 1D-sequence 2 (t - 1) / t |X|, 2D
// 2 (q - 1) / q^2 (|E| + |Z|) (2.5D: |Z| / d), 3D 2 (q - 1) / q^3 (|X| + |E| + |Z|): half of it for the logits, half for the gradients,
// which are formed along with the loss, so that backward moves nothing. And 3 numbers per token all-reduced over the vocabulary.
// ShapeError for labels outside the vocabulary.
class TensorHead final : public nn::HeadLayer {
 public:
  TensorHead(nn::LayerContextPtr context, const nn::HeadOptions& options, const nn::ParameterSpec& table,
             ProductPorts ports);
  at::Tensor logits(const at::Tensor& x) override;
  at::Tensor last_logits(const at::Tensor& x) override;
  at::Tensor loss(const at::Tensor& x, const at::Tensor& labels, double num_targets) override;
  nn::functional::TokenScores scores(const at::Tensor& x, const at::Tensor& labels) override;

 private:
  void add_bias(const comm::Axes& rows, int64_t columns);
  at::Tensor own_bias() const;
  at::Tensor joined_logits(const at::Tensor& x, const ProductPorts& ports) const;
  at::Tensor own_labels(const at::Tensor& labels) const;
  const at::Tensor& announced(const at::Tensor& output) const;

  nn::LayerContextPtr context_;
  int64_t vocab_size_;
  VocabularyParallel head_;
  at::Tensor weight_, bias_;
  int64_t num_columns_ = 0;                   // of this rank's logits
  nn::functional::DeferredRowsPtr deferred_;  // of the embedding that shares the weight; null: none does
};

}  // namespace colossal::parallel
