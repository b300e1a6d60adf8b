// SPDX-License-Identifier: Apache-2.0
// The fixed parts of a report page. Internal to train/monitor.
#pragma once
#include <string_view>

namespace colossal::train {

std::string_view report_style();   // CSS
std::string_view report_body();    // HTML between <body> and the data
std::string_view report_chart();   // JavaScript: one chart, drawn as SVG
std::string_view report_script();  // JavaScript: the page

}  // namespace colossal::train
