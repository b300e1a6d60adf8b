// SPDX-License-Identifier: Apache-2.0
// A folder of images for each class: pets/cat/1.jpg, pets/dog/2.png. Classes are the names in order; files are decoded when they are asked
// for (stb: PNG, JPEG, BMP, GIF, PNM, TGA).
//
//   auto source = open_folder("pets");
//
// Thread-safe: immutable.
#pragma once
#include "colossal/data/images/image_source.h"

namespace colossal::data {

// Names of folders and files that begin with a dot, and files of other kinds, are passed over.
ImageFacts folder_facts(const std::filesystem::path& folder);
std::shared_ptr<const ImageSource> open_folder(const std::filesystem::path& folder);

}  // namespace colossal::data
