// SPDX-License-Identifier: Apache-2.0
// The fixed parts of a report page. Internal to train/monitor.
#pragma once
#include <string_view>

namespace colossal::train {

extern const std::string_view kReportStyle;   // CSS
extern const std::string_view kReportBody;    // HTML between <body> and the data
extern const std::string_view kReportChart;   // JavaScript: one chart, drawn as SVG
extern const std::string_view kReportScript;  // JavaScript: the page

}  // namespace colossal::train
