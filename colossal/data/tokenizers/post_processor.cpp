// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenizers/post_processor.h"

namespace colossal::data {
namespace {

int32_t read_id(const JsonNode& node) {
  const int64_t id = node.integer();
  if (id < 0 || id > INT32_MAX) node.expected("a token id");
  return static_cast<int32_t>(id);
}

Envelope read_template(const JsonNode& node) {
  Envelope envelope;
  bool behind = false;
  for (const JsonNode& item : node["single"].items()) {
    if (item.has("Sequence")) {
      if (behind || item["Sequence"]["id"].text() != "A")
        item.fail("a template of one text must hold sequence A once.");
      behind = true;
    } else {
      const JsonNode special = node["special_tokens"][item["SpecialToken"]["id"].text()];
      for (const JsonNode& id : special["ids"].items()) {
        (behind ? envelope.suffix : envelope.prefix).push_back(read_id(id));
      }
    }
  }
  if (!behind) node["single"].fail("a template of one text must hold sequence A once.");
  return envelope;
}

}  // namespace

Envelope read_post_processor(const JsonNode& node) {
  const std::string type = node["type"].text();
  if (type == "TemplateProcessing") return read_template(node);
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    return {.prefix = {read_id(node["cls"][1])}, .suffix = {read_id(node["sep"][1])}};
  }
  if (type == "ByteLevel") return {};  // moves offsets only
  if (type == "Sequence") {
    Envelope all;
    for (const JsonNode& part : node["processors"].items()) {
      const Envelope outer = read_post_processor(part);
      all.prefix.insert(all.prefix.begin(), outer.prefix.begin(), outer.prefix.end());
      all.suffix.insert(all.suffix.end(), outer.suffix.begin(), outer.suffix.end());
    }
    return all;
  }
  node["type"].fail(
      fmt::format("post-processor \"{}\" is not supported. Supported: TemplateProcessing, BertProcessing, "
                  "RobertaProcessing, ByteLevel, Sequence.",
                  type));
}

}  // namespace colossal::data
