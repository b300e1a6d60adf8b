// SPDX-License-Identifier: Apache-2.0
// Small text helpers: joining, nearest spelling, human units.
//
//   nearest_spelling("modle.num_layers", keys)  ->  std::optional("model.num_layers")
//
// Thread-safe: pure functions.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace colossal {

std::string join(std::span<const std::string> parts, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);
bool iequals(std::string_view a, std::string_view b);

// Damerau-Levenshtein distance (insert, delete, replace, swap neighbours), in bytes.
int64_t edit_distance(std::string_view a, std::string_view b);

// The candidate closest to `word`, if it is close enough to be a slip of the finger.
std::optional<std::string> nearest_spelling(std::string_view word, std::span<const std::string> candidates);
// " Did you mean "model.num_layers"?", or nothing.
std::string did_you_mean(const std::optional<std::string>& near);
// What an error says of a word that is none of `names`: "Allowed: adam, sgd. Did you mean "sgd"?"
std::string allowed_instead(std::string_view word, std::span<const std::string> names);

std::string human_bytes(double bytes);      // "1.5 GiB"
std::string human_count(double count);      // "124.4M"
std::string human_seconds(double seconds);  // "1h 02m 03s", "4.2 s", "310 ms"

}  // namespace colossal
